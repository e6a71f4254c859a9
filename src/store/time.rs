//! The time of a store.

use std::ops::Sub;

/// A time on the clock of a store, in milliseconds: Unix time in Redis, and in memory the time since the store was
/// created. Times on other clocks have other types, so that the two are never mixed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreMs(i64);

impl StoreMs {
    /// Wraps milliseconds of the store's clock.
    #[must_use]
    pub const fn new(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the milliseconds, for [`crate::window`], which knows no other clock.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }
}

impl Sub for StoreMs {
    /// Milliseconds.
    type Output = i64;

    fn sub(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}
