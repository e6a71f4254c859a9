//! What all the servers of one store have in common.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::server::health::Health;
use super::server::probe::Watch;
use super::wire::link::Access;
use crate::clock::{Clock, Deadline, Stopwatch};
use crate::metrics::StoreMeter;
use crate::store::AtomicGeneration;

/// One store's settings, clock and metrics.
#[derive(Debug)]
pub(super) struct Shared {
    /// What opens a connection: it may change.
    pub(super) access: ArcSwap<Access>,
    /// How long a check may take in all.
    pub(super) timeout: Duration,
    /// The most connections to each server.
    pub(super) connections: u32,
    /// What the name of each key starts with.
    pub(super) key_prefix: Box<str>,
    /// Where scripts take the time from.
    pub(super) clock: Clock,
    /// The name of this instance among all of them.
    pub(super) instance: u64,
    /// How the servers are.
    pub(super) health: Arc<Health>,
    /// Where the servers are probed.
    pub(super) watch: Watch,
    /// How many runs of servers have been met: counters last seen before the latest may be lost.
    pub(super) generation: AtomicGeneration,
    /// The store's own time is that since its start.
    pub(super) started: Stopwatch,
    pub(super) meter: StoreMeter,
}

impl Shared {
    /// The name in Redis of what goes by that name here.
    pub(super) fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.key_prefix)
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.started.millis()
    }

    /// The deadline of what began with `watch`.
    pub(super) fn deadline(&self, watch: &Stopwatch) -> Deadline {
        watch.deadline(self.timeout)
    }
}
