//! TLS from PEM texts: whom tidegate believes, and what it shows of itself. Pure: the caller reads the files, and
//! the system's authorities.

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

/// Whom to believe.
#[derive(Clone, Copy, Debug)]
pub enum Roots<'a> {
    /// The certificate authorities of the operating system.
    System(&'a [CertificateDer<'static>]),
    /// Those of a PEM text, and no others.
    Pem(&'a [u8]),
}

/// Why there is no TLS with what was given. Nothing of a key is in it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// The operating system has no authorities, or none that can be read.
    #[error("the system has no certificate authorities")]
    NoSystemRoots,
    /// The text is damaged.
    #[error("the PEM is damaged: {0}")]
    Pem(&'static str),
    /// The text holds no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// A certificate, counted from 1, is none.
    #[error("certificate {0} in it is damaged, or older than version 3 of X.509")]
    Certificate(usize),
    /// The text holds no private key.
    #[error("there is no private key in it")]
    NoKey,
    /// Nobody is there to type the passphrase.
    #[error("the private key is encrypted")]
    EncryptedKey,
    /// The key is damaged, or of a kind that is not supported.
    #[error("the private key is damaged, or of another kind than RSA (2048 bits or more), ECDSA and Ed25519")]
    Key,
    /// Key and certificate are not of one pair.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// Nothing that a certificate could be for.
    #[error("this is no DNS name and no IP address")]
    ServerName,
    /// A fault of the TLS library's own.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// How to connect to servers that the roots vouch for. The identity is shown to servers that ask for one: a
/// certificate, with those that lead to its authority, and its private key, both in PEM.
///
/// # Errors
/// What is wrong with the texts.
pub fn client(roots: Roots<'_>, identity: Option<(&[u8], &[u8])>) -> Result<ClientConfig, TlsError> {
    let roots = match roots {
        Roots::System(certificates) => system(certificates)?,
        Roots::Pem(text) => authorities(text)?,
    };
    // Never the provider of the process: nobody else decides which cryptography is used here.
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

/// Large collections hold some that nobody can read any more: one of them must not cost all the others.
fn system(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    match store.add_parsable_certificates(certificates.iter().cloned()) {
        (0, _) => Err(TlsError::NoSystemRoots),
        _ => Ok(store),
    }
}

/// The authorities in a PEM text: all of them must be right, as somebody chose them.
///
/// # Errors
/// When there is none, or one that cannot be read.
pub fn authorities(text: &[u8]) -> Result<RootCertStore, TlsError> {
    store(&ders(text)?)
}

fn store(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (place, certificate) in certificates.iter().enumerate() {
        store.add(certificate.clone()).map_err(|_| TlsError::Certificate(place + 1))?;
    }
    Ok(store)
}

/// The certificates in a PEM text, the first of them one's own.
///
/// # Errors
/// When there is none, or one that cannot be read.
pub fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = ders(text)?;
    // The first is compared with the key. The others are for the server to judge, as long as they are certificates.
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

/// The private key in a PEM text, ready to sign.
///
/// # Errors
/// When there is none, or one that cannot be used.
pub fn private_key(text: &[u8]) -> Result<Arc<dyn SigningKey>, TlsError> {
    // Of both kinds: `BEGIN ENCRYPTED PRIVATE KEY`, and `Proc-Type: 4,ENCRYPTED` inside the older ones.
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

/// Certificate and key, if they are of one pair.
///
/// # Errors
/// When they are not.
pub fn pair(
    certificates: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
) -> Result<CertifiedKey, TlsError> {
    let pair = CertifiedKey::new(certificates, key);
    pair.keys_match().map_err(|_| TlsError::KeyMismatch)?;
    Ok(pair)
}

/// The name that a server's certificate must have.
///
/// # Errors
/// When no certificate can have it.
pub fn server_name(text: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(text).map(|name| name.to_owned()).map_err(|_| TlsError::ServerName)
}

/// In words of our own: the library's would repeat parts of the text, which may be a key's.
fn damaged(error: &pem::Error) -> TlsError {
    TlsError::Pem(match error {
        pem::Error::MissingSectionEnd { .. } => "an END line is missing",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is not complete",
        _ => "what stands between BEGIN and END is not base64",
    })
}
