//! Charges to counters, and the decisions about them.

use super::{StoreError, StoreMs};
use crate::window::{Charge, Counter, Limit, Taken};

/// A charge, and the counter that it is for. Stores take slices of anything that refers to one, so that a caller can keep
/// more beside it.
#[derive(Clone, Debug)]
pub struct KeyedCharge {
    /// The counter's key: `{client}:rule:window:4`, with the braces, so that a Redis Cluster keeps the counters of one
    /// client in one slot, and with the 4, which an earlier version reads.
    pub key: String,
    /// The charge.
    pub charge: Charge,
}

impl AsRef<Self> for KeyedCharge {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// A counter that is only looked at.
#[derive(Clone, Copy, Debug)]
pub struct Charged<'k> {
    /// Its key: see [`KeyedCharge::key`].
    pub key: &'k str,
    /// The window of its limit.
    pub window_ms: i64,
}

/// The decision about one charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The limit that decided: that of the charge, or this instance's part of it.
    pub limit: Limit,
    /// The store's time of the decision. (In a Redis Cluster each server has its own.)
    pub now: StoreMs,
    /// Whether there was room, and whether the counter was charged.
    pub taken: Taken,
    /// The counter before the decision.
    pub before: Counter,
    /// The counter after the decision.
    pub counter: Counter,
}

/// The decisions about the charges of one request, in their order. After an error it is not known whether that charge was
/// counted.
pub type Decisions = Vec<Result<Decision, StoreError>>;
