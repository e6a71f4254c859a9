//! Where Redis is, and how tidegate uses it. Pure.

use std::fmt;
use std::time::Duration;

use super::secret::Secret;
use super::tls::ClientTls;

/// How Redis is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// Where the servers are.
    pub topology: RedisTopology,
    /// For the servers.
    pub credentials: Credentials,
    /// None: without TLS. It is for servers and sentinels alike.
    pub tls: Option<ClientTls>,
    /// How long a check may take before the outage policy decides.
    pub timeout: Duration,
    /// What the keys in Redis start with.
    pub key_prefix: String,
    /// The most connections of the pool of one server, each for one round trip under way.
    pub connections: u32,
    /// How many instances share the limits, to assume until Redis has told for the first time.
    pub instances: u32,
}

/// Who tidegate is, to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The ACL user. None: the default user.
    pub username: Option<String>,
    /// The password, from a file, else the environment, else the URL.
    pub password: Option<Secret>,
}

impl RedisSettings {
    /// What cannot change while tidegate runs: all but the credentials, and what the files of TLS hold.
    pub(super) fn fixed(&self) -> Self {
        let mut fixed = self.clone();
        fixed.credentials = Credentials::default();
        if let RedisTopology::Sentinel { credentials, .. } = &mut fixed.topology {
            *credentials = Credentials::default();
        }
        fixed.tls = fixed.tls.map(|tls| tls.fixed());
        fixed
    }
}

/// Where the servers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisTopology {
    /// One server.
    Standalone {
        /// The server.
        server: RedisAddress,
        /// The number of the database.
        database: i64,
    },
    /// The server that the sentinels call the primary.
    Sentinel {
        /// The sentinels, at least one.
        sentinels: Vec<RedisAddress>,
        /// The name that they have for the primary and its replicas.
        primary: String,
        /// The number of the database.
        database: i64,
        /// For the sentinels themselves.
        credentials: Credentials,
    },
    /// A cluster.
    Cluster {
        /// Some of its servers, at least one: they know the others.
        seeds: Vec<RedisAddress>,
    },
}

/// Fit to be logged: no user and no password.
impl fmt::Display for RedisTopology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list =
            |servers: &[RedisAddress]| servers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Standalone { server, database } => write!(f, "{server}/{database}"),
            Self::Sentinel { sentinels, primary, database, .. } => {
                write!(f, "{primary}/{database} of the sentinels {}", list(sentinels))
            }
            Self::Cluster { seeds } => write!(f, "the cluster of {}", list(seeds)),
        }
    }
}

/// Where one server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisAddress {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.host {
            host if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}
