//! The names of a store's keys in Redis.

use super::slot;

/// All keys of one store. They begin with its prefix.
#[derive(Debug)]
pub(crate) struct Keyspace {
    prefix: Box<str>,
    /// Identifies this instance among all that share the store.
    instance: u64,
}

impl Keyspace {
    /// The first 3 bytes of the number of each instance that counts in these keys. A change of the keys of counters
    /// changes them. (The builds before them, whose keys named the slices, had random numbers.)
    const MARK: u64 = 0xc0_17_e1;
    /// The name of the list of instances, as those of counters are.
    pub(crate) const INSTANCES: &str = "instances";

    /// Creates the keyspace of `prefix`, as the instance that this random number identifies.
    pub(crate) fn new(prefix: &str, random: u64) -> Self {
        Self { prefix: prefix.into(), instance: Self::MARK << 40 | random >> 24 }
    }

    /// Returns the number of this instance.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// Returns the key of a counter.
    pub(crate) fn counter(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// Returns the parts of the key of a counter.
    pub(crate) fn counter_parts<'a>(&'a self, name: &'a str) -> [&'a [u8]; 3] {
        [self.prefix.as_bytes(), b":", name.as_bytes()]
    }

    /// Returns the key that records which settlements of this instance the counter of that key contains.
    pub(crate) fn settlements(&self, counter: &str) -> String {
        format!("{counter}:missed:{:016x}", self.instance)
    }

    /// Returns the key of the list of instances.
    pub(crate) fn instances(&self) -> String {
        self.counter(Self::INSTANCES)
    }

    /// Returns the name, as those of counters are, of what this instance reports of itself. It shares a slot with the list.
    pub(crate) fn introduction(&self, instance: u64) -> String {
        format!("{{{}}}:{instance:016x}", self.instances())
    }

    /// Returns the key of the shared document, which is also the channel of messages about it.
    pub(crate) fn document(&self) -> String {
        self.counter("overrides")
    }

    /// Returns the key of a counter in `slot` that only probes use.
    pub(crate) fn probe(&self, slot: u16) -> String {
        self.counter(&format!("{{{}}}:probe", slot::tag(slot)))
    }
}
