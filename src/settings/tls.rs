//! TLS to servers that tidegate calls, and to its clients, with the content of the files.

use crate::redacted::Redacted;

/// The content of a PEM file. None of it is printed: a file of certificates may hold their keys as well.
pub type Pem = Redacted<Vec<u8>>;

/// TLS to a server that tidegate calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The trusted certificate authorities. None: those of the operating system.
    pub ca: Option<Pem>,
    /// The certificate that tidegate shows.
    pub identity: Option<Identity>,
    /// The name that the servers' certificates must have. None: the host that tidegate connects to.
    pub server_name: Option<String>,
}

/// A certificate and its key, which belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with those that lead to its authority.
    pub certificate: Pem,
    /// The private key.
    pub key: Pem,
}

/// TLS to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, with those that lead to its authority, and its key.
    pub identity: Identity,
    /// The authorities of clients' certificates. None: the listener requests no client certificates.
    pub client_ca: Option<Pem>,
    /// Whether a client without a certificate is refused. (One with a bad certificate always is.)
    pub client_required: bool,
    /// Whether TLS 1.2 is refused.
    pub tls13_only: bool,
}

impl ClientTls {
    /// Returns what cannot change while tidegate runs: all but the content of the files.
    pub(super) fn fixed(&self) -> Self {
        Self { ca: None, identity: None, server_name: self.server_name.clone() }
    }
}

impl ServerTls {
    /// Returns what cannot change while tidegate runs: all but the content of the files. Whether the listener requests
    /// client certificates cannot change.
    #[must_use]
    pub fn fixed(&self) -> Self {
        Self {
            identity: Identity::default(),
            client_ca: self.client_ca.as_ref().map(|_| Pem::default()),
            ..*self
        }
    }
}
