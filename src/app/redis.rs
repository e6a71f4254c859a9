//! From the credentials and the TLS of Redis to what its connections log in with.

use std::sync::Arc;

use anyhow::Context as _;
use bb8_redis::redis::RedisConnectionInfo;

use super::tls::client_config;
use crate::settings::{ClientTls, Credentials, RedisSettings};
use crate::store::{Access, StoreTls};
use crate::tls;

/// How the store logs in, which may change while tidegate runs.
pub(super) fn access(settings: &RedisSettings) -> anyhow::Result<Access> {
    Ok(Access {
        server: login(&settings.credentials).set_db(settings.database),
        sentinel: login(&settings.sentinel_credentials),
        tls: settings.tls.as_ref().map(tls).transpose()?,
    })
}

fn login(credentials: &Credentials) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default();
    if let Some(username) = &credentials.username {
        login = login.set_username(username);
    }
    // A user without a password logs in all the same: the client would leave that out, and act as the default user.
    let without = credentials.username.is_some().then_some("");
    let password = credentials.password.as_ref().map(|password| password.expose().as_str());
    if let Some(password) = password.or(without) {
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
