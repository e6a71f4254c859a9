//! Telling the store what it has missed: so an outage is no amnesty, and neither is a Redis that comes back empty.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::fallback::Fallback;
use super::known::Told;
use crate::metrics;
use crate::store::{RedisStore, Settlement};

/// How often it is looked for.
const EVERY: Duration = Duration::from_millis(100);
/// So many counters are told of at a time.
const AT_ONCE: usize = 32;
/// And then this long nobody is, times the instances: all together tell of about 5,000 a second. Redis has others to
/// serve, and the counters of active clients do not wait for their turn.
const PAUSE: Duration = Duration::from_micros(6_400);

/// How often an instance says that it is alive, at least; where there are many, all together about 200 times a second.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(1);
const ANNOUNCE_EACH: Duration = Duration::from_millis(5);
/// After how many of those it counts as dead.
const ALIVE: u32 = 5;

/// What goes on beside the requests, for ever.
pub(super) async fn attend(store: RedisStore, fallback: Arc<Fallback>) {
    tokio::join!(announce(&store, &fallback), settle_all(&store, &fallback));
}

async fn announce(store: &RedisStore, fallback: &Fallback) {
    loop {
        let instances = u32::try_from(fallback.fleet.instances()).unwrap_or(u32::MAX);
        let every = ANNOUNCE_EVERY.max(ANNOUNCE_EACH.saturating_mul(instances));
        match store.heartbeat(every * ALIVE).await {
            Ok(instances) => fallback.fleet.seen(instances, fallback.local_ms()),
            Err(_) => fallback.fleet.not_seen(fallback.local_ms()),
        }
        sleep(every.mul_f64(0.75 + fastrand::f64() / 4.0)).await;
    }
}

async fn settle_all(store: &RedisStore, fallback: &Fallback) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let runs = store.generation();
        if !fallback.owes(runs) || store.is_down() {
            continue;
        }
        let mut keys = fallback.all_owed(runs);
        // Of a cluster, some servers may be down.
        keys.retain(|key| !store.is_down_for(key));
        let instances = u32::try_from(fallback.fleet.instances()).unwrap_or(u32::MAX);
        let pause = PAUSE.saturating_mul(instances);
        for keys in keys.chunks(AT_ONCE) {
            join_all(keys.iter().map(|key| settle(store, fallback, key))).await;
            if store.is_down() {
                break;
            }
            sleep(pause).await;
        }
    }
}

/// Tells the store about one counter, if it has to know and nobody else sees to it.
pub(super) async fn settle(store: &RedisStore, fallback: &Fallback, key: &str) {
    if store.is_down_for(key) {
        return;
    }
    let runs = store.generation();
    // Longer than the call may take.
    let again_ms = i64::try_from(2 * store.settle_timeout().as_millis()).unwrap_or(i64::MAX);
    let Some(Told { number, missed, seen, limit }) = fallback.tell(key, runs, again_ms) else { return };
    let now_ms = fallback.now_ms();
    let settlement = Settlement { key, limit: &limit, seen: &seen, unsettled: &missed, number, now_ms };
    let counter = match store.settle(&settlement).await {
        Ok(counter) => {
            metrics::settled(missed.buckets().iter().map(|bucket| bucket.count).sum());
            Some(Some(counter))
        }
        // It will not be understood better the next time, and the client's limit is to be shared again.
        Err(error) if error.is_permanent() => {
            tracing::warn!(%error, "a counter cannot be told what it has missed");
            Some(None)
        }
        Err(_) => None,
    };
    fallback.told(key, number, counter, runs);
}
