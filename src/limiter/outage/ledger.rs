//! What this instance knows of the counters that it shares with others, and what of them the store lacks.

use std::sync::atomic::{AtomicU64, Ordering};

use super::membership::Membership;
use super::shared_counter::{PendingSettlement, SharedCounter};
use super::store_clock::StoreClock;
use crate::clock::{LocalMs, Timeline};
use crate::limiter::charges::{DecidedCharge, PendingCharge};
use crate::metrics;
use crate::store::{AtomicGeneration, Decision, Generation, GenerationSpan, KeyedCharge, StoreMs};
use crate::table::Table;
use crate::window::{Charge, Counter, take_all};

/// The maximum number of counters. The one that is idle for the longest time makes room for a new one.
const CAPACITY: usize = 32_768;

/// The counters that this instance shares with others.
#[derive(Debug)]
pub(super) struct Ledger {
    counters: Table<SharedCounter>,
    pub(super) membership: Membership,
    timeline: Timeline,
    store_clock: StoreClock,
    /// How many charges were admitted locally.
    admitted: AtomicU64,
    /// How many of those are settled.
    settled: AtomicU64,
    /// The generation up to which everything that may be lost is settled.
    settled_generation: AtomicGeneration,
}

impl Ledger {
    pub(super) fn new(instances: u32, timeline: Timeline) -> Self {
        Self {
            counters: Table::new(CAPACITY),
            membership: Membership::new(instances, timeline.now()),
            store_clock: StoreClock::new(&timeline),
            timeline,
            admitted: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            settled_generation: AtomicGeneration::default(),
        }
    }

    /// Records the decisions of the store.
    pub(super) fn observe(&self, charges: &[DecidedCharge<'_, '_>], generations: GenerationSpan) {
        let local = self.local();
        for DecidedCharge { pending, decision } in charges {
            let (keyed, Ok(decision)) = (&pending.keyed, decision) else { continue };
            self.store_clock.observe(decision.now, local);
            let mut counters = self.counters.lock(std::iter::once(&*keyed.key));
            if let Some(counter) = counters.get(&keyed.key) {
                counter.observe(keyed, decision, generations);
            } else {
                let counter = SharedCounter::from_decision(keyed, decision, generations);
                count_eviction(counters.insert(&keyed.key, counter));
            }
        }
    }

    /// Decides about charges of one request with this instance's parts of their limits, as [`take_all`] does.
    pub(super) fn take(&self, charges: &[&KeyedCharge], generation: Generation) -> Vec<Decision> {
        let now = self.store_time();
        let mut table = self.counters.lock(charges.iter().map(|keyed| &*keyed.key));
        let mut parts: Vec<Charge> = Vec::with_capacity(charges.len());
        let mut counters: Vec<Counter> = Vec::with_capacity(charges.len());
        for keyed in charges {
            let (key, charge) = (&keyed.key, keyed.charge);
            if table.get(key).is_none_or(|counter| !counter.is_recent(now)) {
                count_eviction(table.insert(key, SharedCounter::unknown(charge.limit, generation)));
            }
            let Some(counter) = table.get(key) else { return Vec::new() };
            let limit = counter.part(&charge.limit, now, |limit| self.membership.equal_part(limit, key));
            parts.push(Charge { limit, ..charge });
            counters.push(std::mem::take(counter.own()));
        }
        let before = counters.clone();
        let taken = take_all(&mut counters, &parts, now.as_i64());
        let mut decisions = Vec::with_capacity(charges.len());
        let outcomes = parts.into_iter().zip(taken).zip(before.into_iter().zip(counters));
        for (keyed, ((Charge { limit, cost, .. }, taken), (before, counter))) in charges.iter().zip(outcomes)
        {
            if let Some(shared) = table.get(&keyed.key) {
                shared.own().clone_from(&counter);
                if taken.charged {
                    shared.record_unsettled(&before, &limit, now, cost);
                    self.admitted.fetch_add(1, Ordering::AcqRel);
                }
            }
            decisions.push(Decision { limit, now, taken, before, counter });
        }
        decisions
    }

    /// Returns the keys of the charges whose settlement may begin, and whether the store lacks so much of any counter
    /// that it must not decide before that is settled.
    pub(super) fn unsettled_keys<'a>(
        &self,
        charges: &'a [PendingCharge<'_>],
        generation: Generation,
    ) -> (Vec<&'a str>, bool) {
        let (mut due, mut is_blocked) = (Vec::new(), false);
        if self.needs_settlement(generation) {
            let (local, now) = (self.local(), self.store_time());
            let instances = self.membership.instances();
            let keys = || charges.iter().map(|pending| &*pending.keyed.key);
            let mut table = self.counters.lock(keys());
            for key in keys() {
                let counter = table.get(key);
                if let Some(counter) = counter.filter(|counter| counter.needs_settlement(now, generation)) {
                    due.extend(counter.may_begin_settlement(local).then_some(key));
                    is_blocked |= counter.blocks_checks(now, generation, instances);
                }
            }
        }
        (due, is_blocked)
    }

    /// Returns whether the store may lack something of any counter.
    pub(super) fn needs_settlement(&self, generation: Generation) -> bool {
        self.settled.load(Ordering::Acquire) != self.admitted.load(Ordering::Acquire)
            || self.settled_generation.load() != generation
    }

    /// Returns the keys of all counters of which the store lacks something. Drops the counters that are not worth their
    /// memory any more.
    pub(super) fn all_unsettled_keys(&self, generation: Generation) -> Vec<String> {
        let admitted = self.admitted.load(Ordering::Acquire);
        let now = self.store_time();
        let mut keys = Vec::new();
        self.counters.retain(|key, counter| {
            let needs_settlement = counter.needs_settlement(now, generation);
            if needs_settlement {
                keys.push(key.to_owned());
            }
            needs_settlement || counter.is_recent(now)
        });
        if keys.is_empty() {
            self.settled.store(admitted, Ordering::Release);
            self.settled_generation.store(generation);
        }
        keys
    }

    /// Returns what to settle of a counter, unless its settlement is under way. It may be repeated after `pause_ms`
    /// milliseconds.
    pub(super) fn begin_settlement(
        &self,
        key: &str,
        generation: Generation,
        pause_ms: i64,
    ) -> Option<PendingSettlement> {
        let (local, now) = (self.local(), self.store_time());
        let mut table = self.counters.lock(std::iter::once(key));
        let counter = table.get(key).filter(|counter| counter.needs_settlement(now, generation))?;
        counter.begin_settlement(generation, now, local, pause_ms)
    }

    /// Records that a settlement is done, and the counter that the store reported then. None: the store cannot settle it.
    pub(super) fn complete(&self, key: &str, number: u64, counter: Option<Counter>, generation: Generation) {
        if let Some(shared) = self.counters.lock(std::iter::once(key)).get(key) {
            shared.complete(number, counter, generation);
        }
    }

    /// Records that the outcome of a settlement is unknown.
    pub(super) fn fail(&self, key: &str) {
        if let Some(shared) = self.counters.lock(std::iter::once(key)).get(key) {
            shared.fail();
        }
    }

    /// Forgets counters, and what of them is not settled.
    pub(super) fn forget(&self, keys: &[String]) {
        let mut table = self.counters.lock(keys.iter().map(String::as_str));
        keys.iter().for_each(|key| table.remove(key));
    }

    /// Returns the time on the limiter's timeline.
    pub(super) fn local(&self) -> LocalMs {
        self.timeline.now()
    }

    /// Returns the store's time, as far as it is known.
    pub(super) fn store_time(&self) -> StoreMs {
        self.store_clock.at(self.local())
    }
}

fn count_eviction(evicted: bool) {
    if evicted {
        metrics::fallback_evicted();
    }
}
