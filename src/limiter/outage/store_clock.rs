//! Converts between the limiter's timeline and the store's clock.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::{LocalMs, Timeline};
use crate::store::StoreMs;

/// The store's clock, as far as it is known.
#[derive(Debug)]
pub(super) struct StoreClock {
    /// How far it is ahead of the timeline, in milliseconds.
    ahead_ms: AtomicI64,
}

impl StoreClock {
    /// Assumes that the store's clock shows the same time as this machine's, until the store reports its time.
    pub(super) fn new(timeline: &Timeline) -> Self {
        Self { ahead_ms: AtomicI64::new(timeline.unix_ms() - timeline.now().as_i64()) }
    }

    /// Records what the store's clock showed.
    pub(super) fn observe(&self, store: StoreMs, local: LocalMs) {
        self.ahead_ms.store(store.as_i64() - local.as_i64(), Ordering::Relaxed);
    }

    /// Returns what the store's clock shows at `local`.
    pub(super) fn at(&self, local: LocalMs) -> StoreMs {
        StoreMs::new(local.as_i64() + self.ahead_ms.load(Ordering::Relaxed))
    }
}
