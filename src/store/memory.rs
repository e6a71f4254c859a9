//! Counters in this process: sharded, bounded, and never waiting.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashlink::LinkedHashMap;
use std::hash::BuildHasher;

use super::{Ask, Decision};
use crate::clock::{Clock, Stopwatch};
use crate::metrics::StoreMeter;
use crate::window::{Charge, Counter, take_all};

const SHARDS: usize = 64;

/// One counter, and until when it matters.
#[derive(Debug)]
struct Entry {
    counter: Counter,
    window_ms: i64,
}

/// Least recently used first.
type Shard = LinkedHashMap<String, Entry, RandomState>;

/// The store of a single instance.
#[derive(Debug)]
pub struct MemoryStore {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    most_per_shard: usize,
    clock: Clock,
    started: Stopwatch,
    meter: StoreMeter,
}

impl MemoryStore {
    /// A store of at most `max_keys` counters (rounded up to a multiple of the 64 shards). The one idle
    /// longest makes room for a new one.
    #[must_use]
    pub fn new(max_keys: usize, clock: Clock) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            most_per_shard: max_keys.div_ceil(SHARDS).max(1),
            clock,
            started: Stopwatch::start(),
            meter: StoreMeter::new("memory"),
        }
    }

    /// Decides about all the asks of one request.
    pub fn take(&self, asks: &[Ask]) -> Vec<Decision> {
        let watch = Stopwatch::start();
        let charges: Vec<Charge> = asks.iter().map(|ask| ask.charge).collect();
        let places: Vec<usize> = asks.iter().map(|ask| self.place(&ask.key)).collect();
        let mut shards = self.lock(&places);

        let now_ms = self.now_ms();
        let mut counters: Vec<Counter> = Vec::with_capacity(asks.len());
        for (ask, place) in asks.iter().zip(&places) {
            let entry = shard(&mut shards, *place).and_then(|shard| shard.to_back(&ask.key));
            counters.push(entry.map(|entry| std::mem::take(&mut entry.counter)).unwrap_or_default());
        }
        let before = counters.clone();
        let taken = take_all(&mut counters, &charges, now_ms);
        for ((ask, place), counter) in asks.iter().zip(&places).zip(&counters) {
            if let Some(shard) = shard(&mut shards, *place) {
                self.put(shard, ask, counter);
            }
        }
        drop(shards);
        self.meter.answered(watch.seconds());
        let decisions = taken.into_iter().zip(before).zip(counters);
        decisions.map(|((taken, before), counter)| Decision { now_ms, taken, before, counter }).collect()
    }

    fn put(&self, shard: &mut Shard, ask: &Ask, counter: &Counter) {
        if let Some(entry) = shard.get_mut(&ask.key) {
            entry.counter.clone_from(counter);
        } else if !counter.buckets().is_empty() {
            let entry = Entry { counter: counter.clone(), window_ms: ask.charge.limit.window_ms() };
            shard.insert(ask.key.clone(), entry);
            if shard.len() > self.most_per_shard && shard.pop_front().is_some() {
                self.meter.evicted();
            }
        }
    }

    /// Drops the counters that no longer matter.
    pub fn sweep(&self) {
        let now_ms = self.now_ms();
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, entry| entry.counter.last_ms() + entry.window_ms > now_ms);
        }
        self.meter.keys(self.len());
    }

    /// How many counters there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether there is no counter.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn now_ms(&self) -> i64 {
        match &self.clock {
            Clock::Real => self.started.millis(),
            Clock::Driven(driven) => driven.now_ms(),
        }
    }

    fn place(&self, key: &str) -> usize {
        // The remainder is below SHARDS.
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default()
    }

    /// Locks the shards at these places, each once, in ascending order: two requests never wait for each other
    /// in a circle. A panic under a lock may have lost one counter, and no other: the rest goes on.
    fn lock(&self, places: &[usize]) -> Vec<(usize, MutexGuard<'_, Shard>)> {
        let mut order = places.to_vec();
        order.sort_unstable();
        order.dedup();
        let shards = order.into_iter().filter_map(|place| self.shards.get(place).map(|shard| (place, shard)));
        shards.map(|(place, shard)| (place, shard.lock().unwrap_or_else(PoisonError::into_inner))).collect()
    }
}

fn shard<'a>(locked: &'a mut [(usize, MutexGuard<'_, Shard>)], place: usize) -> Option<&'a mut Shard> {
    locked.iter_mut().find(|(at, _)| *at == place).map(|(_, shard)| &mut **shard)
}
