//! Counters in this process: sharded, bounded, and never waiting.

use super::{Decision, KeyedCharge};
use crate::clock::{Clock, Stopwatch, Timeline};
use crate::metrics::StoreMeter;
use crate::table::{Locked, Table};
use crate::window::{Charge, Counter, take_all};

/// One counter, and until when it matters.
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
    /// A store of at most `max_keys` counters (rounded up to a multiple of the 64 shards). The one idle
    /// longest makes room for a new one.
    #[must_use]
    pub fn new(max_keys: usize, clock: Clock) -> Self {
        Self {
            table: Table::new(max_keys),
            timeline: Timeline::begin(clock),
            meter: StoreMeter::new("memory"),
        }
    }

    /// Decides about all the asks of one request.
    pub fn take(&self, asks: &[KeyedCharge]) -> Vec<Decision> {
        let watch = Stopwatch::start();
        let charges: Vec<Charge> = asks.iter().map(|ask| ask.charge).collect();
        let mut table = self.table.lock(asks.iter().map(|ask| &*ask.key));

        let now_ms = self.timeline.now_ms();
        let mut take =
            |ask: &KeyedCharge| table.get(&ask.key).map(|entry| std::mem::take(&mut entry.counter));
        let mut counters: Vec<Counter> = asks.iter().map(|ask| take(ask).unwrap_or_default()).collect();
        let before = counters.clone();
        let taken = take_all(&mut counters, &charges, now_ms);
        for (ask, counter) in asks.iter().zip(&counters) {
            self.put(&mut table, ask, counter);
        }
        drop(table);
        self.meter.answered(watch.seconds());
        let decisions = charges.into_iter().zip(taken).zip(before.into_iter().zip(counters));
        let decision = |((Charge { limit, .. }, taken), (before, counter))| Decision {
            limit,
            now_ms,
            taken,
            before,
            counter,
        };
        decisions.map(decision).collect()
    }

    fn put(&self, table: &mut Locked<'_, Entry>, ask: &KeyedCharge, counter: &Counter) {
        if let Some(entry) = table.get(&ask.key) {
            entry.counter.clone_from(counter);
        } else if !counter.buckets().is_empty() {
            let entry = Entry { counter: counter.clone(), window_ms: ask.charge.limit.window_ms() };
            if table.insert(&ask.key, entry) {
                self.meter.evicted();
            }
        }
    }

    /// Drops the counters that no longer matter.
    pub fn sweep(&self) {
        let now_ms = self.timeline.now_ms();
        self.table.retain(|_, entry| entry.counter.last_ms() + entry.window_ms > now_ms);
        self.meter.keys(self.len());
    }

    /// How many counters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no counter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
