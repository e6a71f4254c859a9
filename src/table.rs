//! A bounded table of counters by key. It is sharded, so that a lock is held only briefly, and removes the entry that
//! has been unused for longest to make room.

use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use hashlink::LinkedHashMap;
use hashlink::linked_hash_map::RawEntryMut;
use smallvec::SmallVec;

const SHARDS: usize = 64;
/// A request with more keys than this allocates to lock them.
const USUAL_KEYS: usize = 4;

/// The entries of one shard, least recently used first.
type Shard<V> = LinkedHashMap<Box<str>, V, RandomState>;

/// Entries by key.
#[derive(Debug)]
pub(crate) struct Table<V> {
    shards: Vec<Mutex<Shard<V>>>,
    hasher: RandomState,
    most_per_shard: usize,
}

impl<V> Table<V> {
    /// Creates a table of at most `most` entries, rounded up to a multiple of the shards.
    pub(crate) fn new(most: usize) -> Self {
        // All shards have the same hasher, so that a key is hashed once.
        let hasher = RandomState::default();
        let shard = || Mutex::new(LinkedHashMap::with_hasher(hasher.clone()));
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher,
            most_per_shard: most.div_ceil(SHARDS).max(1),
        }
    }

    /// Locks the entries of these keys, so that they change together.
    pub(crate) fn lock<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Locked<'_, V> {
        // Each shard is locked once, and in ascending order, so that two callers cannot wait for each other.
        let indices = keys.map(|key| shard_index(self.hasher.hash_one(key)));
        let mut indices: SmallVec<[usize; USUAL_KEYS]> = indices.collect();
        indices.sort_unstable();
        indices.dedup();
        let shards =
            indices.into_iter().filter_map(|index| self.shards.get(index).map(|shard| (index, shard)));
        Locked { table: self, shards: shards.map(|(index, shard)| (index, hold(shard))).collect() }
    }

    /// Removes the entries for which `keep` returns false.
    pub(crate) fn retain(&self, mut keep: impl FnMut(&str, &mut V) -> bool) {
        for shard in &self.shards {
            hold(shard).retain(|key, entry| keep(key, entry));
        }
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| hold(shard).len()).sum()
    }
}

/// Returns the shard of a key with that hash. Its low bits, and the highest ones, find the entry within the shard.
fn shard_index(hash: u64) -> usize {
    // The remainder is below SHARDS.
    usize::try_from((hash >> 32) % SHARDS as u64).unwrap_or_default()
}

/// Locks a shard. A panic under its lock may have lost one entry and no others, so poisoning is ignored.
fn hold<V>(shard: &Mutex<Shard<V>>) -> MutexGuard<'_, Shard<V>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Some entries of a table, locked for the caller.
pub(crate) struct Locked<'t, V> {
    table: &'t Table<V>,
    shards: SmallVec<[(usize, MutexGuard<'t, Shard<V>>); USUAL_KEYS]>,
}

impl<V> Locked<'_, V> {
    /// Returns the entry of a locked key. It counts as used.
    pub(crate) fn get(&mut self, key: &str) -> Option<&mut V> {
        let hash = self.table.hasher.hash_one(key);
        match self.shard(hash)?.raw_entry_mut().from_key_hashed_nocheck(hash, key) {
            RawEntryMut::Occupied(mut entry) => {
                entry.to_back();
                Some(entry.into_mut())
            }
            RawEntryMut::Vacant(_) => None,
        }
    }

    /// Inserts an entry under a locked key. Returns whether another entry was removed to make room.
    pub(crate) fn insert(&mut self, key: &str, entry: V) -> bool {
        let most = self.table.most_per_shard;
        let Some(shard) = self.shard(self.table.hasher.hash_one(key)) else { return false };
        shard.insert(key.into(), entry);
        shard.len() > most && shard.pop_front().is_some()
    }

    /// Removes the entry of a locked key.
    pub(crate) fn remove(&mut self, key: &str) {
        if let Some(shard) = self.shard(self.table.hasher.hash_one(key)) {
            shard.remove(key);
        }
    }

    fn shard(&mut self, hash: u64) -> Option<&mut Shard<V>> {
        let index = shard_index(hash);
        self.shards.iter_mut().find(|(at, _)| *at == index).map(|(_, shard)| &mut **shard)
    }
}
