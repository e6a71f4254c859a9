//! Builds TLS configurations from PEM texts. Pure: the caller reads the files, and the certificate authorities of the
//! operating system.

mod server;
mod validity;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore};
pub use server::{Clients, names, server};
pub use validity::{Outdated, Validity, validities};

/// The trusted certificate authorities.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// The certificate authorities of the operating system.
    System(&'a [CertificateDer<'static>]),
    /// Only those of a PEM text.
    Pem(&'a [u8]),
}

/// Why a TLS configuration cannot be built. It contains no part of a key.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The operating system has no certificate authorities, or none that can be read.
    #[error("the system has no certificate authorities")]
    NoSystemRoots,
    /// The text is damaged.
    #[error("the PEM is damaged: {0}")]
    Pem(&'static str),
    /// The text holds no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// The certificate with this number, counted from 1, is not valid.
    #[error("certificate {0} in it is damaged, or older than version 3 of X.509")]
    Certificate(usize),
    /// The text holds no private key.
    #[error("there is no private key in it")]
    NoKey,
    /// tidegate has no way to get the passphrase.
    #[error("the private key is encrypted")]
    EncryptedKey,
    /// The key is damaged, or of an unsupported kind.
    #[error("the private key is damaged, or of another kind than RSA (2048 bits or more), ECDSA and Ed25519")]
    Key,
    /// The key and the certificate do not form a pair.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// No certificate can have this name.
    #[error("this is no DNS name and no IP address")]
    ServerName,
    /// The TLS library failed.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// Returns the configuration for connections to servers whose certificates the roots have issued. The identity is sent
/// to servers that request one: a certificate, with those that lead to its authority, and its private key, both in PEM.
///
/// # Errors
/// When a text is not valid.
pub fn client(roots: Roots<'_>, identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, TlsError> {
    let roots = match roots {
        Roots::System(certificates) => system(certificates)?,
        Roots::Pem(text) => authorities(text)?,
    };
    // Not the default provider of the process, which another crate could set.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots);
    Ok(match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            let pair = pair(certificates(certificate)?, private_key(key)?)?;
            config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
        }
    })
}

/// Ignores certificates that cannot be parsed: large collections have some, and the others are still valid.
fn system(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match store.add_parsable_certificates(certificates.iter().cloned()) {
        (0, _) => Err(TlsError::NoSystemRoots),
        _ => Ok(store),
    }
}

/// Returns the authorities in a PEM text. All of them must be valid, as the operator chose them.
///
/// # Errors
/// When there is none, or one that cannot be read.
pub fn authorities(text: &[u8]) -> Result<RootCertStore, TlsError> {
    store(&ders(text)?)
}

fn store(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        store.add(certificate.clone()).map_err(|_| TlsError::Certificate(index + 1))?;
    }
    Ok(store)
}

/// Returns the certificates in a PEM text. The first one is the owner's.
///
/// # Errors
/// When there is none, or one that cannot be read.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = ders(text)?;
    // The first one must match the key. The others are checked by the peer: here they only must be certificates.
    if certificates.first().is_some_and(|own| ParsedCertificate::try_from(own).is_err()) {
        return Err(TlsError::Certificate(1));
    }
    store(&certificates)?;
    Ok(certificates)
}

fn ders(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| damaged(&error))?;
    if found.is_empty() { Err(TlsError::NoCertificate) } else { Ok(found) }
}

/// Returns the private key in a PEM text, ready to sign.
///
/// # Errors
/// When there is none, or one that cannot be used.
pub fn private_key(text: &[u8]) -> Result<Arc<dyn SigningKey>, TlsError> {
    // The two forms: `BEGIN ENCRYPTED PRIVATE KEY`, and `Proc-Type: 4,ENCRYPTED` in older files.
    let has = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    if has(b"BEGIN ENCRYPTED") || has(b"4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey);
    }
    let key = PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey,
        error => damaged(&error),
    })?;
    aws_lc_rs::default_provider().key_provider.load_private_key(key).map_err(|_| TlsError::Key)
}

/// Returns the certificate with its key.
///
/// # Errors
/// When they do not form a pair.
pub fn pair(
    certificates: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<CertifiedKey, TlsError> {
    let pair = CertifiedKey::new(certificates, key);
    pair.keys_match().map_err(|_| TlsError::KeyMismatch)?;
    Ok(pair)
}

/// Returns the name that a server's certificate must have.
///
/// # Errors
/// When no certificate can have it.
pub fn server_name(text: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(text).map(|name| name.to_owned()).map_err(|_| TlsError::ServerName)
}

/// Returns the error in tidegate's own words: those of the library repeat parts of the text, which may belong to a key.
fn damaged(error: &pem::Error) -> TlsError {
    TlsError::Pem(match error {
        pem::Error::MissingSectionEnd { .. } => "an END line is missing",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is not complete",
        _ => "what stands between BEGIN and END is not base64",
    })
}
