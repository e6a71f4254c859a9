//! Where Redis is, and how tidegate uses it.

use std::fmt;
use std::time::Duration;

use super::tls::ClientTls;
use crate::redacted::Redacted;

/// What the Redis store is constructed from. It logs in with what `app::redis` makes of `credentials` and `tls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// The servers.
    pub topology: RedisTopology,
    /// The number of the database.
    pub database: i64,
    /// For the servers.
    pub credentials: Credentials,
    /// For the sentinels.
    pub sentinel_credentials: Credentials,
    /// TLS to servers and sentinels. None: connections are in plain text.
    pub tls: Option<ClientTls>,
    /// How long a check may take, before the outage policy decides. What is given back after a refusal has the same time.
    pub timeout: Duration,
    /// The beginning of each key's name.
    pub key_prefix: String,
    /// The maximum number of connections to each server. Each carries one round trip at a time.
    pub connections: u32,
    /// How many instances share the limits, until Redis reports it for the first time.
    pub instances: u32,
}

impl RedisSettings {
    /// What cannot change while tidegate runs: all but the credentials, and what the files of TLS hold.
    pub(super) fn fixed(&self) -> Self {
        let mut fixed = self.clone();
        fixed.credentials = Credentials::default();
        fixed.sentinel_credentials = Credentials::default();
        fixed.tls = fixed.tls.map(|tls| tls.fixed());
        fixed
    }
}

/// The servers of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// A single server.
    Standalone(ServerAddress),
    /// A primary and its replicas, monitored by sentinels.
    Sentinel {
        /// The addresses of the sentinels, at least one.
        sentinels: Vec<ServerAddress>,
        /// The sentinels' name of the primary.
        primary: String,
    },
    /// Some servers of a Redis Cluster, at least one, from which the others are discovered.
    Cluster(Vec<ServerAddress>),
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    /// A host name, or an IP address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A user of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user. None: the default user.
    pub username: Option<String>,
    /// The password, from a file, else the environment, else the URL.
    pub password: Option<Redacted<String>>,
}

impl Credentials {
    /// With what these lack from the others.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            username: self.username.or_else(|| other.username.clone()),
            password: self.password.or_else(|| other.password.clone()),
        }
    }
}
