//! Where counters are kept: in this process, or in Redis for all instances.
//!
//! Both stores are the same arithmetic on the same [`Counter`]; one conformance suite runs against both
//! (`tests/it/store_conformance.rs`). A store does not know what HTTP is.

mod memory;
mod redis;

use crate::window::{Charge, Counter, Taken};

pub use memory::MemoryStore;
pub use redis::{Access, Address, RedisOptions, RedisStore, Tls, Topology};

/// One counter, and what is asked of it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The counter's key: `{client}:rule:window:slices`. The braces make a Redis Cluster keep the counters of
    /// one client in one slot.
    pub key: String,
    /// What is asked.
    pub charge: Charge,
}

/// What was decided about one ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The store's time of the decision, in milliseconds. (In a Redis Cluster each server has its own.)
    pub now_ms: i64,
    /// What became of it.
    pub taken: Taken,
    /// The counter before the decision.
    pub before: Counter,
    /// The counter after it.
    pub counter: Counter,
}

/// What was decided about each ask of one request, in their order. Where there is an error, it is not known
/// whether that ask was counted.
pub type Answer = Vec<Result<Decision, StoreError>>;

/// Why a store gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer within the deadline.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// No connection could be had.
    #[error("no connection: {0}")]
    Connect(String),
    /// Redis answered with an error, or the connection broke.
    #[error(transparent)]
    Redis(#[from] bb8_redis::redis::RedisError),
    /// Too many checks are waiting already.
    #[error("{0} checks are waiting")]
    Full(usize),
    /// The answer is not what the script returns.
    #[error("the script's answer cannot be read: {0}")]
    Answer(&'static str),
}

/// A store.
#[derive(Debug)]
pub enum Store {
    /// In this process.
    Memory(MemoryStore),
    /// Shared by all instances.
    Redis(RedisStore),
}

impl Store {
    /// Decides about all the asks of one request: see [`take_all`](crate::window::take_all). The memory store
    /// always answers.
    pub async fn take(&self, asks: &[Ask]) -> Answer {
        match self {
            Self::Memory(store) => store.take(asks).into_iter().map(Ok).collect(),
            Self::Redis(store) => store.take(asks).await,
        }
    }

    /// Whether a counter may hold charges that are about to be given back, so that it is full for a moment only.
    #[must_use]
    pub fn gives_back(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Redis(store) => store.has_slots(),
        }
    }

    /// Takes back what was charged for a request that is not let through after all, because others of its asks
    /// have no decision.
    pub async fn give_back(&self, asks: &[Ask], answer: &Answer) {
        match self {
            // It decides about all or none, so there is no such request.
            Self::Memory(_) => {}
            Self::Redis(store) => store.give_back(asks, answer).await,
        }
    }

    /// Frees what has expired. To be called every few seconds; Redis sees to its own.
    pub fn sweep(&self) {
        if let Self::Memory(store) = self {
            store.sweep();
        }
    }
}
