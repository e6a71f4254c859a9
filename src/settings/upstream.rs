//! Where the upstream is, its protocol, and its limits.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::tls::ClientTls;

/// What `crate::upstream::Upstream` is constructed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// Where it is.
    pub address: UpstreamAddress,
    /// How tidegate talks to it.
    pub protocol: UpstreamProtocol,
    /// The time to get a connection: waiting for one, resolving the name, connecting, and TLS.
    pub connect_timeout: Duration,
    /// The time from the last byte of the request that the upstream took to the head of its response.
    pub response_timeout: Duration,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// The maximum number of requests under way; over HTTP/1.1 also of connections.
    pub connections: usize,
    /// The maximum number of requests that wait for one of those to end.
    pub pending: usize,
    /// Whether a request that got no byte of a response on a reused connection is sent once more, if it is safe
    /// (RFC 9110, section 9.2.1) and has no body.
    pub retry: bool,
}

/// Where the upstream listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// A TCP address.
    Tcp {
        /// A name, or an IP address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket at this path.
    Unix(PathBuf),
}

impl UpstreamAddress {
    /// Returns what requests without a host are for.
    #[must_use]
    pub fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// How tidegate talks to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 without TLS.
    Http1,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113, section 3.3).
    H2c,
    /// HTTP/2 or HTTP/1.1 over TLS: the upstream chooses.
    Tls(ClientTls),
}

impl fmt::Display for UpstreamSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            UpstreamProtocol::Http1 => "http",
            UpstreamProtocol::H2c => "h2c",
            UpstreamProtocol::Tls(_) => "https",
        };
        match &self.address {
            UpstreamAddress::Tcp { .. } => write!(f, "{scheme}://{}", self.address.authority()),
            UpstreamAddress::Unix(path) if self.protocol == UpstreamProtocol::Http1 => {
                write!(f, "unix:{}", path.display())
            }
            UpstreamAddress::Unix(path) => write!(f, "{scheme}+unix:{}", path.display()),
        }
    }
}

impl UpstreamSettings {
    /// Returns what cannot change while tidegate runs: all but what the files of TLS hold.
    #[must_use]
    pub fn fixed(&self) -> Self {
        let mut fixed = self.clone();
        if let UpstreamProtocol::Tls(tls) = &mut fixed.protocol {
            *tls = tls.fixed();
        }
        fixed
    }
}
