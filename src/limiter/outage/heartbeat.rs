//! Heartbeats, by which the instances that share a store know their number.

use std::time::Duration;

use tokio::time::sleep;

use super::ledger::Ledger;
use crate::store::RedisStore;

/// The shortest time between two heartbeats of an instance. With many instances it is longer: all together send about
/// 200 a second.
const EVERY: Duration = Duration::from_secs(1);
const EVERY_PER_INSTANCE: Duration = Duration::from_millis(5);
/// After how many missing heartbeats an instance counts as dead.
const MISSING: u32 = 5;

/// Sends heartbeats for as long as the process runs.
pub(super) async fn send_all(store: &RedisStore, ledger: &Ledger) {
    let membership = &ledger.membership;
    loop {
        let instances = u32::try_from(membership.instances()).unwrap_or(u32::MAX);
        let every = EVERY.max(EVERY_PER_INSTANCE.saturating_mul(instances));
        match store.heartbeat(every * MISSING).await {
            Ok(report) => membership.observe(report, ledger.local()),
            Err(_) => membership.observe_failure(ledger.local()),
        }
        // At random, so that the heartbeats of many instances do not come at the same time.
        sleep(every.mul_f64(0.75 + fastrand::f64() / 4.0)).await;
    }
}
