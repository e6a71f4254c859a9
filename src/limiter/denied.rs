//! Refusals are remembered: nothing that arrives can make room before the time that a refusal named, so until then
//! the store need not be asked again, and a flood of refused requests never reaches it.

use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::Cache;

use crate::store::{Ask, Decision};
use crate::window::Limit;

/// The most refusals remembered; the ones least used make room.
const CAPACITY: usize = 65_536;
/// For how long at most. Somebody may have deleted the counter in Redis, or, in a cluster, what had filled it may
/// have been given back; and a day's limit refuses for hours.
const ASK_AGAIN_MS: i64 = 5_000;

/// The refusals of the recent past. Times are in milliseconds of the caller's own clock.
#[derive(Debug)]
pub(super) struct Denied(Cache<String, Refusal, UnitWeighter, RandomState>);

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
    pub(super) fn new() -> Self {
        Self(Cache::with(CAPACITY, CAPACITY as u64, UnitWeighter, RandomState::default(), Default::default()))
    }

    /// Takes note of a decision about `ask`, which was asked at `now_ms`.
    pub(super) fn note(&self, ask: &Ask, decision: &Decision, now_ms: i64) {
        let (limit, cost) = (ask.charge.limit, ask.charge.cost);
        let Some(left_ms) = decision.counter.retry_after(&limit, decision.now_ms, cost) else { return };
        let refusal = Refusal {
            limit,
            cost,
            remaining: decision.counter.remaining(&limit, decision.now_ms),
            until_ms: now_ms + left_ms,
            ask_again_ms: now_ms + left_ms.min(ASK_AGAIN_MS),
        };
        self.0.insert(ask.key.clone(), refusal);
    }

    /// If `ask` is known to be refused: units that would be admitted, and milliseconds until it is admitted.
    pub(super) fn recall(&self, ask: &Ask, now_ms: i64) -> Option<(i64, i64)> {
        let refusal = self.0.get(ask.key.as_str())?;
        let known = refusal.limit == ask.charge.limit && refusal.cost <= ask.charge.cost;
        (known && now_ms < refusal.ask_again_ms).then_some((refusal.remaining, refusal.until_ms - now_ms))
    }
}
