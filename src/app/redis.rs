//! From the settings of the Redis store to what the store needs.

use std::sync::Arc;

use anyhow::Context as _;
use bb8_redis::redis::RedisConnectionInfo;

use super::tls::client_config;
use crate::settings::{ClientTls, Credentials, RedisAddress, RedisSettings, RedisTopology, Secret};
use crate::store::{Access, RedisOptions, ServerAddress, StoreTls, Topology};
use crate::tls;

pub(super) fn options(settings: &RedisSettings) -> anyhow::Result<RedisOptions> {
    let addresses = |addresses: &[RedisAddress]| addresses.iter().map(address).collect();
    Ok(RedisOptions {
        topology: match &settings.topology {
            RedisTopology::Standalone { server, .. } => Topology::Standalone(address(server)),
            RedisTopology::Sentinel { sentinels, primary, .. } => {
                Topology::Sentinel { sentinels: addresses(sentinels), primary: primary.clone() }
            }
            RedisTopology::Cluster { seeds } => Topology::Cluster(addresses(seeds)),
        },
        access: access(settings)?,
        timeout: settings.timeout,
        key_prefix: settings.key_prefix.clone(),
        connections: settings.connections,
    })
}

/// What may change while tidegate runs.
pub(super) fn access(settings: &RedisSettings) -> anyhow::Result<Access> {
    let (database, sentinel) = match &settings.topology {
        RedisTopology::Standalone { database, .. } => (*database, &Credentials::default()),
        RedisTopology::Sentinel { database, credentials, .. } => (*database, credentials),
        RedisTopology::Cluster { .. } => (0, &Credentials::default()),
    };
    Ok(Access {
        server: login(&settings.credentials).set_db(database),
        sentinel: login(sentinel),
        tls: settings.tls.as_ref().map(tls).transpose()?,
    })
}

fn address(RedisAddress { host, port }: &RedisAddress) -> ServerAddress {
    ServerAddress { host: host.clone(), port: *port }
}

fn login(credentials: &Credentials) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if let Some(username) = &credentials.username {
        login = login.set_username(username);
    }
    // A user without a password logs in all the same: the client would leave that out, and act as the default user.
    let without = credentials.username.is_some().then_some("");
    if let Some(password) = credentials.password.as_ref().map(Secret::expose).or(without) {
        login = login.set_password(password);
    }
    login
}

fn tls(settings: &ClientTls) -> anyhow::Result<StoreTls> {
    let config = client_config(settings).context("store.redis.tls")?;
    let server_name = settings.server_name.as_deref().map(tls::server_name).transpose();
    Ok(StoreTls {
        config: Arc::new(config),
        server_name: server_name.context("store.redis.tls.server_name")?,
    })
}
