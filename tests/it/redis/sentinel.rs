//! A primary that the sentinels replace.

use std::time::Duration;

use tidegate::clock::Clock;
use tidegate::settings::RedisTopology;
use tidegate::store::{RedisStore, StoreError};

use super::{BRIEF, PLENTY, addresses, ask, nowhere, passes, replicated, store};
use crate::harness::{Sentinels, eventually};

fn on_sentinels(topology: &Sentinels, timeout: Duration) -> RedisStore {
    let (sentinels, primary) = (addresses(&topology.sentinels), Sentinels::MASTER.to_owned());
    store(RedisTopology::Sentinel { sentinels, primary }, timeout, Clock::Real)
}

async fn answers(store: &RedisStore) {
    let any = [ask("{any}:x", PLENTY)];
    eventually("a decision", async || store.take(&any).await[0].is_ok().then_some(())).await;
}

#[tokio::test]
async fn a_primary_that_is_gone_is_replaced_by_one_that_knows_the_counts() {
    let mut topology = Sentinels::start().await;
    let store = on_sentinels(&topology, BRIEF);
    let asks = [ask("{a}:x", 5)];
    for _ in 0..3 {
        assert!(passes(&store, &asks).await);
    }
    replicated(&topology.servers[0], &topology.servers[1]).await;
    topology.servers[0].kill().await;
    assert!(store.take(&asks).await[0].is_err(), "a server that is gone replied");
    let first = eventually("the new primary to reply", async || store.take(&asks).await.remove(0).ok()).await;
    assert!(
        first.taken.charged && first.counter.used(&asks[0].charge.limit, first.now.as_i64()) == 4,
        "{first:?}"
    );
    assert_eq!(topology.promoted(0).await, 1);
    assert!(passes(&store, &asks).await);
    topology.servers[0].restart().await;
    topology.settled().await;
    assert!(!passes(&store, &asks).await, "the limit was 5");
}

#[tokio::test]
async fn a_primary_that_has_not_heard_of_its_replacement_is_left() {
    let topology = Sentinels::start().await;
    let store = on_sentinels(&topology, BRIEF);
    answers(&store).await;
    // It stays a primary that takes writes and keeps its connections, like one that is cut off from the sentinels.
    let [old, new] = [&topology.servers[0], &topology.servers[1]];
    let _: String = old.command(&["ACL", "SETUSER", "default", "-replicaof", "-slaveof"]).await;
    assert_eq!(topology.failover().await, 1);

    let mut clients = 0;
    let mut count = async || {
        clients += 1;
        let key = format!("{{{clients}}}:x");
        let counted = store.take(&[ask(&key, 1)]).await[0].is_ok();
        counted.then(|| format!("tg:{key}"))
    };
    eventually("counts at the new primary", async || {
        (new.command::<i64>(&["EXISTS", &count().await?]).await == 1).then_some(())
    })
    .await;
    assert_eq!(
        old.info("role").await.as_deref(),
        Some("master"),
        "it learned of it after all: this shows nothing"
    );
    let at_the_old_one = old.counters().await.len();
    for _ in 0..50 {
        let key = count().await.unwrap();
        assert_eq!(new.command::<i64>(&["EXISTS", &key]).await, 1);
    }
    assert_eq!(old.counters().await.len(), at_the_old_one, "the old primary still counts");
}

/// The store of a primary of this name, of whose sentinels only the last replies.
async fn with_one_sentinel(topology: &Sentinels, name: &str) -> RedisStore {
    topology.sentinels[0].kill().await;
    topology.sentinels[1].signal("STOP");
    let mut sentinels = addresses(&topology.sentinels);
    sentinels.insert(0, nowhere());
    store(RedisTopology::Sentinel { sentinels, primary: name.to_owned() }, BRIEF, Clock::Real)
}

#[tokio::test]
async fn one_sentinel_that_replies_is_enough() {
    let topology = Sentinels::start().await;
    let store = with_one_sentinel(&topology, Sentinels::MASTER).await;
    answers(&store).await;
    let _: i64 = topology.servers[0].command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
    answers(&store).await;
}

#[tokio::test]
async fn a_sentinel_must_know_the_name_of_the_primary() {
    let topology = Sentinels::start().await;
    let misled = with_one_sentinel(&topology, "limitless").await;
    // Before that is known there is just no decision.
    eventually("the reason", async || match misled.take(&[ask("{a}:x", 1)]).await.remove(0) {
        Err(StoreError::Down(reason)) => reason.contains("limitless").then_some(()),
        Err(_) => None,
        Ok(decision) => panic!("a primary of an unknown name has replied: {decision:?}"),
    })
    .await;
}
