//! What a store counts, and the instances that share one.

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

pub(super) const STORE_SECONDS: &str = "tidegate_store_duration_seconds";
const STORE_UP: &str = "tidegate_store_up";
const STORE_OUTAGES: &str = "tidegate_store_outages_total";
const STORE_KEYS: &str = "tidegate_store_keys";
const STORE_EVICTIONS: &str = "tidegate_store_evictions_total";
const STORE_ROUND_TRIPS: &str = "tidegate_store_round_trips_total";
const STORE_DISAGREEMENTS: &str = "tidegate_store_disagreements_total";
const INSTANCES: &str = "tidegate_instances";
const FALLBACK_EVICTIONS: &str = "tidegate_fallback_evictions_total";
const SETTLED: &str = "tidegate_settled_units_total";

pub(super) fn describe() {
    describe_histogram!(STORE_SECONDS, "Time of a check in the store, by store and result.");
    describe_gauge!(STORE_UP, "1 while all servers of the store are used, 0 while one is down.");
    describe_counter!(STORE_OUTAGES, "How often a server of the store went down.");
    describe_gauge!(STORE_KEYS, "Counters in the memory store.");
    describe_counter!(STORE_EVICTIONS, "Live counters that the memory store dropped to make room.");
    describe_counter!(STORE_ROUND_TRIPS, "Batches of checks sent to Redis.");
    describe_counter!(
        STORE_DISAGREEMENTS,
        "Decisions of Redis that the arithmetic here does not confirm: a bug."
    );
    describe_gauge!(INSTANCES, "Instances that share the limits, as last seen in Redis.");
    describe_counter!(
        FALLBACK_EVICTIONS,
        "Counters that this instance forgot: in an outage of Redis their clients get an equal part of the limit."
    );
    describe_counter!(SETTLED, "Units admitted without Redis that were added to its counters afterwards.");
    // All appear from the start, so that the first outage is seen as an increase. Without a shared store they stay so.
    for name in [STORE_OUTAGES, FALLBACK_EVICTIONS, SETTLED] {
        counter!(name).increment(0);
    }
    gauge!(STORE_UP).set(1.0);
    gauge!(INSTANCES).set(1.0);
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

    /// A batch of checks was sent.
    pub(crate) fn round_trip(&self) {
        self.round_trips.increment(1);
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
