//! Deciding without the store, in memory, with this instance's part of each limit; and what the store has to be told
//! when it is back.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::fleet::Fleet;
use super::known::{Known, Told};
use crate::clock::Timeline;
use crate::metrics;
use crate::store::{AtomicGeneration, Decision, Decisions, Generation, KeyedCharge};
use crate::table::Table;
use crate::window::{Charge, Counter, take_all};

/// The most counters that anything is known of; the ones idle longest make room.
const CAPACITY: usize = 32_768;

/// What is known here of the counters in the store.
#[derive(Debug)]
pub(super) struct Fallback {
    known: Table<Known>,
    pub(super) fleet: Fleet,
    timeline: Timeline,
    /// How far the store's clock is ahead of the timeline, as of its last answer; before there is one, by this machine's
    /// clock, which is as good a guess as any.
    ahead_ms: AtomicI64,
    /// How often something was admitted without the store.
    misses: AtomicU64,
    /// Of how many of those the store has been told, and up to which run what may be lost.
    told: (AtomicU64, AtomicGeneration),
}

impl Fallback {
    pub(super) fn new(instances: u32, timeline: Timeline) -> Self {
        let ahead_ms = timeline.unix_ms() - timeline.now_ms();
        Self {
            known: Table::new(CAPACITY),
            fleet: Fleet::new(instances, timeline.now_ms()),
            timeline,
            ahead_ms: AtomicI64::new(ahead_ms),
            misses: AtomicU64::new(0),
            told: (AtomicU64::new(0), AtomicGeneration::default()),
        }
    }

    /// Takes note of what the store has decided, when so many runs of servers had been met: before it was asked, and
    /// after.
    pub(super) fn learn(&self, asks: &[KeyedCharge], answer: &Decisions, runs: (Generation, Generation)) {
        let local_ms = self.timeline.now_ms();
        for (ask, decision) in asks.iter().zip(answer) {
            let Ok(decision) = decision else { continue };
            self.ahead_ms.store(decision.now_ms - local_ms, Ordering::Relaxed);
            let mut known = self.known.lock(std::iter::once(&*ask.key));
            if let Some(known) = known.get(&ask.key) {
                known.learn(ask, decision, runs);
            } else {
                evicted(known.insert(&ask.key, Known::first(ask, decision, runs)));
            }
        }
    }

    /// Decides about asks of one request that the store gives no answer to, as [`take_all`] does, after so many runs of
    /// servers.
    pub(super) fn take(&self, asks: &[&KeyedCharge], runs: Generation) -> Vec<Decision> {
        let now_ms = self.now_ms();
        let mut known = self.known.lock(asks.iter().map(|ask| &*ask.key));
        let mut charges: Vec<Charge> = Vec::with_capacity(asks.len());
        let mut counters: Vec<Counter> = Vec::with_capacity(asks.len());
        for ask in asks {
            if known.get(&ask.key).is_none_or(|known| !known.is_recent(now_ms)) {
                evicted(known.insert(&ask.key, Known::nothing(ask.charge.limit, runs)));
            }
            let Some(known) = known.get(&ask.key) else { return Vec::new() };
            let limit = known.part(&ask.charge.limit, now_ms, |limit| self.fleet.equal_part(limit, &ask.key));
            charges.push(Charge { limit, ..ask.charge });
            counters.push(std::mem::take(known.own()));
        }
        let before = counters.clone();
        let taken = take_all(&mut counters, &charges, now_ms);
        let mut decisions = Vec::with_capacity(asks.len());
        let parts = charges.into_iter().zip(taken).zip(before.into_iter().zip(counters));
        for (ask, ((Charge { limit, cost, .. }, taken), (before, counter))) in asks.iter().zip(parts) {
            if let Some(known) = known.get(&ask.key) {
                known.own().clone_from(&counter);
                if taken.charged {
                    known.miss(&before, &limit, now_ms, cost);
                    self.misses.fetch_add(1, Ordering::AcqRel);
                }
            }
            decisions.push(Decision { limit, now_ms, taken, before, counter });
        }
        decisions
    }

    /// The keys that the store has to be told something about, unless that is under way; and whether it lacks so much
    /// that it cannot decide before.
    pub(super) fn owed<'a>(&self, asks: &'a [KeyedCharge], runs: Generation) -> (Vec<&'a str>, bool) {
        let (mut keys, mut much) = (Vec::new(), false);
        if self.owes(runs) {
            let (local_ms, now_ms) = (self.timeline.now_ms(), self.now_ms());
            let instances = self.fleet.instances();
            let mut table = self.known.lock(asks.iter().map(|ask| &*ask.key));
            for key in asks.iter().map(|ask| &*ask.key) {
                if let Some(known) = table.get(key).filter(|known| known.owes(now_ms, runs)) {
                    keys.extend(known.may_tell(local_ms).then_some(key));
                    much |= known.owes_much(now_ms, runs, instances);
                }
            }
        }
        (keys, much)
    }

    /// Whether the store may have to be told anything.
    pub(super) fn owes(&self, runs: Generation) -> bool {
        let (misses, told_runs) = &self.told;
        misses.load(Ordering::Acquire) != self.misses.load(Ordering::Acquire) || told_runs.load() != runs
    }

    /// All that the store has to be told something about. What is not worth knowing any more is forgotten.
    pub(super) fn all_owed(&self, runs: Generation) -> Vec<String> {
        let misses = self.misses.load(Ordering::Acquire);
        let now_ms = self.now_ms();
        let mut keys = Vec::new();
        self.known.retain(|key, known| {
            let owes = known.owes(now_ms, runs);
            if owes {
                keys.push(key.to_owned());
            }
            owes || known.is_recent(now_ms)
        });
        if keys.is_empty() {
            self.told.0.store(misses, Ordering::Release);
            self.told.1.store(runs);
        }
        keys
    }

    /// What to tell the store about a key, unless that is under way; it is tried again after `pause_ms`.
    pub(super) fn tell(&self, key: &str, runs: Generation, pause_ms: i64) -> Option<Told> {
        let (local_ms, now_ms) = (self.timeline.now_ms(), self.now_ms());
        let mut known = self.known.lock(std::iter::once(key));
        let known = known.get(key).filter(|known| known.owes(now_ms, runs))?;
        known.tell(runs, now_ms, local_ms, local_ms + pause_ms)
    }

    /// The store has been told, and this is what it made of the counter (nothing, if it cannot be told at all); or it
    /// is not known what became of it.
    pub(super) fn told(&self, key: &str, number: u64, counter: Option<Option<Counter>>, runs: Generation) {
        let mut table = self.known.lock(std::iter::once(key));
        let Some(known) = table.get(key) else { return };
        match counter {
            Some(counter) => known.confirmed(number, counter, runs),
            None => known.not_confirmed(),
        }
    }

    /// The time on the limiter's own clock.
    pub(super) fn local_ms(&self) -> i64 {
        self.timeline.now_ms()
    }

    /// The store's time, as far as it is known.
    pub(super) fn now_ms(&self) -> i64 {
        self.timeline.now_ms() + self.ahead_ms.load(Ordering::Relaxed)
    }
}

fn evicted(evicted: bool) {
    if evicted {
        metrics::fallback_evicted();
    }
}
