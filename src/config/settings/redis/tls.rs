//! TLS to the servers: which files there are, and whether they fit together. Pure.

use std::fmt;
use std::path::PathBuf;

use crate::config::problem::{Wrong, shown};
use crate::config::report::{At, Report};
use crate::config::settings::Secret;
use crate::config::{SecretSource, Secrets, schema, secret};
use crate::tls::{self, TlsError};

/// What TLS is done with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// The certificate authorities to believe, in PEM. None: those of the operating system.
    pub ca: Option<Vec<u8>>,
    /// What tidegate shows of itself.
    pub identity: Option<Identity>,
    /// The name that the servers' certificates must have. None: the host that is dialled.
    pub server_name: Option<String>,
}

/// A certificate and its key, which belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with those that lead to its authority, in PEM.
    pub certificate: Vec<u8>,
    /// The private key, in PEM.
    pub key: Secret,
}

// A file of certificates may hold their keys as well: no part of any file is shown.

impl fmt::Debug for RedisTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisTls")
            .field("ca", &self.ca.as_ref().map(|_| format_args!("..")))
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .finish()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

pub(super) fn read(shape: &schema::Tls, secrets: &Secrets<'_>, report: &mut Report) -> Option<RedisTls> {
    let before = report.errors();
    let ca = shape.ca_file.as_ref().and_then(|at| {
        let text = pem(at, secrets, report)?;
        judged(at, tls::authorities(&text), report)?;
        Some(text)
    });
    let server_name = shape.server_name.as_ref().and_then(|at| {
        judged(at, tls::server_name(&at.value), report)?;
        Some(at.value.clone())
    });
    let identity = match (&shape.cert_file, &shape.key_file) {
        (Some(certificate), Some(key)) => identity(certificate, key, secrets, report),
        (Some(at), None) if shape.sound => {
            let wrong = Wrong::new("the certificate has no key", "give key_file as well");
            report.error(&at.place.clone().key(), wrong);
            None
        }
        (None, Some(at)) if shape.sound => {
            let wrong = Wrong::new("the key has no certificate", "give cert_file as well");
            report.error(&at.place.clone().key(), wrong);
            None
        }
        _ => None,
    };
    (report.errors() == before).then_some(RedisTls { ca, identity, server_name })
}

fn identity(
    certificate: &At<String>,
    key: &At<String>,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<Identity> {
    let chain = pem(certificate, secrets, report)
        .and_then(|text| Some((judged(certificate, tls::certificates(&text), report)?, text)));
    let signer = pem(key, secrets, report)
        .and_then(|text| Some((judged(key, tls::private_key(&text), report)?, text)));
    let ((chain, certificate), (signer, text)) = (chain?, signer?);
    judged(key, tls::pair(chain, signer), report)?;
    // PEM is ASCII, but what stands around the key may be in any other encoding.
    let text = String::from_utf8_lossy(&text).into_owned();
    Some(Identity { certificate, key: Secret::new(text) })
}

fn pem(at: &At<String>, secrets: &Secrets<'_>, report: &mut Report) -> Option<Vec<u8>> {
    report.take(&at.place, secret::read(&SecretSource::Pem(PathBuf::from(&at.value)), secrets))?
}

fn judged<T>(at: &At<String>, result: Result<T, TlsError>, report: &mut Report) -> Option<T> {
    let wrong = |error: TlsError| {
        let message = match error {
            TlsError::ServerName => format!("'{}' is no DNS name and no IP address", shown(&at.value)),
            _ => format!("the file '{}' cannot be used: {error}", shown(&at.value)),
        };
        Wrong::new(message, remedy(&error))
    };
    report.take(&at.place, result.map_err(wrong))
}

fn remedy(error: &TlsError) -> &'static str {
    match error {
        TlsError::NoCertificate => {
            "name a file in PEM, with -----BEGIN CERTIFICATE-----; openssl x509 -inform der makes one of DER"
        }
        TlsError::Pem(_) => "is the file complete? Write it anew",
        TlsError::Certificate(_) => {
            "remove it, or make it again; openssl x509 -req makes version 3 with -extfile"
        }
        TlsError::NoKey => {
            "name a file in PEM, with -----BEGIN PRIVATE KEY-----; openssl pkey -inform der makes one of DER"
        }
        TlsError::EncryptedKey => "take the passphrase off with openssl pkey, and guard the file",
        TlsError::Key => "make a key of one of these kinds, such as with openssl genpkey -algorithm ed25519",
        TlsError::KeyMismatch => {
            "name the key of the first certificate in cert_file; those that lead to its authority come after it"
        }
        TlsError::ServerName => "write a name such as redis.internal, or an address, without a port",
        TlsError::NoSystemRoots | TlsError::Setup(_) => "name the authorities in ca_file",
    }
}
