//! What a store counts, and the instances that share one.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::table::{
    FALLBACK_EVICTIONS, INSTANCES, SETTLED, STORE_BATCH_SIZE, STORE_BREAKER_OPEN, STORE_DEGRADED,
    STORE_DISAGREEMENTS, STORE_EVICTIONS, STORE_KEYS, STORE_OUTAGES, STORE_QUEUE_DEPTH, STORE_ROUND_TRIPS,
    STORE_SECONDS, STORE_UP,
};

pub(super) fn announce() {
    // All appear from the start, so that the first outage is seen as an increase. Without a shared store they stay so.
    for name in [STORE_OUTAGES, STORE_DEGRADED, FALLBACK_EVICTIONS, SETTLED] {
        counter!(name).increment(0);
    }
    gauge!(STORE_UP).set(1.0);
    gauge!(INSTANCES).set(1.0);
    gauge!(STORE_QUEUE_DEPTH).set(0.0);
}

/// What a store counts.
#[derive(Debug)]
pub(crate) struct StoreMeter {
    answered: Histogram,
    timed_out: Histogram,
    failed: Histogram,
    keys: Gauge,
    evictions: Counter,
    round_trips: Counter,
    batch_size: Histogram,
    disagreements: Counter,
}

impl StoreMeter {
    /// The handles of one store.
    #[must_use]
    pub(crate) fn new(store: &'static str) -> Self {
        let seconds = |result: &'static str| histogram!(STORE_SECONDS, "store" => store, "result" => result);
        Self {
            answered: seconds("ok"),
            timed_out: seconds("timeout"),
            failed: seconds("error"),
            keys: gauge!(STORE_KEYS, "store" => store),
            evictions: counter!(STORE_EVICTIONS, "store" => store),
            round_trips: counter!(STORE_ROUND_TRIPS, "store" => store),
            batch_size: histogram!(STORE_BATCH_SIZE, "store" => store),
            disagreements: counter!(STORE_DISAGREEMENTS, "store" => store),
        }
    }

    /// A check got its answer.
    pub(crate) fn answered(&self, seconds: f64) {
        self.answered.record(seconds);
    }

    /// A check got none in time.
    pub(crate) fn timed_out(&self, seconds: f64) {
        self.timed_out.record(seconds);
    }

    /// A check failed.
    pub(crate) fn failed(&self, seconds: f64) {
        self.failed.record(seconds);
    }

    /// How many counters the store holds.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
    pub(crate) fn keys(&self, keys: usize) {
        self.keys.set(keys as f64);
    }

    /// A live counter was dropped to make room.
    pub(crate) fn evicted(&self) {
        self.evictions.increment(1);
    }

    /// Counts a batch, by its number of calls.
    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    pub(crate) fn round_trip(&self, calls: usize) {
        self.round_trips.increment(1);
        self.batch_size.record(calls as f64);
    }

    /// Redis and this process came to different decisions.
    pub(crate) fn disagreed(&self) {
        self.disagreements.increment(1);
    }
}

/// Whether the store answers.
pub(crate) fn store_up(up: bool) {
    gauge!(STORE_UP).set(if up { 1.0 } else { 0.0 });
}

/// A server of the store went down.
pub(crate) fn store_outage() {
    counter!(STORE_OUTAGES).increment(1);
}

/// So many instances share the limits.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(crate) fn instances(instances: i64) {
    gauge!(INSTANCES).set(instances as f64);
}

/// A counter was forgotten to make room.
pub(crate) fn fallback_evicted() {
    counter!(FALLBACK_EVICTIONS).increment(1);
}

/// So many units were added to counters in the store that had missed them.
pub(crate) fn settled(units: i64) {
    counter!(SETTLED).increment(units.unsigned_abs());
}

/// Shows whether the breaker of a server is open.
pub(crate) fn breaker_open(server: &str, open: bool) {
    gauge!(STORE_BREAKER_OPEN, "server" => server.to_owned()).set(if open { 1.0 } else { 0.0 });
}

/// Shows a server as one that the store does not use any more: a series cannot be removed.
pub(crate) fn breaker_left(server: &str) {
    gauge!(STORE_BREAKER_OPEN, "server" => server.to_owned()).set(f64::NAN);
}

/// For how many seconds in all a server of the store has been down so far.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole seconds, never negative")]
pub(crate) fn degraded_seconds(seconds: f64) {
    counter!(STORE_DEGRADED).absolute(seconds as u64);
}

/// How many calls wait for a round trip.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(crate) fn queue_depth(calls: usize) {
    gauge!(STORE_QUEUE_DEPTH).set(calls as f64);
}
