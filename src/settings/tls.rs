//! TLS to servers that tidegate calls, and to its clients, with the content of the files.

use std::fmt;

use super::secret::Secret;

/// TLS to a server that tidegate calls.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// The trusted certificate authorities, in PEM. None: those of the operating system.
    pub ca: Option<Vec<u8>>,
    /// The certificate that tidegate shows.
    pub identity: Option<Identity>,
    /// The name that the servers' certificates must have. None: the host that tidegate connects to.
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

/// TLS to clients.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, with those that lead to its authority, and its key.
    pub identity: Identity,
    /// The authorities of clients' certificates, in PEM. None: the listener requests no client certificates.
    pub client_ca: Option<Vec<u8>>,
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
