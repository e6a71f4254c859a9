//! What the parts of the process are constructed from, and what a reload compares.
//!
//! The configuration reads the file straight into these, one for each part. [`crate::bounds::Bounds`] is one of them.

mod admin;
mod listen;
mod redis;
#[cfg(test)]
mod tests;
mod tls;
mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::bounds::Bounds;
pub use crate::redacted::Redacted;
pub use admin::{AdminListen, AdminSettings, AdminToken, Role};
pub use listen::Listen;
pub use redis::{Credentials, RedisSettings, RedisTopology, ServerAddress};
pub use tls::{ClientTls, Identity, Pem, ServerTls};
pub use upstream::{UpstreamAddress, UpstreamProtocol, UpstreamSettings};

/// Everything that is not a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The listener for clients.
    pub listen: Listen,
    /// The permission bits of the Unix socket. None: as the umask leaves them.
    pub listen_mode: Option<u32>,
    /// Where probes and metrics are served.
    pub ops_listen: SocketAddr,
    /// The admin API.
    pub admin: AdminSettings,
    /// TLS to clients. None: plain text.
    pub tls: Option<ServerTls>,
    /// Peers whose connections begin with a header of the PROXY protocol.
    pub proxy_protocol: Vec<IpNet>,
    /// The upstream.
    pub upstream: UpstreamSettings,
    /// The bounds of a client.
    pub bounds: Bounds,
    /// Where the counters are.
    pub store: StoreSettings,
    /// How the process ends.
    pub shutdown: Shutdown,
    /// The filter of log lines, if the command line has none. None: the default.
    pub log: Option<String>,
}

/// Where the counters are.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreSettings {
    /// In this process.
    Memory {
        /// The maximum number of counters.
        max_keys: usize,
    },
    /// In a Redis that all instances share.
    Redis(Box<RedisSettings>),
}

impl StoreSettings {
    /// Returns what cannot change while tidegate runs: all but credentials, and what the files of TLS hold.
    #[must_use]
    pub fn fixed(&self) -> Self {
        match self {
            Self::Redis(redis) => Self::Redis(Box::new(redis.fixed())),
            Self::Memory { .. } => self.clone(),
        }
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long it still accepts connections while it reports that it is not ready.
    pub settle: Duration,
    /// How long all of it may take, `settle` included.
    pub grace: Duration,
}
