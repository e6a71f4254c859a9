//! The store on servers that change: Redis Sentinel and Redis Cluster.

mod across_slots;
mod cluster;
mod load;
mod migration;
mod proxy;
mod sentinel;
mod shared_limit;
mod start;
mod tls;

use std::time::Duration;

use bb8_redis::redis::RedisConnectionInfo;
use tidegate::clock::Clock;
use tidegate::settings::{Credentials, RedisSettings, RedisTopology, ServerAddress};
use tidegate::store::{Access, KeyedCharge, RedisStore};
use tidegate::window::{Charge, Limit};

use crate::harness::{Cluster, Redis, eventually};

/// More than a busy machine needs: with this, no reply is late.
pub const PATIENT: Duration = Duration::from_secs(10);
/// A server that is gone is given up soon enough for a test to see it.
const BRIEF: Duration = Duration::from_secs(1);

/// A quota that no test uses up.
const PLENTY: i64 = 1_000_000;

pub fn store(topology: RedisTopology, timeout: Duration, clock: Clock) -> RedisStore {
    let login = RedisConnectionInfo::default();
    let access = Access { server: login.clone(), sentinel: login, tls: None };
    RedisStore::new(&settings(topology, timeout), access, clock)
}

fn settings(topology: RedisTopology, timeout: Duration) -> RedisSettings {
    RedisSettings {
        topology,
        database: 0,
        credentials: Credentials::default(),
        sentinel_credentials: Credentials::default(),
        tls: None,
        timeout,
        key_prefix: "tg".to_owned(),
        connections: 2,
        instances: 1,
    }
}

fn on_cluster(cluster: &Cluster, timeout: Duration) -> RedisStore {
    store(RedisTopology::Cluster(addresses(&cluster.nodes)), timeout, Clock::Real)
}

pub fn addresses<'a>(servers: impl IntoIterator<Item = &'a Redis>) -> Vec<ServerAddress> {
    servers.into_iter().map(|server| local(server.port())).collect()
}

fn local(port: u16) -> ServerAddress {
    ServerAddress { host: "127.0.0.1".to_owned(), port }
}

/// Nobody listens there: the port is not for everybody.
fn nowhere() -> ServerAddress {
    local(1)
}

/// One unit of so many an hour.
fn ask(key: &str, quota: i64) -> KeyedCharge {
    let limit = Limit::new(quota, 0, 3_600_000, 4).unwrap();
    KeyedCharge { key: key.to_owned(), charge: Charge { limit, cost: 1, group: Charge::BINDING } }
}

/// A client whose counters are on this node, in braces.
async fn client_on(cluster: &Cluster, node: usize) -> String {
    cluster.key_on(node, |count| format!("{{client-{count}}}")).await
}

/// What the counter of an ask has counted. To ask for too much changes nothing.
async fn used(store: &RedisStore, ask: &KeyedCharge) -> i64 {
    let mut ask = ask.clone();
    ask.charge.cost = ask.charge.limit.quota() + 1;
    let decision = store.take(std::slice::from_ref(&ask)).await.remove(0).unwrap();
    assert!(!decision.taken.fits);
    decision.counter.used(&ask.charge.limit, decision.now.as_i64())
}

/// Returns whether a request with these charges is admitted.
async fn passes(store: &RedisStore, asks: &[KeyedCharge]) -> bool {
    store.take(asks).await.into_iter().all(|decision| decision.unwrap().taken.charged)
}

/// Waits until the replica has all that the primary has now.
async fn replicated(primary: &Redis, replica: &Redis) {
    let offset = async |server: &Redis, field: &str| server.info(field).await?.parse::<i64>().ok();
    let written = offset(primary, "master_repl_offset").await.unwrap();
    eventually("the replica to have everything", async || {
        (offset(replica, "slave_repl_offset").await? >= written).then_some(())
    })
    .await;
}
