//! A bounded table of counters by key: sharded, never waiting for long, and the entry idle longest makes room.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashlink::LinkedHashMap;

const SHARDS: usize = 64;

/// Least recently used first.
type Shard<V> = LinkedHashMap<String, V, RandomState>;

/// Entries by key.
#[derive(Debug)]
pub(crate) struct Table<V> {
    shards: Vec<Mutex<Shard<V>>>,
    hasher: RandomState,
    most_per_shard: usize,
}

impl<V> Table<V> {
    /// A table of at most `most` entries, rounded up to a multiple of the shards.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            most_per_shard: most.div_ceil(SHARDS).max(1),
        }
    }

    /// Holds the entries of these keys, so that they change together.
    pub(crate) fn lock<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Locked<'_, V> {
        // Each shard once, in ascending order: two callers never wait for each other in a circle.
        let mut places: Vec<usize> = keys.map(|key| self.place(key)).collect();
        places.sort_unstable();
        places.dedup();
        let shards =
            places.into_iter().filter_map(|place| self.shards.get(place).map(|shard| (place, shard)));
        Locked { table: self, shards: shards.map(|(place, shard)| (place, hold(shard))).collect() }
    }

    /// Looks at each entry, and drops those that `keep` does not want.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&str, &mut V) -> bool) {
        for shard in &self.shards {
            hold(shard).retain(|key, entry| keep(key, entry));
        }
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| hold(shard).len()).sum()
    }

    fn place(&self, key: &str) -> usize {
        // The remainder is below SHARDS.
        usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default()
    }
}

/// A panic under a lock may have lost one entry, and no other: the rest goes on.
fn hold<V>(shard: &Mutex<Shard<V>>) -> MutexGuard<'_, Shard<V>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some entries of a table, which nobody else sees meanwhile.
pub(crate) struct Locked<'t, V> {
    table: &'t Table<V>,
    shards: Vec<(usize, MutexGuard<'t, Shard<V>>)>,
}

impl<V> Locked<'_, V> {
    /// The entry of a key that was locked. It counts as used.
    pub(crate) fn get(&mut self, key: &str) -> Option<&mut V> {
        self.shard(key)?.to_back(key)
    }

    /// Puts an entry in, under a key that was locked. Whether another one had to make room.
    pub(crate) fn insert(&mut self, key: &str, entry: V) -> bool {
        let most = self.table.most_per_shard;
        let Some(shard) = self.shard(key) else { return false };
        shard.insert(key.to_owned(), entry);
        shard.len() > most && shard.pop_front().is_some()
    }

    fn shard(&mut self, key: &str) -> Option<&mut Shard<V>> {
        let place = self.table.place(key);
        self.shards.iter_mut().find(|(at, _)| *at == place).map(|(_, shard)| &mut **shard)
    }
}
