//! Where counters are kept: in this process, or in Redis for all instances.
//!
//! Both stores are the same arithmetic on the same [`Counter`]; one conformance suite runs against both
//! (`tests/it/store_conformance.rs`). A store does not know what HTTP is.

mod memory;
mod redis;

use crate::window::{Charge, Counter, Taken};

pub use memory::MemoryStore;
pub use redis::{RedisOptions, RedisStore};

/// One counter, and what is asked of it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The counter's key: `{client}:rule:window:slices`. The braces make a Redis Cluster keep the counters of
    /// one client in one slot.
    pub key: String,
    /// What is asked.
    pub charge: Charge,
}

/// The answer to all the asks of one request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The store's time of the decision, in milliseconds.
    pub now_ms: i64,
    /// What became of each ask.
    pub taken: Vec<Taken>,
    /// The counter of each ask, after the decision.
    pub counters: Vec<Counter>,
}

/// Why a store gave no answer. Whether anything was counted is then unknown.
#[derive(Debug, thiserror::Error)]
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
    /// The trip took too long.
    #[error("the trip to Redis was given up")]
    GivenUp,
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
    /// Decides about all the asks of one request: see [`take_all`](crate::window::take_all).
    ///
    /// # Errors
    /// When no answer came in time. The memory store always answers.
    pub async fn take(&self, asks: &[Ask]) -> Result<Answer, StoreError> {
        match self {
            Self::Memory(store) => Ok(store.take(asks)),
            Self::Redis(store) => store.take(asks).await,
        }
    }

    /// Frees what has expired. To be called every few seconds; Redis sees to its own.
    pub fn sweep(&self) {
        if let Self::Memory(store) = self {
            store.sweep();
        }
    }
}
