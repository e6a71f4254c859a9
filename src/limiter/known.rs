//! What one instance knows of one counter that it shares with others.

use crate::store::{Decision, Generation, KeyedCharge};
use crate::window::{Counter, Limit, Traffic};

/// For how long it is known, at least, which part of a client's traffic comes through here.
const MEMORY_MS: i64 = 60_000;

/// By then all instances that a client still uses have told a store that is back what it missed.
const TOLD_BY_ALL_MS: i64 = 1_000;
/// No answer is read so much later than another one.
const SET_BACK_MS: i64 = 10_000;
/// One part in so many of a limit is few units.
const FEW: i64 = 8;
/// The store may lack one part in so many of a limit, of all instances together, and decide all the same.
const MUCH: i64 = 20;

/// One counter. Times are in milliseconds of the store's clock.
#[derive(Clone, Debug)]
pub(super) struct Known {
    limit: Limit,
    /// What was admitted through this instance, by the store or without it.
    own: Counter,
    /// Since when all of that is known.
    since_ms: i64,
    /// The counter as the store last told it.
    seen: Counter,
    /// How many runs of servers had been met by then.
    runs: Generation,
    /// When the store last decided.
    learned_ms: i64,
    /// The part of the limit that this instance decides about, or last did.
    part: Option<Part>,
    /// What was admitted without the store, and it has not been told.
    missed: Counter,
    /// What it has been told, but has not confirmed.
    told: Option<Box<Told>>,
    /// When to tell again, on the limiter's own clock.
    tell_again_ms: i64,
}

/// A part of a limit.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// The limit that it is a part of.
    of: Limit,
    limit: Limit,
    since_ms: i64,
    used_ms: i64,
}

/// An addition under way.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Its number, by which the store knows it again.
    pub(super) number: u64,
    /// What is added.
    pub(super) missed: Counter,
    /// What the counter was.
    pub(super) seen: Counter,
    /// Its limit.
    pub(super) limit: Limit,
}

impl Known {
    /// Nothing, yet.
    pub(super) fn nothing(limit: Limit, runs: Generation) -> Self {
        Self {
            limit,
            own: Counter::default(),
            since_ms: 0,
            seen: Counter::default(),
            runs,
            learned_ms: 0,
            part: None,
            missed: Counter::default(),
            told: None,
            tell_again_ms: 0,
        }
    }

    /// What is known after the first decision of the store.
    pub(super) fn first(ask: &KeyedCharge, decision: &Decision, runs: (Generation, Generation)) -> Self {
        let limit = ask.charge.limit;
        let mut known = Self::nothing(limit, runs.0);
        // Of what others have admitted before, part may have come through an instance whose place this one has taken. A
        // new client's first requests are not worth the difference.
        if decision.before.used(&limit, decision.now_ms) * FEW > limit.quota() {
            known.since_ms = decision.now_ms;
        }
        known.learn(ask, decision, runs);
        known
    }

    /// The store has decided, when so many runs of servers had been met: before it was asked, and after.
    pub(super) fn learn(&mut self, ask: &KeyedCharge, decision: &Decision, runs: (Generation, Generation)) {
        let Decision { now_ms, taken, counter, .. } = decision;
        self.limit = ask.charge.limit;
        self.learned_ms = *now_ms;
        if self.own.last_ms() - now_ms >= self.limit.window_ms() {
            // The clock was set back: else nothing would expire before it has caught up.
            self.own = self.own.rebased(&self.limit, *now_ms);
        }
        if taken.charged {
            self.own.record(&self.limit, *now_ms, ask.charge.cost, 0);
        }
        // A server that lost the counter says that it is empty: what it was must first be put back.
        let lost = (self.runs != runs.0 || runs.0 != runs.1) && self.counts(&self.seen, *now_ms);
        // Of two answers the later may be read first. (From further ahead than any answer takes, the clock was set back.)
        let order = |counter: &Counter| (counter.last_ms(), counter.used(&self.limit, *now_ms));
        let old = order(counter) < order(&self.seen) && self.seen.last_ms() - now_ms < SET_BACK_MS;
        if !lost && !old {
            self.seen.clone_from(counter);
            self.runs = runs.0;
        }
    }

    /// This instance's part of the limit: as it was, or by what is known now.
    pub(super) fn part(&mut self, limit: &Limit, now_ms: i64, equal: impl FnOnce(&Limit) -> Limit) -> Limit {
        let learned_ms = self.learned_ms;
        self.limit = *limit;
        // Until all instances have told the store what it missed, its answers make each take itself for a larger part.
        let stale = |part: &Part| {
            learned_ms - part.used_ms > TOLD_BY_ALL_MS || learned_ms - part.since_ms > MEMORY_MS
        };
        let part = match self.part.filter(|part| !stale(part)) {
            Some(part) => Part { used_ms: now_ms, ..part },
            None => {
                // As it was when the client was last admitted: time that has passed since tells nothing.
                let at_ms = self.last_ms();
                let own = self.own.used_since(limit, at_ms, self.since_ms);
                let all = self.seen.used_since(limit, at_ms, self.since_ms).max(own);
                let room = limit.quota() - self.seen.used(limit, at_ms);
                let equal = equal(limit);
                // Of few units a part tells little, but that all of them came through here.
                let known = all > 0 && (own == all || all * FEW >= limit.quota());
                let part =
                    if known { limit.part_of_traffic(Traffic { own, all, room }, &equal) } else { equal };
                self.own.owe_part(&self.seen, limit, &part, now_ms);
                Part { of: *limit, limit: part, since_ms: now_ms, used_ms: now_ms }
            }
        };
        self.part = Some(part);
        // If the limit has changed, the same part of it. That is always derived from the first one: else a change and its
        // reverse would round twice, and leave another part.
        part.limit.part_of_changed(&part.of, limit)
    }

    /// The counter that this instance decides by.
    pub(super) fn own(&mut self) -> &mut Counter {
        &mut self.own
    }

    /// This was admitted without the store; `before` is the counter before that.
    pub(super) fn miss(&mut self, before: &Counter, part: &Limit, now_ms: i64, cost: i64) {
        self.missed.record(part, now_ms, cost, before.lent(part, now_ms, cost));
    }

    /// Whether the store has to be told something, after so many runs of servers.
    pub(super) fn owes(&self, now_ms: i64, runs: Generation) -> bool {
        self.counts(&self.missed, now_ms)
            || self.told.as_ref().is_some_and(|told| self.counts(&told.missed, now_ms))
            || self.runs != runs && self.counts(&self.seen, now_ms)
    }

    /// Whether that is so much that the store cannot decide before.
    pub(super) fn owes_much(&self, now_ms: i64, runs: Generation, instances: i64) -> bool {
        let units = |missed: &Counter| missed.used(&self.limit, now_ms);
        let missed = units(&self.missed) + self.told.as_ref().map_or(0, |told| units(&told.missed));
        missed * MUCH * instances > self.limit.quota() || self.runs != runs && self.counts(&self.seen, now_ms)
    }

    /// Whether the store is not being told at the moment.
    pub(super) fn may_tell(&self, local_ms: i64) -> bool {
        local_ms >= self.tell_again_ms
    }

    /// What to tell the store, unless that is under way: it is tried again from `again_ms` on.
    pub(super) fn tell(
        &mut self,
        runs: Generation,
        now_ms: i64,
        local_ms: i64,
        again_ms: i64,
    ) -> Option<Told> {
        if !self.may_tell(local_ms) {
            return None;
        }
        self.tell_again_ms = again_ms;
        let limit = self.limit;
        let seen = if self.runs == runs { Counter::default() } else { self.seen.clone() };
        // What was told and not confirmed keeps its number, so that it cannot count twice.
        let told = match self.told.take().filter(|told| self.counts(&told.missed, now_ms)) {
            Some(told) => Told { seen, limit, ..*told },
            None => Told { number: fastrand::u64(..), missed: std::mem::take(&mut self.missed), seen, limit },
        };
        self.told = Some(Box::new(told.clone()));
        Some(told)
    }

    /// The store has been told, and the counter is this then. None: it cannot be told.
    pub(super) fn confirmed(&mut self, number: u64, counter: Option<Counter>, runs: Generation) {
        if self.told.take_if(|told| told.number == number).is_none() {
            return;
        }
        self.tell_again_ms = 0;
        self.runs = runs;
        if let Some(counter) = counter
            && counter.last_ms() >= self.seen.last_ms()
        {
            self.seen = counter;
        }
    }

    /// The store could not be told.
    pub(super) fn not_confirmed(&mut self) {
        self.tell_again_ms = 0;
    }

    /// Whether this is still worth knowing.
    pub(super) fn is_recent(&self, now_ms: i64) -> bool {
        now_ms - self.last_ms() < MEMORY_MS.max(2 * self.limit.window_ms())
    }

    /// Whether any arrival of a counter of this limit is still in the window.
    fn counts(&self, counter: &Counter, now_ms: i64) -> bool {
        !counter.buckets().is_empty() && counter.last_ms() + self.limit.window_ms() > now_ms
    }

    fn last_ms(&self) -> i64 {
        self.own.last_ms().max(self.seen.last_ms())
    }
}
