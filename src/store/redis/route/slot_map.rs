//! Which server of a cluster owns which slot.

use std::sync::Arc;

use crate::settings::ServerAddress;
use crate::store::redis::server::node::Node;
use crate::store::redis::wire::slot::SLOTS;

/// The owners of all slots. Small enough to be copied for each change.
#[derive(Clone, Debug)]
pub(super) struct SlotMap {
    /// For each slot the index of its owner in `servers`.
    owners: Vec<Option<u16>>,
    servers: Vec<(ServerAddress, Arc<Node>)>,
}

impl SlotMap {
    /// Creates a map without servers.
    pub(super) fn new() -> Self {
        Self { owners: vec![None; usize::from(SLOTS)], servers: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = &(ServerAddress, Arc<Node>)> {
        self.servers.iter()
    }

    /// Returns the owner of a slot.
    pub(super) fn owner(&self, slot: u16) -> Option<(ServerAddress, Arc<Node>)> {
        let index = (*self.owners.get(usize::from(slot))?)?;
        self.servers.get(usize::from(index)).cloned()
    }

    /// Returns the server at `address`.
    pub(super) fn node(&self, address: &ServerAddress) -> Option<Arc<Node>> {
        self.servers.iter().find(|(known, _)| known == address).map(|(_, node)| Arc::clone(node))
    }

    /// Returns the server at `address`, which is added if it is not in the map.
    pub(super) fn add(&mut self, address: &ServerAddress, node: impl FnOnce() -> Arc<Node>) -> Arc<Node> {
        let (_, node) = self.index(address, node);
        node
    }

    /// Assigns a range of slots to the server at `address`, which is added if it is not in the map.
    pub(super) fn assign(
        &mut self,
        slots: std::ops::RangeInclusive<u16>,
        address: &ServerAddress,
        node: impl FnOnce() -> Arc<Node>,
    ) -> Arc<Node> {
        let (index, node) = self.index(address, node);
        let slots = usize::from(*slots.start())..=usize::from(*slots.end());
        if let Some(owners) = self.owners.get_mut(slots) {
            owners.fill(index);
        }
        node
    }

    fn index(
        &mut self,
        address: &ServerAddress,
        node: impl FnOnce() -> Arc<Node>,
    ) -> (Option<u16>, Arc<Node>) {
        let index = self.servers.iter().position(|(known, _)| known == address);
        let (index, node) = match index.and_then(|index| Some((index, self.servers.get(index)?))) {
            Some((index, (_, node))) => (index, Arc::clone(node)),
            None => {
                let node = node();
                self.servers.push((address.clone(), Arc::clone(&node)));
                (self.servers.len() - 1, node)
            }
        };
        (u16::try_from(index).ok(), node)
    }
}
