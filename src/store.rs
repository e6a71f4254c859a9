//! Where counters are kept: in this process, or in Redis for all instances.
//!
//! Both stores use the same arithmetic on the same [`Counter`](crate::window::Counter); one conformance suite runs
//! against both (`tests/it/store_conformance.rs`). A store does not know what HTTP is.

mod decision;
mod document;
mod error;
mod generation;
mod health;
mod instances;
mod memory;
mod redis;
mod settlement;
mod time;

pub use decision::{Charged, Decision, Decisions, KeyedCharge};
pub use document::{DocumentOutcome, DocumentReply, REVISION};
pub use error::StoreError;
pub use generation::{AtomicGeneration, Generation, GenerationSpan};
pub use health::{ServerHealth, StateChange, StoreHealth};
pub use instances::Instances;
pub(crate) use memory::Decided;
pub use memory::MemoryStore;
pub use redis::{Access, RedisStore, StoreTls};
pub use settlement::Settlement;
pub use time::StoreMs;

/// A store, as it is configured.
#[derive(Debug)]
pub enum Store {
    /// In this process.
    Memory(MemoryStore),
    /// Shared by all instances.
    Redis(RedisStore),
}

impl Store {
    /// Decides about all charges of one request: see [`take_all`](crate::window::take_all). The memory store always
    /// decides.
    pub async fn take<C: AsRef<KeyedCharge> + Sync>(&self, charges: &[C]) -> Decisions {
        match self {
            Self::Memory(store) => store.take(charges).into_iter().map(Ok).collect(),
            Self::Redis(store) => store.take(charges).await,
        }
    }
}
