//! Where counters are kept: in this process, or in Redis for all instances.
//!
//! Both stores are the same arithmetic on the same [`Counter`]; one conformance suite runs against both
//! (`tests/it/store_conformance.rs`). A store does not know what HTTP is.

mod generation;
mod memory;
mod redis;

use std::sync::Arc;

use bb8_redis::redis::{ErrorKind, ServerErrorKind};

use crate::window::{Charge, Counter, Limit, Taken};

pub use generation::{AtomicGeneration, Generation};
pub use memory::MemoryStore;
pub use redis::{Access, RedisOptions, RedisStore, ServerAddress, StoreTls, Topology};

/// One counter, and what is asked of it.
#[derive(Clone, Debug)]
pub struct KeyedCharge {
    /// The counter's key: `{client}:rule:window:slices`. The braces make a Redis Cluster keep the counters of
    /// one client in one slot.
    pub key: String,
    /// What is asked.
    pub charge: Charge,
}

/// What was decided about one ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The limit that decided: the one asked for, or this instance's part of it.
    pub limit: Limit,
    /// The store's time of the decision, in milliseconds. (In a Redis Cluster each server has its own.)
    pub now_ms: i64,
    /// What became of it.
    pub taken: Taken,
    /// The counter before the decision.
    pub before: Counter,
    /// The counter after it.
    pub counter: Counter,
}

/// What a counter may have missed.
#[derive(Clone, Copy, Debug)]
pub struct Settlement<'a> {
    /// Whose counter.
    pub key: &'a str,
    /// Its limit.
    pub limit: &'a Limit,
    /// The counter as it was last seen, if it may be lost: what is lost of it is put back.
    pub seen: &'a Counter,
    /// What was admitted without asking: it is added.
    pub unsettled: &'a Counter,
    /// Its number: one addition counts once, however often it is sent.
    pub number: u64,
    /// The store's time, as far as it is known.
    pub now_ms: i64,
}

/// How the servers of a store are.
#[derive(Clone, Debug, Default)]
pub struct StoreHealth {
    /// Each that is asked.
    pub servers: Vec<ServerHealth>,
    /// The last changes, the latest last.
    pub changes: Vec<StateChange>,
}

/// How a server is.
#[derive(Clone, Debug)]
pub struct ServerHealth {
    /// Which one.
    pub server: String,
    /// Why it is down. None: it is up.
    pub error: Option<String>,
    /// Since when, in seconds of Unix time.
    pub since_unix_seconds: f64,
}

/// A server went down or came back.
#[derive(Clone, Debug)]
pub struct StateChange {
    /// Which one.
    pub server: String,
    /// Why it went down. None: it came back.
    pub error: Option<String>,
    /// When, in seconds of Unix time.
    pub at_unix_seconds: f64,
}

/// What was decided about each ask of one request, in their order. Where there is an error, it is not known
/// whether that ask was counted.
pub type Decisions = Vec<Result<Decision, StoreError>>;

/// Why a store gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer within the deadline.
    #[error("no answer within {0:?}")]
    Timeout(std::time::Duration),
    /// The counter has to be told first what it has missed.
    #[error("the counter is behind")]
    Unsettled,
    /// The server has failed of late, and is not asked until it answers probes.
    #[error("{0}")]
    Down(Arc<String>),
    /// No connection could be had.
    #[error("no connection: {0}")]
    Connect(String),
    /// Redis answered with an error, or the connection broke.
    #[error(transparent)]
    Redis(#[from] bb8_redis::redis::RedisError),
    /// Too many checks are waiting already.
    #[error("{0} checks are waiting")]
    QueueFull(usize),
    /// The answer is not what the script returns.
    #[error("the script's answer cannot be read: {0}")]
    InvalidReply(&'static str),
}

impl StoreError {
    /// Whether it is about what was asked, and so the same would be answered again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Redis(error) => error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError),
            Self::InvalidReply(_) => true,
            _ => false,
        }
    }
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
    pub async fn take(&self, asks: &[KeyedCharge]) -> Decisions {
        match self {
            Self::Memory(store) => store.take(asks).into_iter().map(Ok).collect(),
            Self::Redis(store) => store.take(asks).await,
        }
    }

    /// Whether a counter may hold charges that are about to be given back, so that it is full for a moment only.
    #[must_use]
    pub fn may_give_back(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Redis(store) => store.has_slots(),
        }
    }

    /// Takes back what was charged for a request that is not let through after all, because others of its asks
    /// have no decision.
    pub async fn give_back(&self, asks: &[KeyedCharge], answer: &Decisions) {
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
