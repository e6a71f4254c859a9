//! What one instance knows of one counter that it shares with others.

use crate::clock::LocalMs;
use crate::store::{Decision, Generation, GenerationSpan, KeyedCharge, StoreMs};
use crate::window::{Counter, Limit, Traffic};

/// How long an instance remembers, at least, which part of a client's traffic came through it, in milliseconds.
const MEMORY_MS: i64 = 60_000;
/// How long after the return of the store all instances that a client still uses have settled its counter, in
/// milliseconds.
const SETTLED_BY_ALL_MS: i64 = 1_000;
/// The longest time between two replies that are read in the wrong order, in milliseconds.
const MAX_REORDERING_MS: i64 = 10_000;
/// Fewer units than a quota divided by this are too few to draw conclusions from.
const FEW_UNITS_DIVISOR: i64 = 8;
/// The store may decide while it lacks at most a quota divided by this, of all instances together.
const TOLERATED_UNITS_DIVISOR: i64 = 20;

/// One counter.
#[derive(Clone, Debug)]
pub(super) struct SharedCounter {
    limit: Limit,
    /// What was admitted through this instance, by the store or locally.
    own: Counter,
    /// The time from which on `own` is complete.
    complete_since: StoreMs,
    /// The counter as the store last reported it.
    seen: Counter,
    /// The generation in which the store reported it.
    generation: Generation,
    /// When the store last decided.
    decided: StoreMs,
    /// The part of the limit by which this instance decides, or last did.
    part: Option<Part>,
    /// What was admitted locally, and is in no settlement yet.
    unsettled: Counter,
    /// The settlement that the store has not confirmed.
    pending: Option<Box<PendingSettlement>>,
    /// When the next settlement may begin.
    next_settlement: LocalMs,
}

/// This instance's part of a limit.
#[derive(Clone, Copy, Debug)]
struct Part {
    whole: Limit,
    limit: Limit,
    since: StoreMs,
    used: StoreMs,
}

/// An addition to a counter in the store that the store has not confirmed.
#[derive(Clone, Debug)]
pub(super) struct PendingSettlement {
    /// Identifies the addition, so that it counts once, however often it is sent.
    pub(super) number: u64,
    /// What is added.
    pub(super) unsettled: Counter,
    /// The counter as it was last seen, if the store may have lost it.
    pub(super) seen: Counter,
    /// The counter's limit.
    pub(super) limit: Limit,
}

impl SharedCounter {
    /// Creates a counter of which nothing is known.
    pub(super) fn unknown(limit: Limit, generation: Generation) -> Self {
        Self {
            limit,
            own: Counter::default(),
            complete_since: StoreMs::default(),
            seen: Counter::default(),
            generation,
            decided: StoreMs::default(),
            part: None,
            unsettled: Counter::default(),
            pending: None,
            next_settlement: LocalMs::default(),
        }
    }

    /// Creates a counter from the first decision of the store that this instance sees.
    pub(super) fn from_decision(
        keyed: &KeyedCharge,
        decision: &Decision,
        generations: GenerationSpan,
    ) -> Self {
        let limit = keyed.charge.limit;
        let mut counter = Self::unknown(limit, generations.before);
        // Others have admitted units of this counter before. Some may have come through an instance that this one replaces:
        // they then count neither for it nor for any other, so the ratio of traffic begins now. For the first few requests
        // of a new client the difference does not matter.
        if decision.before.used(&limit, decision.now.as_i64()) * FEW_UNITS_DIVISOR > limit.quota() {
            counter.complete_since = decision.now;
        }
        counter.observe(keyed, decision, generations);
        counter
    }

    /// Records a decision of the store.
    pub(super) fn observe(&mut self, keyed: &KeyedCharge, decision: &Decision, generations: GenerationSpan) {
        let Decision { now, taken, counter, .. } = decision;
        let (now_ms, GenerationSpan { before, after }) = (now.as_i64(), generations);
        self.limit = keyed.charge.limit;
        self.decided = *now;
        if self.own.last_ms() - now_ms >= self.limit.window_ms() {
            // The clock was set back. Without this nothing would expire before the clock has caught up.
            self.own = self.own.rebased(&self.limit, now_ms);
        }
        if taken.charged {
            self.own.record(&self.limit, now_ms, keyed.charge.cost, 0);
        }
        // A server that lost the counter reports an empty one: what was last seen must first be put back.
        let lost = (self.generation != before || before != after) && self.has_live_units(&self.seen, *now);
        // Replies can arrive out of order: keep the newer one. A counter further ahead than any reply can be means that
        // the server's clock was set back.
        let order = |counter: &Counter| (counter.last_ms(), counter.used(&self.limit, now_ms));
        let is_older = order(counter) < order(&self.seen) && self.seen.last_ms() - now_ms < MAX_REORDERING_MS;
        if !lost && !is_older {
            self.seen.clone_from(counter);
            self.generation = before;
        }
    }

    /// Returns the part of `limit` by which this instance decides at `now`: the one that it used before, unless that
    /// is out of date. `equal` returns the part for a client of which too little is known.
    pub(super) fn part(&mut self, limit: &Limit, now: StoreMs, equal: impl FnOnce(&Limit) -> Limit) -> Limit {
        let decided = self.decided;
        self.limit = *limit;
        // While some instances have not settled the counter, the store reports too few units of others, from which each
        // instance would compute too large a part.
        // A part is out of date when the store has decided again: long enough after the part's last use, or after its
        // beginning.
        let is_stale =
            |part: &Part| decided - part.used > SETTLED_BY_ALL_MS || decided - part.since > MEMORY_MS;
        let part = match self.part.filter(|part| !is_stale(part)) {
            Some(part) => Part { used: now, ..part },
            None => self.new_part(limit, now, equal),
        };
        self.part = Some(part);
        // If the limit has changed, the part changes in proportion. It is always derived from the first part: a change
        // and its reverse would round twice, and leave a different one.
        part.limit.part_of_changed(&part.whole, limit)
    }

    fn new_part(&mut self, limit: &Limit, now: StoreMs, equal: impl FnOnce(&Limit) -> Limit) -> Part {
        // The traffic at the client's last admission: the time that has passed since then says nothing about it.
        let (at_ms, since_ms) = (self.last_ms(), self.complete_since.as_i64());
        let own = self.own.used_since(limit, at_ms, since_ms);
        let all = self.seen.used_since(limit, at_ms, since_ms).max(own);
        let room = limit.quota() - self.seen.used(limit, at_ms);
        let equal = equal(limit);
        // The ratio of a few units is mostly chance, unless all of them came through this instance.
        let is_known = all > 0 && (own == all || all * FEW_UNITS_DIVISOR >= limit.quota());
        let part = if is_known { limit.part_of_traffic(Traffic { own, all, room }, &equal) } else { equal };
        self.own.owe_part(&self.seen, limit, &part, now.as_i64());
        Part { whole: *limit, limit: part, since: now, used: now }
    }

    /// Returns the counter by which this instance decides.
    pub(super) fn own(&mut self) -> &mut Counter {
        &mut self.own
    }

    /// Records units that were admitted locally. `before` is this instance's counter before that.
    pub(super) fn record_unsettled(&mut self, before: &Counter, part: &Limit, now: StoreMs, cost: i64) {
        let now_ms = now.as_i64();
        self.unsettled.record(part, now_ms, cost, before.lent(part, now_ms, cost));
    }

    /// Returns whether the store lacks something of the counter.
    pub(super) fn needs_settlement(&self, now: StoreMs, generation: Generation) -> bool {
        self.has_live_units(&self.unsettled, now)
            || self.pending.as_ref().is_some_and(|pending| self.has_live_units(&pending.unsettled, now))
            || self.may_be_lost(now, generation)
    }

    /// Returns whether the store lacks so much of the counter that it must not decide before it is settled.
    pub(super) fn blocks_checks(&self, now: StoreMs, generation: Generation, instances: i64) -> bool {
        let units = |unsettled: &Counter| unsettled.used(&self.limit, now.as_i64());
        let pending = self.pending.as_ref().map_or(0, |pending| units(&pending.unsettled));
        let lacking = units(&self.unsettled) + pending;
        lacking * TOLERATED_UNITS_DIVISOR * instances > self.limit.quota()
            || self.may_be_lost(now, generation)
    }

    /// Returns whether a settlement may begin: no other one is under way.
    pub(super) fn may_begin_settlement(&self, local: LocalMs) -> bool {
        local >= self.next_settlement
    }

    /// Returns what to settle, unless a settlement is under way. It may be repeated after `pause_ms`
    /// milliseconds.
    pub(super) fn begin_settlement(
        &mut self,
        generation: Generation,
        now: StoreMs,
        local: LocalMs,
        pause_ms: i64,
    ) -> Option<PendingSettlement> {
        if !self.may_begin_settlement(local) {
            return None;
        }
        self.next_settlement = local + pause_ms;
        let limit = self.limit;
        let seen = if self.generation == generation { Counter::default() } else { self.seen.clone() };
        // An addition that was sent and not confirmed keeps its number, so that it cannot count twice.
        let unconfirmed = self.pending.take();
        let pending = match unconfirmed.filter(|pending| self.has_live_units(&pending.unsettled, now)) {
            Some(pending) => PendingSettlement { seen, limit, ..*pending },
            None => {
                let unsettled = std::mem::take(&mut self.unsettled);
                PendingSettlement { number: fastrand::u64(..), unsettled, seen, limit }
            }
        };
        self.pending = Some(Box::new(pending.clone()));
        Some(pending)
    }

    /// Records that a settlement is done, and the counter that the store reported then. None: the store cannot settle it.
    pub(super) fn complete(&mut self, number: u64, counter: Option<Counter>, generation: Generation) {
        if self.pending.take_if(|pending| pending.number == number).is_none() {
            return;
        }
        self.next_settlement = LocalMs::default();
        self.generation = generation;
        if let Some(counter) = counter
            && counter.last_ms() >= self.seen.last_ms()
        {
            self.seen = counter;
        }
    }

    /// Records that the outcome of a settlement is unknown: it may be repeated at once.
    pub(super) fn fail(&mut self) {
        self.next_settlement = LocalMs::default();
    }

    /// Returns whether the counter is still worth its memory.
    pub(super) fn is_recent(&self, now: StoreMs) -> bool {
        now.as_i64() - self.last_ms() < MEMORY_MS.max(2 * self.limit.window_ms())
    }

    /// Returns whether the store may have lost units that still count.
    fn may_be_lost(&self, now: StoreMs, generation: Generation) -> bool {
        self.generation != generation && self.has_live_units(&self.seen, now)
    }

    /// Returns whether any unit of a counter of this limit still counts.
    fn has_live_units(&self, counter: &Counter, now: StoreMs) -> bool {
        !counter.buckets().is_empty() && counter.last_ms() + self.limit.window_ms() > now.as_i64()
    }

    fn last_ms(&self) -> i64 {
        self.own.last_ms().max(self.seen.last_ms())
    }
}
