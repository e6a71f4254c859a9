//! The server's side of TLS: the certificate for clients, and the certificates requested of them.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use webpki::EndEntityCert;

use super::{TlsError, authorities, certificates, pair, private_key};

/// The protocols of HTTP, the preferred one first. Without the last one, old clients that offer only it would be
/// refused.
const PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];
const BOTH_VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
const NEWER_VERSION: &[&SupportedProtocolVersion] = &[&version::TLS13];
/// The maximum number of names that are read of a client's certificate: each is compared with rules, and may become a
/// key.
const MAX_NAMES: usize = 16;
/// The longest SPIFFE ID.
const MAX_NAME_BYTES: usize = 2048;

/// The certificates that are requested of clients.
#[derive(Clone, Copy, Debug)]
pub struct Clients<'a> {
    /// The authorities that may issue them, in PEM. (Those of the operating system would issue one to any client.)
    pub authorities: &'a [u8],
    /// Whether a client without a certificate is refused. One with a certificate of another authority always is.
    pub required: bool,
}

/// Returns the configuration for connections of clients. The identity is a certificate, with those that lead to its
/// authority, and its private key, both in PEM.
///
/// # Errors
/// When a text is not valid.
pub fn server(
    identity: (&[u8], &[u8]),
    clients: Option<Clients<'_>>,
    tls13_only: bool,
) -> Result<ServerConfig, TlsError> {
    let (certificate, key) = identity;
    let pair = pair(certificates(certificate)?, private_key(key)?)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(if tls13_only { NEWER_VERSION } else { BOTH_VERSIONS })
        .map_err(TlsError::Setup)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(Clients { authorities: text, required }) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(text)?), provider);
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            // Its only fault without revocation lists is to have no authority.
            builder.with_client_cert_verifier(verifier.build().map_err(|_| TlsError::NoCertificate)?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    if clients.is_some() {
        // A resumed session keeps the certificate of the first, however long ago it has expired or its authority
        // was taken away.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = Ticketer::new().map_err(TlsError::Setup)?;
    }
    Ok(config)
}

/// The names that a client's certificate is for, those that are URIs (SPIFFE) first; DNS names in lower case. What
/// is no plain ASCII, or stands for many, is left out.
#[must_use]
pub fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Vec::new() };
    let plain = |name: &&str| {
        (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
    };
    let uris = certificate.valid_uri_names().filter(plain).map(str::to_owned);
    let hosts = certificate.valid_dns_names().filter(plain).filter(|name| !name.starts_with('*'));
    uris.chain(hosts.map(str::to_ascii_lowercase)).take(MAX_NAMES).collect()
}
