//! Adds to the counters in the store what they lack after an outage, so that a client gets its limit once, and puts back
//! what a server lost that came back empty.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::ledger::Ledger;
use super::shared_counter::PendingSettlement;
use crate::metrics;
use crate::store::{RedisStore, Settlement};

/// How often to look for counters that need a settlement.
const SETTLE_EVERY: Duration = Duration::from_millis(100);
/// How many counters are settled at the same time.
const BATCH: usize = 32;
/// The pause after each batch, times the number of instances: all together settle about 5,000 counters a second. Redis
/// has checks to serve, and the counters of active clients do not wait for their batch.
const BATCH_PAUSE: Duration = Duration::from_micros(6_400);

/// Settles all counters that need it, for as long as the process runs.
pub(super) async fn settle_all(store: &RedisStore, ledger: &Ledger) {
    let mut ticks = interval(SETTLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let generation = store.generation();
        if !ledger.needs_settlement(generation) || store.is_down() {
            continue;
        }
        let mut keys = ledger.all_unsettled_keys(generation);
        // In a cluster only some of the servers may be down.
        keys.retain(|key| !store.is_down_for(key));
        let instances = u32::try_from(ledger.membership.instances()).unwrap_or(u32::MAX);
        let pause = BATCH_PAUSE.saturating_mul(instances);
        for keys in keys.chunks(BATCH) {
            join_all(keys.iter().map(|key| settle(store, ledger, key))).await;
            if store.is_down() {
                break;
            }
            sleep(pause).await;
        }
    }
}

/// Settles one counter, if that is needed and no other task does it.
pub(super) async fn settle(store: &RedisStore, ledger: &Ledger, key: &str) {
    if store.is_down_for(key) {
        return;
    }
    let generation = store.generation();
    // Longer than the call may take.
    let pause_ms = i64::try_from(2 * store.settle_timeout().as_millis()).unwrap_or(i64::MAX);
    let Some(pending) = ledger.begin_settlement(key, generation, pause_ms) else { return };
    let PendingSettlement { number, unsettled, seen, limit } = &pending;
    let (number, now) = (*number, ledger.store_time());
    match store.settle(&Settlement { key, limit, seen, unsettled, number, now }).await {
        Ok(counter) => {
            metrics::settled(unsettled.buckets().iter().map(|bucket| bucket.count).sum());
            ledger.complete(key, number, Some(counter), generation);
        }
        // To repeat it would fail again, and the instances must share the client's limit again.
        Err(error) if error.is_permanent() => {
            tracing::warn!(%error, "a counter cannot be settled");
            ledger.complete(key, number, None, generation);
        }
        Err(_) => ledger.fail(key),
    }
}
