//! Counters in this process: sharded, bounded, and without waiting.

use smallvec::SmallVec;

use super::{Charged, Decision, KeyedCharge, StoreMs};
use crate::clock::{Clock, Stopwatch, Timeline};
use crate::metrics::StoreMeter;
use crate::table::Table;
use crate::window::{Counter, RefusedGroups, Taken};

/// A request with more charges than this allocates for them.
const USUAL_CHARGES: usize = 4;

/// A counter. It matters for one window after its last arrival.
#[derive(Debug)]
struct Entry {
    counter: Counter,
    window_ms: i64,
}

/// What was found when a charge was checked.
struct Check {
    /// Nothing has been charged to the counter yet.
    is_new: bool,
    fits: bool,
}

/// The decision about a charge.
pub(crate) struct Decided<'c> {
    /// The store's time of the decision.
    pub(crate) now: StoreMs,
    /// Whether there was room, and whether the counter was charged.
    pub(crate) taken: Taken,
    /// The counter after the decision.
    pub(crate) counter: &'c Counter,
}

/// The store of a single instance.
#[derive(Debug)]
pub struct MemoryStore {
    table: Table<Entry>,
    timeline: Timeline,
    meter: StoreMeter,
}

impl MemoryStore {
    /// Creates a store of at most `max_keys` counters (rounded up to a multiple of the 64 shards). The counter that is idle
    /// for the longest time makes room for a new one.
    #[must_use]
    pub fn new(max_keys: usize, clock: Clock) -> Self {
        Self {
            table: Table::new(max_keys),
            timeline: Timeline::begin(clock),
            meter: StoreMeter::new("memory"),
        }
    }

    /// Decides about all charges of one request.
    pub fn take<C: AsRef<KeyedCharge>>(&self, charges: &[C]) -> Vec<Decision> {
        let mut before = Vec::with_capacity(charges.len());
        let mut after = Vec::with_capacity(charges.len());
        let checked = |counter: &Counter| before.push(counter.clone());
        self.decide(charges, Stopwatch::start(), checked, |charge, Decided { now, taken, counter }| {
            after.push((charge.as_ref().charge.limit, now, taken, counter.clone()));
        });
        let decisions = before.into_iter().zip(after);
        let decision =
            |(before, (limit, now, taken, counter))| Decision { limit, now, taken, before, counter };
        decisions.map(decision).collect()
    }

    /// Decides about all charges of one request, whose check has `begun`, without a copy of their counters. Calls `checked`
    /// with each counter before the decision, and `decided` with each charge and the decision about it, while the counters
    /// are locked.
    pub(crate) fn decide<'c, C: AsRef<KeyedCharge>>(
        &self,
        charges: &'c [C],
        begun: Stopwatch,
        mut checked: impl FnMut(&Counter),
        mut decided: impl FnMut(&'c C, Decided<'_>),
    ) {
        let mut table = self.table.lock(charges.iter().map(|charge| &*charge.as_ref().key));
        // Under the lock: a thread that had to wait for it would turn back the clock of the others.
        let now = self.now();
        let mut refused = RefusedGroups::default();
        let mut checks: SmallVec<[Check; USUAL_CHARGES]> = SmallVec::new();
        for KeyedCharge { key, charge } in charges.iter().map(C::as_ref) {
            let mut empty = Counter::default();
            let entry = table.get(key);
            let is_new = entry.is_none();
            let counter = entry.map_or(&mut empty, |entry| &mut entry.counter);
            checked(counter);
            checks.push(Check { is_new, fits: refused.check(charge, counter, now.as_i64()) });
        }
        let (empty, mut evicted) = (Counter::default(), false);
        for (each, Check { is_new, fits }) in charges.iter().zip(checks) {
            let KeyedCharge { key, charge } = each.as_ref();
            let charged = refused.admit(charge);
            if charged && (is_new || evicted) && table.get(key).is_none() {
                let entry = Entry { counter: Counter::default(), window_ms: charge.limit.window_ms() };
                if table.insert(key, entry) {
                    evicted = true;
                    self.meter.evicted();
                }
            }
            let mut entry = table.get(key);
            if charged && let Some(entry) = &mut entry {
                entry.counter.count(charge, now.as_i64());
            }
            let counter = entry.map_or(&empty, |entry| &entry.counter);
            decided(each, Decided { now, taken: Taken { fits, charged }, counter });
        }
        drop(table);
        self.meter.answered(begun.seconds());
    }

    /// Returns counters, and the time. One that does not exist is empty.
    #[must_use]
    pub fn read(&self, counters: &[Charged<'_>]) -> (StoreMs, Vec<Counter>) {
        let read = |Charged { key, .. }: &Charged<'_>| {
            let mut table = self.table.lock(std::iter::once(*key));
            table.get(key).map(|entry| entry.counter.clone()).unwrap_or_default()
        };
        let counters = counters.iter().map(read).collect();
        (self.now(), counters)
    }

    /// Removes these counters.
    pub fn remove(&self, keys: &[String]) {
        let mut table = self.table.lock(keys.iter().map(String::as_str));
        keys.iter().for_each(|key| table.remove(key));
    }

    /// Removes the counters that no longer matter.
    pub fn sweep(&self) {
        let now_ms = self.now().as_i64();
        self.table.retain(|_, entry| entry.counter.last_ms() + entry.window_ms > now_ms);
        self.meter.keys(self.len());
    }

    /// Returns the time of this store: its clock is the timeline.
    fn now(&self) -> StoreMs {
        StoreMs::new(self.timeline.now().as_i64())
    }

    /// Returns the number of counters.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Returns whether there is no counter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
