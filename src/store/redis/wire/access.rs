//! How to log in to a Redis server.

use std::sync::Arc;

use bb8_redis::redis::{ErrorKind, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::settings::ServerAddress;

/// Credentials and TLS. They may change while tidegate runs; new connections then use the new ones.
#[derive(Clone, Debug)]
pub struct Access {
    /// User, password and database of the servers that hold the counters.
    pub server: RedisConnectionInfo,
    /// User and password of the sentinels.
    pub sentinel: RedisConnectionInfo,
    /// None: connections are in plain text.
    pub tls: Option<StoreTls>,
}

/// TLS to every server.
#[derive(Clone, Debug)]
pub struct StoreTls {
    /// The trusted roots and the client certificate.
    pub config: Arc<ClientConfig>,
    /// The name in the servers' certificates, if it is not the host that tidegate connects to.
    pub server_name: Option<ServerName<'static>>,
}

impl StoreTls {
    /// Returns the name that the certificate of the server at `address` must have.
    pub(crate) fn name(&self, address: &ServerAddress) -> Result<ServerName<'static>, RedisError> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(address.host.clone()).map_err(|_| {
                let what = "invalid host, not a name that a certificate can have";
                RedisError::from((ErrorKind::InvalidClientConfig, what, address.to_string()))
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use bb8_redis::redis::RedisConnectionInfo;

    use super::Access;

    #[test]
    fn debug_shows_no_password() {
        let login = RedisConnectionInfo::default().set_password("hunter2");
        let access = Access { server: login.clone(), sentinel: login, tls: None };
        assert!(!format!("{access:?}").contains("hunter2"), "{access:?}");
    }
}
