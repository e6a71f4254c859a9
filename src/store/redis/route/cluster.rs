//! A Redis Cluster: calls find the server that owns their slot.
//!
//! Each server has its own queue and connections, so checks of different slots share a round trip where they share a
//! server. (The redis crate's own cluster connection sends one pipeline per slot.)

use std::sync::Arc;

use bb8_redis::redis::{ErrorKind, ServerErrorKind};
use tokio_util::task::AbortOnDropHandle;

use super::slot_ranges::redirection;
use super::topology::Topology;
use crate::settings::ServerAddress;
use crate::store::StoreError;
use crate::store::redis::server::node::{CallError, Nodes};
use crate::store::redis::wire::call::Call;
use crate::store::redis::wire::resp::Reply;

/// The number of times that a call may be redirected, within its deadline.
const REDIRECTIONS: usize = 5;

/// The servers of one cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    topology: Arc<Topology>,
    _refresher: AbortOnDropHandle<()>,
}

impl Cluster {
    /// Starts to use the cluster that contains the servers at `seeds`. It is looked up in the background.
    pub(crate) fn start(seeds: Vec<ServerAddress>, nodes: Arc<Nodes>) -> Self {
        let topology = Arc::new(Topology::new(seeds, nodes));
        let refresher = tokio::spawn(Arc::clone(&topology).keep_fresh());
        Self { topology, _refresher: AbortOnDropHandle::new(refresher) }
    }

    /// Calls a script in a slot, at the server that owns it now.
    pub(crate) async fn call(&self, call: &Call) -> Result<Reply, CallError> {
        let slot = call.slot;
        let Some((mut address, mut node)) = self.topology.owner(slot, call.deadline).await else {
            let unknown = || StoreError::Connect(format!("no server is known to own slot {slot}"));
            return Err(self.topology.error().unwrap_or_else(unknown).into());
        };
        let mut asking = false;
        let mut redirections = 0;
        loop {
            let reply = node.call(call.clone(), asking).await;
            let Err(CallError { error: StoreError::Redis(error), .. }) = &reply else { return reply };
            let Some(target) = redirection(error, &address).filter(|_| redirections < REDIRECTIONS) else {
                return reply;
            };
            redirections += 1;
            asking = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
            node = self.topology.redirected(&target, (!asking).then_some(slot));
            address = target;
        }
    }

    /// Returns the address of the server that owns the slot, if there is one.
    pub(crate) fn address(&self, slot: u16) -> Option<ServerAddress> {
        self.topology.map().owner(slot).map(|(address, _)| address)
    }

    /// Returns whether no server is used at the moment.
    pub(crate) fn queue_depth(&self) -> usize {
        self.topology.map().servers().map(|(_, node)| node.queue_depth()).sum()
    }

    pub(crate) fn is_down(&self) -> bool {
        self.topology.map().servers().all(|(_, node)| node.is_down())
    }

    /// Returns whether the server that owns the slot is not used at the moment.
    pub(crate) fn is_down_for(&self, slot: u16) -> bool {
        self.topology.map().owner(slot).is_none_or(|(_, node)| node.is_down())
    }

    /// Reports that the server that owns the slot sent an invalid reply.
    pub(crate) fn report_invalid_reply(&self, slot: u16) {
        if let Some((_, node)) = self.topology.map().owner(slot) {
            node.report_failure();
        }
    }

    /// Reports that a call failed: the slots may have moved.
    pub(crate) fn report_failure(&self) {
        self.topology.request_refresh();
    }
}
