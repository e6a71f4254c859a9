//! Instances that count each other in Redis.

use std::time::Duration;

use bb8_redis::redis::Value;
use tidegate::clock::Clock;
use tidegate::store::{Instances, RedisStore};

use crate::harness::{Redis, eventually};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(600);
/// Where the list is.
const LIST: &str = "tg:instances";

fn instance(redis: &Redis) -> RedisStore {
    redis.store("tg", Clock::Real)
}

/// Returns the number of instances, and the index of this one.
async fn announced(instance: &RedisStore, alive: Duration) -> (i64, i64) {
    let Instances { alive, index, others } =
        eventually("a reply", async || instance.heartbeat(alive).await.ok()).await;
    assert_eq!(others, 0, "all are of the same build");
    (alive, index)
}

#[tokio::test]
async fn each_has_a_place_of_its_own_among_all() {
    let redis = Redis::start().await;
    let instances: Vec<RedisStore> = (0..7).map(|_| instance(&redis)).collect();
    for (instance, there) in instances.iter().zip(1..) {
        assert_eq!(announced(instance, LONG).await.0, there);
    }
    for _ in 0..2 {
        let mut places = Vec::new();
        for instance in &instances {
            let (there, place) = announced(instance, LONG).await;
            assert_eq!(there, 7);
            places.push(place);
        }
        places.sort_unstable();
        assert_eq!(places, (0..7).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn those_of_another_prefix_are_others() {
    let redis = Redis::start().await;
    announced(&instance(&redis), LONG).await;
    let elsewhere = redis.store("elsewhere", Clock::Real);
    assert_eq!(announced(&elsewhere, LONG).await, (1, 0));
}

#[tokio::test]
async fn one_that_stays_away_is_gone_after_its_time() {
    let redis = Redis::start().await;
    let (stays, leaves) = (instance(&redis), instance(&redis));
    announced(&leaves, LONG).await;
    assert_eq!(announced(&stays, LONG).await.0, 2);
    // From now on it counts as alive for a short while only.
    announced(&leaves, Duration::from_millis(50)).await;
    let alone = eventually("the other one to be gone", async || {
        let (there, place) = announced(&stays, LONG).await;
        (there == 1).then_some(place)
    });
    assert_eq!(alone.await, 0);
    assert_eq!(announced(&leaves, LONG).await.0, 2, "it may come back");
}

#[tokio::test]
async fn the_list_is_gone_with_the_last_one() {
    let redis = Redis::start().await;
    announced(&instance(&redis), Duration::from_millis(50)).await;
    eventually("the list to be gone", async || {
        (redis.command::<i64>(&["EXISTS", LIST]).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_damaged_list_is_replaced() {
    let redis = Redis::start().await;
    let (one, other) = (instance(&redis), instance(&redis));
    let (short, long) = ("a".repeat(14), "a".repeat(15));
    let damages: [&[&str]; 4] =
        [&["SET", LIST, &short], &["SET", LIST, &long], &["LPUSH", LIST, "x"], &["HSET", LIST, "x", "y"]];
    for damage in damages {
        let _: i64 = redis.command(&["DEL", LIST]).await;
        let _: Value = redis.command(damage).await;
        assert_eq!(announced(&one, LONG).await, (1, 0), "{damage:?}");
        assert_eq!(announced(&other, LONG).await.0, 2, "{damage:?}");
        let ttl: i64 = redis.command(&["PTTL", LIST]).await;
        assert!(ttl > 0, "{damage:?}: it would never be gone");
    }
}
