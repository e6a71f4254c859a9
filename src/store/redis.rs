//! Counters in Redis (or Valkey), shared by all instances.
//!
//! One script decides about all charges of a request whose counters share a slot. It returns the counters as they were,
//! and this side derives everything else from them with the same arithmetic that the memory store uses, and compares.
//!
//! `route` chooses the server, `server` keeps the queue, the connections and the breaker of each, and `wire` makes calls
//! and gives their replies a meaning (the redis crate encodes them). Each knows only the ones below.

mod across_slots;
mod counters;
mod route;
mod server;
mod subscription;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use super::{
    AtomicGeneration, Charged, Decision, Decisions, DocumentReply, Generation, Instances, KeyedCharge,
    Settlement, StoreError, StoreHealth, StoreMs,
};
use crate::clock::{Clock, Stopwatch};
use crate::metrics::{self, StoreMeter};
use crate::settings::{RedisSettings, RedisTopology};
use crate::window::Counter;
use counters::Counters;
use route::Route;
use server::node::Nodes;
use server::probe_thread::ProbeThread;

pub use wire::access::{Access, StoreTls};
use wire::call::Calls;
use wire::dialer::Dialer;
use wire::keyspace::Keyspace;

/// How long settlements and heartbeats may take, at least.
const MIN_SETTLE_TIMEOUT: Duration = Duration::from_millis(250);

/// The store that all instances share.
#[derive(Clone, Debug)]
pub struct RedisStore {
    counters: Arc<Counters>,
    nodes: Arc<Nodes>,
}

impl RedisStore {
    /// Creates a store on the servers that `settings` name. Connections are opened in the background: tidegate starts
    /// whether Redis is available or not. Needs a Tokio runtime.
    #[must_use]
    pub fn new(settings: &RedisSettings, access: Access, clock: Clock) -> Self {
        let RedisSettings { timeout, connections, .. } = *settings;
        let keyspace = Keyspace::new(&settings.key_prefix, fastrand::u64(..));
        let calls = Arc::new(Calls::new(keyspace, clock));
        let meter = Arc::new(StoreMeter::new("redis"));
        let nodes = Arc::new(Nodes {
            timeout,
            connections,
            dialer: Arc::new(Dialer::new(access)),
            calls: Arc::clone(&calls),
            health: Arc::default(),
            generation: Arc::new(AtomicGeneration::default()),
            meter: Arc::clone(&meter),
            probes: ProbeThread::start(),
            local: Stopwatch::start(),
        });
        let route = match settings.topology.clone() {
            RedisTopology::Standalone(address) => Route::to_server(address, &nodes),
            RedisTopology::Sentinel { sentinels, primary } => Route::to_primary(sentinels, primary, &nodes),
            RedisTopology::Cluster(seeds) => Route::to_cluster(seeds, Arc::clone(&nodes)),
        };
        Self { counters: Arc::new(Counters { route, calls, meter, timeout }), nodes }
    }

    /// Replaces the credentials and certificates of future connections.
    pub fn set_access(&self, access: Access) {
        self.nodes.dialer.set_access(access);
    }

    /// Decides about all charges of one request.
    pub async fn take<C: AsRef<KeyedCharge> + Sync>(&self, charges: &[C]) -> Decisions {
        let watch = Stopwatch::start();
        let deadline = watch.deadline(self.timeout());
        let decisions = if self.counters.route.has_slots() {
            let charges: Vec<&KeyedCharge> = charges.iter().map(C::as_ref).collect();
            Box::pin(across_slots::take(&self.counters, &charges, deadline)).await
        } else {
            self.counters.take(0, charges, deadline).await
        };
        let error = decisions.iter().find_map(|decision| decision.as_ref().err());
        if error.is_some() {
            self.counters.route.report_failure();
        }
        let meter = &self.nodes.meter;
        match error {
            None => meter.answered(watch.seconds()),
            // The server was not queried.
            Some(StoreError::Down(_)) => {}
            Some(StoreError::Timeout(_)) => meter.timed_out(watch.seconds()),
            Some(_) => meter.failed(watch.seconds()),
        }
        decisions
    }

    /// Takes back what was charged by these decisions.
    pub async fn give_back(&self, decided: &[(&KeyedCharge, &Decision)]) {
        self.counters.give_back(decided).await;
    }

    /// Returns whether a counter may hold charges that are about to be given back, so that it is full only for a moment:
    /// where keys have slots, a request may need several calls.
    #[must_use]
    pub fn may_give_back(&self) -> bool {
        self.counters.route.has_slots()
    }

    /// Adds to a counter what it may lack after an outage, and returns the result.
    ///
    /// # Errors
    /// When it is not known whether that was done. It may be repeated: see [`Settlement::number`].
    pub async fn settle(&self, settlement: &Settlement<'_>) -> Result<Counter, StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        self.counters.settle(settlement, deadline).await
    }

    /// Returns counters of one client, and the time. One that does not exist is empty.
    ///
    /// # Errors
    /// When there is no valid reply.
    pub async fn read(&self, counters: &[Charged<'_>]) -> Result<(StoreMs, Vec<Counter>), StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        self.counters.read(counters, deadline).await
    }

    /// Deletes counters of one client.
    ///
    /// # Errors
    /// When it is not known whether that was done.
    pub async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        self.counters.delete(keys, deadline).await
    }

    /// Returns the document that all instances share if it has another revision than `known`: `""` if there was none, `"-"`
    /// if the caller does not know. If `new` is not empty, that replaces a document of the known revision.
    ///
    /// # Errors
    /// When it is not known whether that was done.
    pub async fn document(&self, known: &str, new: &[u8]) -> Result<DocumentReply, StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        self.counters.document(known, new, deadline).await
    }

    /// Returns the key of that document, which is also the channel of messages about it.
    #[must_use]
    pub fn document_key(&self) -> String {
        self.counters.calls.keyspace().document()
    }

    /// Records that this instance is alive for this long. Returns which instances are.
    ///
    /// # Errors
    /// When there is no valid reply.
    pub async fn heartbeat(&self, alive: Duration) -> Result<Instances, StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        self.counters.heartbeat(alive, deadline).await
    }

    /// Records what this instance reports of itself, for this long.
    ///
    /// # Errors
    /// When there is no valid reply.
    pub async fn introduce(&self, text: &[u8], alive: Duration) -> Result<(), StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        self.counters.introduce(text, alive, deadline).await
    }

    /// Returns what the instances that are alive report of themselves, at most `most` of them, each with its number.
    ///
    /// # Errors
    /// When there is no valid reply.
    pub async fn introductions(&self, most: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        self.counters.introductions(most, deadline).await
    }

    /// Returns the number of this instance among all that share the store.
    #[must_use]
    pub fn instance(&self) -> u64 {
        self.counters.calls.keyspace().instance()
    }

    /// Returns how long a check may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.nodes.timeout
    }

    /// Returns how long [`Self::settle`] may take. It may be longer than for a check, as a request does not wait for the
    /// whole of it.
    #[must_use]
    pub fn settle_timeout(&self) -> Duration {
        MIN_SETTLE_TIMEOUT.max(self.nodes.timeout)
    }

    /// Returns the state of the servers.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.nodes.health.report()
    }

    /// Brings the metrics up to date that are read from the state of the store: for each scrape.
    pub fn refresh_metrics(&self) {
        metrics::queue_depth(self.counters.route.queue_depth());
        metrics::degraded_seconds(self.nodes.health.degraded_seconds());
    }

    /// Returns whether no server is used at the moment.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.counters.route.is_down()
    }

    /// Returns whether the server that has this counter is not used at the moment.
    #[must_use]
    pub fn is_down_for(&self, key: &str) -> bool {
        self.counters.route.is_down_for(self.counters.slot(key))
    }

    /// Returns the current generation: counters last seen in an earlier one may be lost.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.nodes.generation.load()
    }
}
