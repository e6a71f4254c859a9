//! Remembers refusals. No new request can make room before the time that a refusal named, so until then the store need
//! not decide again, and a flood of refused requests never reaches it.

use std::sync::atomic::{AtomicI64, Ordering};

use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use super::charges::ChargeOutcome;
use crate::clock::LocalMs;
use crate::store::KeyedCharge;
use crate::window::Limit;

/// The maximum number of refusals. The least used one makes room for a new one.
const CAPACITY: usize = 65_536;
/// How long to rely on a refusal, in milliseconds: an operator may have deleted the counter in Redis, and the limit of a
/// day refuses for hours.
const MAX_AGE_MS: i64 = 5_000;
/// The same for a counter that was charged less than this ago: it may be full with charges that are about to be given
/// back. Refusals charge nothing, so a counter that was last charged longer ago is really full.
const UNSTABLE_MS: i64 = 100;

/// The refusals of the recent past.
#[derive(Debug)]
pub(super) struct RefusalCache {
    refusals: Cache<String, Refusal, UnitWeighter, RandomState>,
    early_room: EarlyRoom,
    /// When refusals were last forgotten.
    forgotten: AtomicI64,
}

/// What can make room in a counter before the time that a refusal named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EarlyRoom {
    /// Nothing: the counter belongs to this process.
    Never,
    /// The deletion of the counter in Redis.
    Deletion,
    /// Its deletion, and charges that are given back.
    GiveBack,
}

#[derive(Clone, Debug)]
struct Refusal {
    /// With another limit, the store has to decide again.
    limit: Limit,
    /// Only requests that cost as much or more are refused.
    cost: i64,
    remaining: i64,
    /// When there is room.
    room: LocalMs,
    /// When the store has to decide again.
    expires: LocalMs,
}

impl RefusalCache {
    pub(super) fn new(early_room: EarlyRoom) -> Self {
        let hasher = RandomState::default();
        let refusals = Cache::with(CAPACITY, CAPACITY as u64, UnitWeighter, hasher, Default::default());
        Self { refusals, early_room, forgotten: AtomicI64::new(i64::MIN) }
    }

    /// Remembers a refusal of a charge that was sent to the store at `sent`. The reply was there at `replied`.
    pub(super) fn insert(
        &self,
        keyed: &KeyedCharge,
        outcome: &ChargeOutcome,
        sent: LocalMs,
        replied: LocalMs,
    ) {
        let (limit, cost) = (keyed.charge.limit, keyed.charge.cost);
        let ChargeOutcome { remaining, reset_ms: left_ms, idle_ms, .. } = *outcome;
        let last = self.refusals.get(keyed.key.as_str());
        let last = last.filter(|last| last.limit == limit && last.cost == cost);
        if last.is_some_and(|last| sent < last.expires) {
            // The charge was sent while an earlier refusal was in force. That one must expire in time, so that the store
            // decides again.
            return;
        }
        if sent.as_i64() <= self.forgotten.load(Ordering::Acquire) {
            // The counter may have been deleted after the store decided.
            return;
        }
        let is_stable = idle_ms >= UNSTABLE_MS;
        let max_age_ms = match self.early_room {
            EarlyRoom::Never => i64::MAX,
            EarlyRoom::GiveBack if !is_stable => UNSTABLE_MS,
            EarlyRoom::Deletion | EarlyRoom::GiveBack => MAX_AGE_MS,
        };
        let refusal = Refusal {
            limit,
            cost,
            remaining,
            // The store decided at some time in between: the later time is named to clients, so that none comes back too
            // early, and from the earlier one on the store decides again.
            room: replied + left_ms,
            expires: sent + left_ms.min(max_age_ms),
        };
        self.refusals.insert(keyed.key.clone(), refusal);
        if sent.as_i64() <= self.forgotten.load(Ordering::Acquire) {
            self.refusals.remove(keyed.key.as_str());
        }
    }

    /// Forgets refusals by counters that were deleted before `now`, also those whose replies are still on their way.
    pub(super) fn forget(&self, keys: &[String], now: LocalMs) {
        self.forgotten.fetch_max(now.as_i64(), Ordering::AcqRel);
        for key in keys {
            self.refusals.remove(key.as_str());
        }
    }

    /// Returns the units that would be admitted and the milliseconds until the charge is admitted, if it is known to be
    /// refused at `now`. The clock is read only if a refusal is remembered.
    pub(super) fn get(&self, keyed: &KeyedCharge, now: impl FnOnce() -> LocalMs) -> Option<(i64, i64)> {
        let refusal = self.refusals.get(keyed.key.as_str())?;
        let now = now();
        let applies = refusal.limit == keyed.charge.limit && refusal.cost <= keyed.charge.cost;
        (applies && now < refusal.expires).then_some((refusal.remaining, refusal.room - now))
    }
}

#[cfg(test)]
mod tests {
    use super::{EarlyRoom, RefusalCache};
    use crate::clock::LocalMs;
    use crate::limiter::charges::ChargeOutcome;
    use crate::store::{KeyedCharge, StoreMs};
    use crate::window::{Charge, Counter, Limit};

    /// Returns a charge that is refused `after_ms` milliseconds after the last one that was admitted.
    fn refused(after_ms: i64) -> (KeyedCharge, ChargeOutcome) {
        let limit = Limit::new(1, 0, 60_000, 4).expect("a valid limit");
        let charge = Charge { limit, cost: 1, group: Charge::BINDING };
        let mut counter = Counter::default();
        counter.take(&limit, 1_000, 1);
        let outcome = ChargeOutcome::read(false, &counter, &limit, StoreMs::new(1_000 + after_ms));
        (KeyedCharge { key: "{a}:r:60000:4".to_owned(), charge }, outcome)
    }

    #[test]
    fn a_refusal_of_a_local_counter_lasts_until_there_is_room() {
        let (cache, (keyed, outcome)) = (RefusalCache::new(EarlyRoom::Never), refused(0));
        cache.insert(&keyed, &outcome, LocalMs::new(10), LocalMs::new(10));
        assert_eq!(cache.get(&keyed, || LocalMs::new(60_009)), Some((0, 1)));
        assert_eq!(cache.get(&keyed, || LocalMs::new(60_010)), None);
    }

    #[test]
    fn a_refusal_in_redis_lasts_for_five_seconds() {
        let (cache, (keyed, outcome)) = (RefusalCache::new(EarlyRoom::Deletion), refused(0));
        cache.insert(&keyed, &outcome, LocalMs::new(10), LocalMs::new(10));
        assert_eq!(cache.get(&keyed, || LocalMs::new(20)), Some((0, 59_990)));
        assert_eq!(cache.get(&keyed, || LocalMs::new(5_010)), None);
    }

    #[test]
    fn a_refusal_soon_after_a_charge_that_may_be_given_back_lasts_for_a_moment() {
        let (cache, (keyed, outcome)) = (RefusalCache::new(EarlyRoom::GiveBack), refused(99));
        for sent in [10, 200].map(LocalMs::new) {
            cache.insert(&keyed, &outcome, sent, sent);
            cache.insert(&keyed, &outcome, sent + 1, sent + 1);
            assert_eq!(cache.get(&keyed, || sent + 99), Some((0, 59_802)));
            assert_eq!(
                cache.get(&keyed, || sent + 100),
                None,
                "it may have been full for a moment each time"
            );
        }
    }

    #[test]
    fn a_refusal_long_after_a_charge_that_may_be_given_back_lasts_for_five_seconds() {
        let (cache, (keyed, outcome)) = (RefusalCache::new(EarlyRoom::GiveBack), refused(100));
        cache.insert(&keyed, &outcome, LocalMs::new(10), LocalMs::new(10));
        assert_eq!(cache.get(&keyed, || LocalMs::new(5_009)), Some((0, 54_901)));
    }

    #[test]
    fn the_named_time_is_not_before_there_is_room_where_the_reply_was_slow() {
        let (cache, (keyed, outcome)) = (RefusalCache::new(EarlyRoom::Never), refused(0));
        cache.insert(&keyed, &outcome, LocalMs::new(10), LocalMs::new(30));
        assert_eq!(cache.get(&keyed, || LocalMs::new(40)), Some((0, 59_990)));
        assert_eq!(cache.get(&keyed, || LocalMs::new(60_010)), None, "the store may have room");
    }
}
