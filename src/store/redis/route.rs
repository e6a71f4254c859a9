//! The way of a call to the server that has its counters.

mod cluster;
mod sentinel;
mod slot_map;
mod slot_ranges;
mod topology;

use std::sync::Arc;

use bb8_redis::redis::{ErrorKind, RedisError};
use tokio_util::task::AbortOnDropHandle;

use super::server::endpoint::{Endpoint, Primary};
use super::server::node::{CallError, Node, Nodes};
use super::wire::call::Call;
use super::wire::resp::Reply;
use crate::settings::ServerAddress;
use cluster::Cluster;
use sentinel::Sentinels;

/// Where calls go.
#[derive(Debug)]
pub(super) enum Route {
    /// All to one server, at a fixed address or the primary that the sentinels elected.
    Single { node: Arc<Node>, _sentinels: Option<AbortOnDropHandle<()>> },
    /// To the server that owns the slot.
    Cluster(Cluster),
}

impl Route {
    /// Starts to use one server.
    pub(super) fn to_server(address: ServerAddress, nodes: &Nodes) -> Self {
        Self::Single { node: nodes.start(Endpoint::Fixed(address)), _sentinels: None }
    }

    /// Starts to use the primary of that name.
    pub(super) fn to_primary(sentinels: Vec<ServerAddress>, name: String, nodes: &Nodes) -> Self {
        let sentinels = Sentinels::new(sentinels, name.clone(), Arc::clone(&nodes.dialer));
        let (primary, election) = Primary::new(name);
        // On the thread of the probes, which wait for the result: a busy process must not delay them.
        let sentinels = nodes.probes.handle().spawn(sentinels.run(election));
        let _sentinels = Some(AbortOnDropHandle::new(sentinels));
        Self::Single { node: nodes.start(Endpoint::Primary(primary)), _sentinels }
    }

    /// Starts to use a cluster.
    pub(super) fn to_cluster(seeds: Vec<ServerAddress>, nodes: Arc<Nodes>) -> Self {
        Self::Cluster(Cluster::start(seeds, nodes))
    }

    /// Returns whether keys have slots, so that a request may need several calls.
    pub(super) fn has_slots(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Makes a call, and waits for its reply until its deadline.
    pub(super) async fn call(&self, call: Call) -> Result<Reply, CallError> {
        match self {
            Self::Single { node, .. } => node.call(call, false).await,
            // Boxed, so that the futures of calls to a single server are small.
            Self::Cluster(cluster) => Box::pin(cluster.call(&call)).await,
        }
    }

    /// Returns how many calls wait for a round trip to any server.
    pub(super) fn queue_depth(&self) -> usize {
        match self {
            Self::Single { node, .. } => node.queue_depth(),
            Self::Cluster(cluster) => cluster.queue_depth(),
        }
    }

    /// Returns the address of the server of a slot.
    pub(super) async fn address(&self, slot: u16) -> Result<ServerAddress, RedisError> {
        match self {
            Self::Single { node, .. } => node.address().await,
            Self::Cluster(cluster) => {
                let unknown = || RedisError::from((ErrorKind::Client, "no server is known to own the slot"));
                cluster.address(slot).ok_or_else(unknown)
            }
        }
    }

    /// Returns whether no server is used at the moment.
    pub(super) fn is_down(&self) -> bool {
        match self {
            Self::Single { node, .. } => node.is_down(),
            Self::Cluster(cluster) => cluster.is_down(),
        }
    }

    /// Returns whether the server of that slot is not used at the moment.
    pub(super) fn is_down_for(&self, slot: u16) -> bool {
        match self {
            Self::Single { node, .. } => node.is_down(),
            Self::Cluster(cluster) => cluster.is_down_for(slot),
        }
    }

    /// Reports that the server of that slot sent an invalid reply.
    pub(super) fn report_invalid_reply(&self, slot: u16) {
        match self {
            Self::Single { node, .. } => node.report_failure(),
            Self::Cluster(cluster) => cluster.report_invalid_reply(slot),
        }
    }

    /// Reports that a call failed. (The node that made it knows already.)
    pub(super) fn report_failure(&self) {
        if let Self::Cluster(cluster) = self {
            cluster.report_failure();
        }
    }
}
