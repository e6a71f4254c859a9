//! How many instances share the limits, and which of them this is: as Redis last told.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::metrics;
use crate::store::Instances;
use crate::window::Limit;

/// The instances that were last seen alive.
#[derive(Debug)]
pub(super) struct Fleet {
    seen: Mutex<Seen>,
    /// When an instance of another build was last alive, or may have been: on the limiter's own clock.
    others_ms: AtomicI64,
}

#[derive(Debug)]
struct Seen {
    instances: i64,
    /// Of this one, from 0.
    place: i64,
    /// So many times in a row fewer were seen than `instances`.
    fewer: u32,
}

/// Fewer instances are believed when they have been seen so often in a row: after an outage each announces itself in its
/// own time, and a Redis that was restarted knows none of them.
const BELIEVED: u32 = 10;

impl Fleet {
    /// So many are assumed until Redis tells. Which of them this is, chance decides.
    pub(super) fn new(instances: u32, now_ms: i64) -> Self {
        let instances = i64::from(instances.max(1));
        metrics::instances(instances);
        let seen = Mutex::new(Seen { instances, place: fastrand::i64(0..instances), fewer: 0 });
        Self { seen, others_ms: AtomicI64::new(now_ms) }
    }

    /// These have been seen.
    pub(super) fn seen(&self, Instances { alive: instances, index: place, others }: Instances, now_ms: i64) {
        if others > 0 {
            self.others_ms.store(now_ms, Ordering::Relaxed);
        }
        let mut seen = self.lock();
        seen.fewer = if instances < seen.instances { seen.fewer + 1 } else { 0 };
        if seen.fewer == 0 || seen.fewer >= BELIEVED {
            seen.instances = instances.max(1);
            seen.fewer = 0;
        }
        seen.place = place;
        metrics::instances(seen.instances);
    }

    /// They could not be seen: that tells nothing of them.
    pub(super) fn not_seen(&self, now_ms: i64) {
        self.others_ms.store(now_ms, Ordering::Relaxed);
        self.lock().fewer = 0;
    }

    /// Whether a counter may hold what an instance of another build has counted in a window of this length.
    pub(super) fn has_others(&self, window_ms: i64, now_ms: i64) -> bool {
        now_ms - self.others_ms.load(Ordering::Relaxed) <= window_ms
    }

    /// This instance's part of a limit when all have equal parts. What cannot be divided goes to others for another key.
    pub(super) fn equal_part(&self, limit: &Limit, key: &str) -> Limit {
        let seen = self.lock();
        // All instances must come to the same, so no hash that is seeded.
        let turn = key.bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 1_000_003);
        limit.equal_part(seen.place + turn, seen.instances)
    }

    /// How many there are, as far as is known.
    pub(super) fn instances(&self) -> i64 {
        self.lock().instances
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
