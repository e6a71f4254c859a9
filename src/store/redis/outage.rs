//! What the store does for those who go on without it while it is away.

use std::time::Duration;

use bb8_redis::redis::Value;

use super::wire::call::{self, Call, INSTANCES};
use super::{RedisStore, Routes};
use crate::clock::Stopwatch;
use crate::store::{Generation, Settlement, StoreError, StoreHealth};
use crate::window::Counter;

/// Nobody waits for these calls: they may take longer than a check, this long at least.
const PATIENCE: Duration = Duration::from_millis(250);

impl RedisStore {
    /// How the servers are.
    #[must_use]
    pub fn health(&self) -> StoreHealth {
        self.shared.health.report()
    }

    /// How long [`Self::settle`] may take.
    #[must_use]
    pub fn settle_timeout(&self) -> Duration {
        PATIENCE.max(self.shared.timeout)
    }

    /// How long a check may take.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Whether no server is asked at the moment.
    #[must_use]
    pub fn is_down(&self) -> bool {
        match &self.routes {
            Routes::One(node) => node.is_down(),
            Routes::Cluster(cluster) => cluster.is_down(),
        }
    }

    /// Whether the server that has this counter is not asked at the moment.
    #[must_use]
    pub fn is_down_for(&self, key: &str) -> bool {
        match &self.routes {
            Routes::One(node) => node.is_down(),
            Routes::Cluster(cluster) => cluster.lacks(self.slot(key)),
        }
    }

    /// How many runs of servers have been met. Counters last seen before the latest may have been lost since.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.shared.generation.load()
    }

    /// Tells a counter what it may have missed. The counter as it is then.
    ///
    /// # Errors
    /// When it is not known whether it was told. It may be told again: see [`Settlement::number`].
    pub async fn settle(&self, settlement: &Settlement<'_>) -> Result<Counter, StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        let slot = self.slot(settlement.key);
        let reply = self.ask(Call::settle(&self.shared, slot, settlement, deadline)).await?;
        call::settled(&reply, settlement.limit)
    }

    /// Says that this instance is alive, for so long from now on. How many are, and its place among them.
    ///
    /// # Errors
    /// When Redis does not say.
    pub async fn heartbeat(&self, alive: Duration) -> Result<(i64, i64), StoreError> {
        let deadline = Stopwatch::start().deadline(self.settle_timeout());
        let alive_ms = i64::try_from(alive.as_millis()).unwrap_or(i64::MAX);
        let call = Call::announce(&self.shared, self.slot(INSTANCES), alive_ms, deadline);
        call::announced(self.ask(call).await?)
    }

    async fn ask(&self, call: Call) -> Result<Value, StoreError> {
        self.routes.call(call).await.map_err(|unanswered| {
            self.routes.doubt();
            unanswered.error
        })
    }
}
