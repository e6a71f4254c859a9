//! How many instances share the limits, and the index of this one, as the heartbeats in Redis report it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::LocalMs;
use crate::metrics;
use crate::store::Instances;
use crate::window::Limit;

/// How many reports in a row must count fewer instances before this instance assumes fewer: after an outage the
/// instances announce themselves one by one, and a Redis that was restarted knows none of them.
const REPORTS_OF_FEWER: u32 = 10;

/// The instances that share the limits.
#[derive(Debug)]
pub(super) struct Membership {
    assumed: Mutex<Assumed>,
    /// When an instance of another build was last alive, or may have been, as the milliseconds of a [`LocalMs`].
    other_builds_ms: AtomicI64,
}

#[derive(Debug)]
struct Assumed {
    /// The number of instances, at least 1.
    instances: i64,
    /// The index of this one, from 0.
    index: i64,
    /// How many reports in a row have counted fewer instances.
    reports_of_fewer: u32,
}

impl Membership {
    /// Until Redis reports the number of instances, assumes `instances` of them and picks the index of this one at
    /// random.
    pub(super) fn new(instances: u32, now: LocalMs) -> Self {
        let instances = i64::from(instances.max(1));
        metrics::instances(instances);
        let index = fastrand::i64(0..instances);
        let assumed = Mutex::new(Assumed { instances, index, reports_of_fewer: 0 });
        Self { assumed, other_builds_ms: AtomicI64::new(now.as_i64()) }
    }

    /// Records what Redis reported.
    pub(super) fn observe(&self, report: Instances, now: LocalMs) {
        let Instances { alive, index, others } = report;
        if others > 0 {
            self.other_builds_ms.store(now.as_i64(), Ordering::Relaxed);
        }
        let mut assumed = self.lock();
        assumed.reports_of_fewer = if alive < assumed.instances { assumed.reports_of_fewer + 1 } else { 0 };
        if assumed.reports_of_fewer == 0 || assumed.reports_of_fewer >= REPORTS_OF_FEWER {
            assumed.instances = alive.max(1);
            assumed.reports_of_fewer = 0;
        }
        assumed.index = index;
        metrics::instances(assumed.instances);
    }

    /// Records that Redis reported nothing. The number of instances stays, and there may be instances of another build.
    pub(super) fn observe_failure(&self, now: LocalMs) {
        self.other_builds_ms.store(now.as_i64(), Ordering::Relaxed);
        self.lock().reports_of_fewer = 0;
    }

    /// Returns whether an instance of another build may have been alive in the last `window_ms` milliseconds, so that a
    /// counter of that window may hold what it counted.
    pub(super) fn had_other_builds(&self, window_ms: i64, now: LocalMs) -> bool {
        now - LocalMs::new(self.other_builds_ms.load(Ordering::Relaxed)) <= window_ms
    }

    /// Returns this instance's part of a limit when all instances have equal parts. Which of them get the units that
    /// cannot be divided depends on the key.
    pub(super) fn equal_part(&self, limit: &Limit, key: &str) -> Limit {
        let assumed = self.lock();
        // All instances must compute the same number, so the hash has no seed.
        let turn = key.bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % 1_000_003);
        limit.equal_part(assumed.index + turn, assumed.instances)
    }

    /// Returns the assumed number of instances.
    pub(super) fn instances(&self) -> i64 {
        self.lock().instances
    }

    fn lock(&self) -> MutexGuard<'_, Assumed> {
        self.assumed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
