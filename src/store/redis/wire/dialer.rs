//! Opens connections with the current credentials and certificates.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bb8_redis::redis::RedisError;

use super::access::Access;
use super::link::Link;
use crate::settings::ServerAddress;

/// Opens the connections of one store.
#[derive(Debug)]
pub(crate) struct Dialer(ArcSwap<Access>);

impl Dialer {
    pub(crate) fn new(access: Access) -> Self {
        Self(ArcSwap::from_pointee(access))
    }

    /// Replaces the credentials and certificates of future connections.
    pub(crate) fn set_access(&self, access: Access) {
        self.0.store(Arc::new(access));
    }

    /// Connects to a server that holds counters.
    pub(crate) async fn dial_server(&self, address: &ServerAddress) -> Result<Link, RedisError> {
        let access = self.0.load_full();
        Link::open(address, &access.server, access.tls.as_ref()).await
    }

    /// Connects to a sentinel.
    pub(crate) async fn dial_sentinel(&self, address: &ServerAddress) -> Result<Link, RedisError> {
        let access = self.0.load_full();
        Link::open(address, &access.sentinel, access.tls.as_ref()).await
    }
}
