//! Counters in this process: sharded, bounded, and without waiting.

use super::{Decision, KeyedCharge, StoreMs};
use crate::clock::{Clock, Stopwatch, Timeline};
use crate::metrics::StoreMeter;
use crate::table::{Locked, Table};
use crate::window::{Charge, Counter, take_all};

/// A counter. It matters for one window after its last arrival.
#[derive(Debug)]
struct Entry {
    counter: Counter,
    window_ms: i64,
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
        let watch = Stopwatch::start();
        let keyed = || charges.iter().map(C::as_ref);
        let charges: Vec<Charge> = keyed().map(|keyed| keyed.charge).collect();
        let mut table = self.table.lock(keyed().map(|keyed| &*keyed.key));

        let now = self.now();
        let mut take =
            |keyed: &KeyedCharge| table.get(&keyed.key).map(|entry| std::mem::take(&mut entry.counter));
        let mut counters: Vec<Counter> = keyed().map(|keyed| take(keyed).unwrap_or_default()).collect();
        let before = counters.clone();
        let taken = take_all(&mut counters, &charges, now.as_i64());
        for (keyed, counter) in keyed().zip(&counters) {
            self.put(&mut table, keyed, counter);
        }
        drop(table);
        self.meter.answered(watch.seconds());
        let decisions = charges.into_iter().zip(taken).zip(before.into_iter().zip(counters));
        let decision = |((Charge { limit, .. }, taken), (before, counter))| Decision {
            limit,
            now,
            taken,
            before,
            counter,
        };
        decisions.map(decision).collect()
    }

    fn put(&self, table: &mut Locked<'_, Entry>, keyed: &KeyedCharge, counter: &Counter) {
        if let Some(entry) = table.get(&keyed.key) {
            entry.counter.clone_from(counter);
        } else if !counter.buckets().is_empty() {
            let entry = Entry { counter: counter.clone(), window_ms: keyed.charge.limit.window_ms() };
            if table.insert(&keyed.key, entry) {
                self.meter.evicted();
            }
        }
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
