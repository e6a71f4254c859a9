//! TLS, towards servers that tidegate calls and towards its clients: which files there are, and whether they fit
//! together. Pure.

use std::fmt;
use std::path::PathBuf;

use super::Secret;
use crate::config::diagnostic::{Fault, shown};
use crate::config::report::{Location, Spanned};
use crate::config::{SecretSource, Secrets, schema, secret};
use crate::tls::{self, TlsError};

/// TLS towards a server that tidegate calls.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
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

/// TLS towards clients.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, with those that lead to its authority, and its key.
    pub identity: Identity,
    /// PEM of the authorities that clients' certificates come from. None: clients are not asked for one.
    pub client_ca: Option<Vec<u8>>,
    /// Whether a client without a certificate is turned away. (One with a bad certificate always is.)
    pub client_required: bool,
    /// Whether TLS 1.2 is turned away.
    pub tls13_only: bool,
}

impl ClientTls {
    /// What cannot change while tidegate runs: all but what the files hold.
    pub(super) fn fixed(&self) -> Self {
        Self { ca: None, identity: None, server_name: self.server_name.clone() }
    }
}

impl ServerTls {
    /// What cannot change while tidegate runs: all but what the files hold. Whether clients are asked for
    /// certificates is none of that.
    #[must_use]
    pub fn fixed(&self) -> Self {
        Self {
            identity: Identity { certificate: Vec::new(), key: Secret::new(String::new()) },
            client_ca: self.client_ca.as_ref().map(|_| Vec::new()),
            ..*self
        }
    }
}

// A file of certificates may hold their keys as well: no part of any file is shown.

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("ca", &self.ca.as_ref().map(|_| format_args!("..")))
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .finish()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("identity", &self.identity)
            .field("client_ca", &self.client_ca.as_ref().map(|_| format_args!("..")))
            .field("client_required", &self.client_required)
            .field("tls13_only", &self.tls13_only)
            .finish()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

pub(super) fn client(
    Spanned { value: shape, location }: &Spanned<schema::Tls>,
    secrets: &Secrets<'_>,
) -> Option<ClientTls> {
    let before = location.errors();
    let ca = shape.ca_file.as_ref().and_then(|at| authorities(at, secrets));
    let server_name = shape.server_name.as_ref().and_then(|at| {
        judged(at, tls::server_name(&at.value))?;
        Some(at.value.clone())
    });
    let identity = match (&shape.cert_file, &shape.key_file) {
        (Some(certificate), Some(key)) => identity(certificate, key, secrets),
        (Some(at), None) if shape.sound => {
            let fault = Fault::new("the certificate has no key", "give key_file as well");
            at.location.key().error(fault);
            None
        }
        (None, Some(at)) if shape.sound => {
            let fault = Fault::new("the key has no certificate", "give cert_file as well");
            at.location.key().error(fault);
            None
        }
        _ => None,
    };
    (location.errors() == before).then_some(ClientTls { ca, identity, server_name })
}

pub(super) fn server(
    Spanned { value: shape, location }: &Spanned<schema::ServerTls>,
    secrets: &Secrets<'_>,
) -> Option<ServerTls> {
    let before = location.errors();
    let client_ca = shape.client_ca_file.as_ref().and_then(|at| authorities(at, secrets));
    let identity = match (&shape.cert_file, &shape.key_file) {
        (Some(certificate), Some(key)) => identity(certificate, key, secrets),
        _ => None,
    };
    if let (Some(at), None, true) = (&shape.client_required, &shape.client_ca_file, shape.sound) {
        let message = "clients are not asked for certificates: it is not said whom to believe";
        let help = "name in client_ca_file the authorities that sign them, or remove client_auth";
        at.location.key().error(Fault::new(message, help));
    }
    let client_required = client_ca.is_some() && shape.client_required.as_ref().is_none_or(|at| at.value);
    let tls = ServerTls { identity: identity?, client_ca, client_required, tls13_only: shape.tls13_only };
    (shape.sound && location.errors() == before).then_some(tls)
}

fn identity(file: &Spanned<String>, key: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Identity> {
    let chain = pem(file, secrets).and_then(|text| Some((judged(file, tls::certificates(&text))?, text)));
    let signer = pem(key, secrets).and_then(|text| Some((judged(key, tls::private_key(&text))?, text)));
    let ((chain, certificate), (signer, text)) = (chain?, signer?);
    judged(key, tls::pair(chain, signer))?;
    file.location.certificates(&file.value, tls::validities(&certificate));
    // PEM is ASCII, but what stands around the key may be in any other encoding.
    let text = String::from_utf8_lossy(&text).into_owned();
    Some(Identity { certificate, key: Secret::new(text) })
}

fn authorities(at: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Vec<u8>> {
    let text = pem(at, secrets)?;
    judged(at, tls::authorities(&text))?;
    at.location.certificates(&at.value, tls::validities(&text));
    Some(text)
}

/// Notes it where no certificate can have the name of this host.
pub(super) fn certifiable(host: &str, location: &Location) {
    if tls::server_name(host).is_err() {
        let message = format!("no certificate can be for '{}'", shown(host));
        location.error(Fault::new(message, "write in tls.server_name the name that it has"));
    }
}

fn pem(at: &Spanned<String>, secrets: &Secrets<'_>) -> Option<Vec<u8>> {
    at.location.check(secret::read(&SecretSource::Pem(PathBuf::from(&at.value)), secrets))?
}

fn judged<T>(at: &Spanned<String>, result: Result<T, TlsError>) -> Option<T> {
    let fault = |error: TlsError| {
        let message = match error {
            TlsError::ServerName => format!("'{}' is no DNS name and no IP address", shown(&at.value)),
            _ => format!("the file '{}' cannot be used: {error}", shown(&at.value)),
        };
        Fault::new(message, help(&error))
    };
    at.location.check(result.map_err(fault))
}

fn help(error: &TlsError) -> &'static str {
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
        TlsError::ServerName => {
            "write a name such as redis.internal or app.internal, or an address, without a port"
        }
        TlsError::NoSystemRoots | TlsError::Setup(_) => "name the authorities in ca_file",
    }
}
