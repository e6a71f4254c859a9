//! Refusals are remembered: nothing that arrives can make room before the time that a refusal named, so until then
//! the store need not be asked again, and a flood of refused requests never reaches it.

use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use crate::store::{Decision, KeyedCharge};
use crate::window::Limit;

/// The most refusals remembered; the ones least used make room.
const CAPACITY: usize = 65_536;
/// For how long at most: somebody may have deleted the counter in Redis, and a day's limit refuses for hours.
const ASK_AGAIN_MS: i64 = 5_000;
/// The same for a counter that was charged a moment ago: it may be full with charges about to be given back. One that
/// has refused for so long is full, as refusals charge nothing.
const LOOK_AGAIN_MS: i64 = 100;

/// The refusals of the recent past. Times are in milliseconds of the caller's own clock.
#[derive(Debug)]
pub(super) struct Denied {
    refusals: Cache<String, Refusal, UnitWeighter, RandomState>,
    revision: Revision,
}

/// What can make room in a counter before the time that a refusal named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revision {
    /// Nothing: it belongs to this process.
    Never,
    /// Its deletion in Redis.
    Deleted,
    /// Charges that are given back, too.
    GivenBack,
}

#[derive(Clone, Debug)]
struct Refusal {
    /// A changed limit is another question.
    limit: Limit,
    /// What costs more is refused for longer.
    cost: i64,
    remaining: i64,
    /// When there is room.
    until_ms: i64,
    /// Until when this is believed.
    ask_again_ms: i64,
}

impl Denied {
    pub(super) fn new(revision: Revision) -> Self {
        let hasher = RandomState::default();
        let refusals = Cache::with(CAPACITY, CAPACITY as u64, UnitWeighter, hasher, Default::default());
        Self { refusals, revision }
    }

    /// Takes note of a decision about `ask`, which was asked at `now_ms`.
    pub(super) fn note(&self, ask: &KeyedCharge, decision: &Decision, now_ms: i64) {
        let (limit, cost) = (ask.charge.limit, ask.charge.cost);
        let Some(left_ms) = decision.counter.retry_after(&limit, decision.now_ms, cost) else { return };
        let last =
            self.refusals.get(ask.key.as_str()).filter(|last| last.limit == limit && last.cost == cost);
        if last.is_some_and(|last| now_ms < last.ask_again_ms) {
            return; // Asked before that one was answered: it tells nothing new.
        }
        let settled = decision.now_ms - decision.counter.last_ms() >= LOOK_AGAIN_MS;
        let most_ms = match self.revision {
            Revision::Never => i64::MAX,
            Revision::GivenBack if !settled => LOOK_AGAIN_MS,
            Revision::Deleted | Revision::GivenBack => ASK_AGAIN_MS,
        };
        let refusal = Refusal {
            limit,
            cost,
            remaining: decision.counter.remaining(&limit, decision.now_ms),
            until_ms: now_ms + left_ms,
            ask_again_ms: now_ms + left_ms.min(most_ms),
        };
        self.refusals.insert(ask.key.clone(), refusal);
    }

    /// If `ask` is known to be refused: units that would be admitted, and milliseconds until it is admitted.
    pub(super) fn recall(&self, ask: &KeyedCharge, now_ms: i64) -> Option<(i64, i64)> {
        let refusal = self.refusals.get(ask.key.as_str())?;
        let known = refusal.limit == ask.charge.limit && refusal.cost <= ask.charge.cost;
        (known && now_ms < refusal.ask_again_ms).then_some((refusal.remaining, refusal.until_ms - now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::{Denied, Revision};
    use crate::store::{Decision, KeyedCharge};
    use crate::window::{Charge, Counter, Limit, Taken};

    /// A refusal so long after the last charge.
    fn refused(after_ms: i64) -> (KeyedCharge, Decision) {
        let limit = Limit::new(1, 0, 60_000, 4).expect("it is a limit");
        let charge = Charge { limit, cost: 1, group: Charge::BINDING };
        let mut counter = Counter::default();
        counter.take(&limit, 1_000, 1);
        let taken = Taken { fits: false, charged: false };
        let decision = Decision { limit, now_ms: 1_000 + after_ms, taken, before: counter.clone(), counter };
        (KeyedCharge { key: "{a}:r:60000:4".to_owned(), charge }, decision)
    }

    #[test]
    fn a_refusal_of_ones_own_counter_holds_until_there_is_room() {
        let (denied, (ask, decision)) = (Denied::new(Revision::Never), refused(0));
        denied.note(&ask, &decision, 10);
        assert_eq!(denied.recall(&ask, 60_009), Some((0, 1)));
        assert_eq!(denied.recall(&ask, 60_010), None);
    }

    #[test]
    fn a_refusal_is_believed_for_a_while() {
        let (denied, (ask, decision)) = (Denied::new(Revision::Deleted), refused(0));
        denied.note(&ask, &decision, 10);
        assert_eq!(denied.recall(&ask, 20), Some((0, 59_990)));
        assert_eq!(denied.recall(&ask, 5_010), None);
    }

    #[test]
    fn what_may_be_given_back_is_looked_at_again_soon() {
        let (denied, (ask, decision)) = (Denied::new(Revision::GivenBack), refused(99));
        for asked_ms in [10, 200] {
            denied.note(&ask, &decision, asked_ms);
            denied.note(&ask, &decision, asked_ms + 1);
            assert_eq!(denied.recall(&ask, asked_ms + 99), Some((0, 59_802)));
            assert_eq!(
                denied.recall(&ask, asked_ms + 100),
                None,
                "it may have been full for a moment each time"
            );
        }
    }

    #[test]
    fn what_was_full_for_a_while_stays_so() {
        let (denied, (ask, decision)) = (Denied::new(Revision::GivenBack), refused(100));
        denied.note(&ask, &decision, 10);
        assert_eq!(denied.recall(&ask, 5_009), Some((0, 54_901)));
    }
}
