//! Keeps the slot map of a cluster up to date.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use bb8_redis::redis::ErrorKind;
use futures_util::future::select_ok;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::slot_map::SlotMap;
use super::slot_ranges::{self, SlotRange};
use crate::clock::Deadline;
use crate::settings::ServerAddress;
use crate::store::StoreError;
use crate::store::redis::server::backoff;
use crate::store::redis::server::breaker::Breaker;
use crate::store::redis::server::endpoint::Endpoint;
use crate::store::redis::server::node::{Node, Nodes};

/// How long a server may take to report the slots, with connecting.
const QUERY_TIMEOUT: Duration = Duration::from_millis(500);
/// After how long the next server is queried as well.
const NEXT_AFTER: Duration = Duration::from_millis(50);
/// The longest pause after a refresh: while a server is down, every check requests one.
const PAUSE: Duration = Duration::from_millis(250);

/// The slot map of a cluster, and the servers from which it is refreshed.
#[derive(Debug)]
pub(super) struct Topology {
    map: ArcSwap<SlotMap>,
    /// Held while the map is changed; reading it needs no lock.
    changing: Mutex<()>,
    /// Notified when the map may be wrong.
    stale: Notify,
    /// Notified after each refresh.
    refreshed: Notify,
    seeds: Vec<ServerAddress>,
    /// Open while there is no map at all; each server has its own breaker.
    breaker: Breaker,
    nodes: Arc<Nodes>,
}

impl Topology {
    pub(super) fn new(seeds: Vec<ServerAddress>, nodes: Arc<Nodes>) -> Self {
        Self {
            map: ArcSwap::from_pointee(SlotMap::new()),
            changing: Mutex::default(),
            stale: Notify::new(),
            refreshed: Notify::new(),
            seeds,
            breaker: Breaker::new("cluster".to_owned(), Arc::clone(&nodes.health)),
            nodes,
        }
    }

    /// Returns the current map.
    pub(super) fn map(&self) -> Guard<Arc<SlotMap>> {
        self.map.load()
    }

    /// Returns why there is no map, if there is none.
    pub(super) fn error(&self) -> Option<StoreError> {
        self.breaker.error()
    }

    /// Requests a refresh.
    pub(super) fn request_refresh(&self) {
        self.stale.notify_one();
    }

    /// Returns the owner of a slot. Waits for the first refresh, until the deadline.
    pub(super) async fn owner(&self, slot: u16, deadline: Deadline) -> Option<(ServerAddress, Arc<Node>)> {
        let refreshed = self.refreshed.notified();
        let map = self.map.load_full();
        if !map.is_empty() || self.breaker.is_open() {
            return map.owner(slot);
        }
        let _ = tokio::time::timeout_at(deadline.instant().into(), refreshed).await;
        self.map.load().owner(slot)
    }

    /// Returns the server to which a call was redirected. If a slot is given, it has moved there.
    pub(super) fn redirected(&self, address: &ServerAddress, moved: Option<u16>) -> Arc<Node> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.map.load().node(address);
        if let (Some(node), None) = (known, moved) {
            return node;
        }
        let mut map = SlotMap::clone(&self.map.load());
        let start = || self.start(address);
        let node = match moved {
            Some(slot) => map.assign(slot..=slot, address, start),
            None => map.add(address, start),
        };
        if moved.is_some() {
            self.request_refresh();
        }
        self.map.store(Arc::new(map));
        node
    }

    /// Refreshes the map at the start, and whenever that is requested.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        loop {
            let refreshed = self.refresh().await;
            backoff::pause(PAUSE).await;
            if refreshed {
                self.stale.notified().await;
            }
        }
    }

    /// Replaces the map by what one of the servers reports, whichever is first. The order is random, as a server that is
    /// cut off reports an old map, and the seeds come early, as all others may have moved.
    async fn refresh(&self) -> bool {
        let mut servers: Vec<ServerAddress> =
            self.map.load().servers().map(|(address, _)| address.clone()).collect();
        fastrand::shuffle(&mut servers);
        let early = servers.len().min(1);
        servers.splice(early..early, self.seeds.iter().cloned());
        if servers.is_empty() {
            return false;
        }
        let queries = servers.iter().zip(0_u32..).map(|(address, position)| {
            Box::pin(async move {
                tokio::time::sleep(NEXT_AFTER * position).await;
                let queried = timeout(QUERY_TIMEOUT, slot_ranges::query(&self.nodes.dialer, address)).await;
                let queried = queried.unwrap_or_else(|_| Err((ErrorKind::Io, "no reply in time").into()));
                queried.map_err(|error| format!("{address}: {error}"))
            })
        });
        match select_ok(queries).await {
            Ok((ranges, _)) => {
                self.replace(&ranges);
                self.breaker.close();
                true
            }
            Err(error) => {
                if self.map.load().is_empty() {
                    self.breaker.open(&StoreError::Connect(error));
                }
                false
            }
        }
    }

    fn replace(&self, ranges: &[SlotRange]) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.map.load();
        let mut map = SlotMap::new();
        for SlotRange { first, last, owner } in ranges {
            map.assign(*first..=*last, owner, || before.node(owner).unwrap_or_else(|| self.start(owner)));
        }
        let gone = before.servers().filter(|(address, _)| map.node(address).is_none());
        gone.for_each(|(_, node)| node.retire());
        self.map.store(Arc::new(map));
        self.refreshed.notify_waiters();
    }

    fn start(&self, address: &ServerAddress) -> Arc<Node> {
        if !self.map.load().is_empty() {
            // The server may lack counters of the one that it replaces.
            self.nodes.generation.advance();
        }
        self.nodes.start(Endpoint::Fixed(address.clone()))
    }
}
