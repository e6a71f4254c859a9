//! What all the servers of one store have in common.

use arc_swap::ArcSwap;
use std::time::Duration;

use super::server::Access;
use crate::clock::{Deadline, Stopwatch};
use crate::metrics::StoreMeter;

/// One store's settings, clock and metrics.
#[derive(Debug)]
pub(super) struct Shared {
    /// What opens a connection: it may change.
    pub(super) access: ArcSwap<Access>,
    /// How long a check may take in all.
    pub(super) timeout: Duration,
    /// The most connections to each server.
    pub(super) connections: u32,
    /// The store's own time is that since its start.
    pub(super) started: Stopwatch,
    pub(super) meter: StoreMeter,
}

impl Shared {
    pub(super) fn now_ms(&self) -> i64 {
        self.started.millis()
    }

    /// The deadline of what began with `watch`.
    pub(super) fn deadline(&self, watch: &Stopwatch) -> Deadline {
        watch.deadline(self.timeout)
    }
}
