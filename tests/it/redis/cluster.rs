//! Servers of a cluster that come, go, and change places.

use std::sync::Arc;

use tidegate::clock::Clock;
use tidegate::settings::{RedisTopology, ServerAddress};
use tidegate::store::{KeyedCharge, RedisStore, StoreError};

use super::load::{CLIENTS, Load};
use super::{BRIEF, PLENTY, addresses, ask, client_on, nowhere, on_cluster, passes, replicated, store, used};
use crate::harness::{Cluster, Setup, eventually};

#[tokio::test]
async fn only_the_slots_of_a_lost_master_wait_for_its_replica() {
    // Else no server would serve while a slot is served by none.
    let cluster = Cluster::with(&Setup::plain(&["--cluster-require-full-coverage", "no"])).await;
    let store = on_cluster(&cluster, BRIEF);
    let lost = ask(&format!("{}:x", client_on(&cluster, 0).await), 5);
    let kept = ask(&format!("{}:x", client_on(&cluster, 1).await), PLENTY);
    for _ in 0..3 {
        assert!(passes(&store, std::slice::from_ref(&lost)).await);
    }
    let replica = cluster.replica_of(0).await;
    replicated(&cluster.nodes[0], &cluster.nodes[replica]).await;
    cluster.kill(0).await;

    let asks = [lost.clone(), kept];
    let mut failed = 0;
    let first = eventually("the replica to reply", async || {
        let mut answer = store.take(&asks).await;
        let [lost, kept] = [answer.remove(0), answer.remove(0)];
        assert!(kept.is_ok_and(|kept| kept.taken.charged), "a slot of another server");
        failed += usize::from(lost.is_err());
        lost.ok()
    })
    .await;
    assert!(failed > 0, "a server that is gone replied");
    assert!(
        first.taken.charged && first.counter.used(&lost.charge.limit, first.now.as_i64()) == 4,
        "{first:?}"
    );
    cluster.promoted(replica).await;
    assert!(passes(&store, &asks).await);
    assert!(!passes(&store, &asks).await, "the limit was 5");
}

#[tokio::test]
async fn no_count_is_lost_in_failovers_under_load() {
    let cluster = Cluster::start().await;
    let store = Arc::new(on_cluster(&cluster, BRIEF));
    let asks = [
        ask(&format!("{}:x", client_on(&cluster, 0).await), PLENTY),
        ask(&format!("{}:x", client_on(&cluster, 1).await), PLENTY),
    ];
    let load = Load::start(&store, &asks);
    load.goes_on().await;
    let replica = cluster.replica_of(0).await;
    for becomes_master in [replica, 0] {
        cluster.failover(becomes_master).await;
        load.goes_on().await;
    }
    let (admitted, errors) = load.end().await;
    // Once a server is known to be down, there is nothing to wait for.
    let waited = errors.iter().filter(|error| !matches!(error, StoreError::Down(_))).count();
    assert!(waited <= 2 * CLIENTS, "{errors:?}");
    for ask in &asks {
        let counted = used(&store, ask).await;
        let failed = i64::try_from(errors.len()).unwrap();
        // Whether a request without a decision was counted is not known.
        assert!((admitted..=admitted + failed).contains(&counted), "{counted} of {admitted}: {errors:?}");
    }
}

/// One on each master.
async fn asks(cluster: &Cluster) -> [KeyedCharge; 3] {
    [
        ask(&format!("{}:x", client_on(cluster, 0).await), PLENTY),
        ask(&format!("{}:x", client_on(cluster, 1).await), PLENTY),
        ask(&format!("{}:x", client_on(cluster, 2).await), PLENTY),
    ]
}

fn with_seeds(servers: Vec<ServerAddress>) -> RedisStore {
    store(RedisTopology::Cluster(servers), BRIEF, Clock::Real)
}

async fn decides(store: &RedisStore, asks: &[KeyedCharge]) {
    eventually("a decision", async || store.take(asks).await.iter().all(Result::is_ok).then_some(())).await;
}

#[tokio::test]
async fn one_seed_that_lives_is_enough() {
    let cluster = Cluster::start().await;
    let store = with_seeds(vec![nowhere(), addresses([&cluster.nodes[5]]).remove(0)]);
    decides(&store, &asks(&cluster).await).await;
}

#[tokio::test]
async fn a_cluster_that_is_down_is_used_when_it_is_back() {
    let mut cluster = Cluster::start().await;
    let asks = asks(&cluster).await;
    let early = with_seeds(vec![nowhere(), addresses([&cluster.nodes[5]]).remove(0)]);
    decides(&early, &asks).await;
    for node in 0..cluster.nodes.len() {
        cluster.kill(node).await;
    }
    let late = with_seeds(addresses(&cluster.nodes));
    for store in [&early, &late] {
        assert!(store.take(&asks).await.iter().all(Result::is_err), "no server was there to reply");
    }
    for node in &mut cluster.nodes {
        node.restart().await;
    }
    decides(&late, &asks).await;
    decides(&early, &asks).await;
}
