//! Which instances share a store.

/// The instances that are alive, as the store has seen them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instances {
    /// Their number.
    pub alive: i64,
    /// The index of this one among them, from 0.
    pub index: i64,
    /// The number of those that may count in other keys: they are of another build.
    pub others: i64,
}
