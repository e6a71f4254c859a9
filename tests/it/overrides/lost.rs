//! Messages, data and connections that are lost: all instances agree again.

use futures_util::future::join_all;
use tidegate::overrides::{ChangeError, Effect, Expected};

use super::{CLIENT, Instance, client, each, proposal, rate};
use crate::harness::{Redis, eventually};

/// Waits until this many instances have subscribed.
async fn subscribed(redis: &Redis, instances: usize) {
    eventually("the subscriptions", async || {
        let (_, subscribed): (String, usize) = redis.command(&["PUBSUB", "NUMSUB", "tg:overrides"]).await;
        (subscribed == instances).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lost_message_costs_a_moment() {
    let redis = Redis::start().await;
    let instances = [Instance::on(&redis), Instance::on(&redis)];
    subscribed(&redis, 2).await;
    for quota in 7..17 {
        let killed: usize = redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        assert!(killed <= 2);
        instances[0].set(&each(), rate(quota)).await;
        instances[1].gets_quota(quota).await;
    }
    subscribed(&redis, 2).await;
}

#[tokio::test]
async fn without_any_message_instances_find_the_changes() {
    let redis = Redis::start().await;
    let _: String = redis.command(&["ACL", "SETUSER", "default", "-subscribe"]).await;
    let instances = [Instance::on(&redis), Instance::on(&redis)];
    for quota in 7..10 {
        instances[0].set(&each(), rate(quota)).await;
        instances[1].gets_quota(quota).await;
    }
    instances[1].unset(&each()).await;
    instances[0].gets_quota(5).await;
}

#[tokio::test]
async fn instances_restore_what_an_empty_redis_lost() {
    let mut redis = Redis::start().await;
    let instances = [Instance::on(&redis), Instance::on(&redis)];
    instances[0].set(&each(), rate(7)).await;
    instances[0].set(&client("each"), Effect::Blocked).await;
    instances[1].comes_to("/each", CLIENT, "blocked").await;
    redis.restart().await;
    eventually("the overrides in Redis", async || {
        redis.try_command::<String>(&["GET", "tg:overrides"]).await.ok()
    })
    .await;
    let late = Instance::on(&redis);
    late.gets_quota(7).await;
    late.comes_to("/each", CLIENT, "blocked").await;
    assert_eq!(instances.map(|instance| instance.quota()), [7, 7]);
}

#[tokio::test]
async fn what_was_removed_does_not_come_back_with_an_empty_redis() {
    let mut redis = Redis::start().await;
    let instances = [Instance::on(&redis), Instance::on(&redis)];
    instances[0].set(&each(), rate(7)).await;
    instances[0].set(&client("each"), Effect::Blocked).await;
    instances[1].comes_to("/each", CLIENT, "blocked").await;
    instances[1].gets_quota(7).await;
    // The other instance has not noticed yet, or it has.
    instances[0].unset(&each()).await;
    redis.restart().await;
    let late = Instance::on(&redis);
    late.comes_to("/each", CLIENT, "blocked").await;
    for instance in instances.iter().chain([&late]) {
        instance.gets_quota(5).await;
    }
}

#[tokio::test]
async fn a_change_to_an_empty_redis_keeps_what_instances_know() {
    let redis = Redis::start().await;
    let [one, other] = [Instance::on(&redis), Instance::on(&redis)];
    one.set(&each(), rate(7)).await;
    other.gets_quota(7).await;
    let _: String = redis.command(&["FLUSHALL"]).await;
    other.set(&client("each"), Effect::Blocked).await;
    for instance in [&one, &other] {
        instance.comes_to("/each", CLIENT, "blocked").await;
        instance.gets_quota(7).await;
    }
}

#[tokio::test]
async fn the_newest_change_wins_over_the_data_of_an_old_redis() {
    let redis = Redis::start().await;
    let instances = [Instance::on(&redis), Instance::on(&redis)];
    instances[0].set(&each(), rate(7)).await;
    let old: String = redis.command(&["GET", "tg:overrides"]).await;
    instances[0].set(&each(), rate(8)).await;
    instances[0].set(&client("each"), Effect::Blocked).await;
    instances[1].comes_to("/each", CLIENT, "blocked").await;
    // As from a backup.
    let _: String = redis.command(&["SET", "tg:overrides", &old]).await;
    let late = Instance::on(&redis);
    for instance in instances.iter().chain([&late]) {
        instance.gets_quota(8).await;
        instance.comes_to("/each", CLIENT, "blocked").await;
    }
}

#[tokio::test]
async fn the_last_known_overrides_hold_during_an_outage() {
    let mut redis = Redis::start().await;
    let instance = Instance::on(&redis);
    instance.set(&each(), rate(7)).await;
    instance.set(&client("each"), Effect::Blocked).await;
    redis.kill().await;
    let refused = eventually("a change to fail", async || {
        instance.overrides.put(&each(), &proposal(rate(8)), Expected::Anything).await.err()
    })
    .await;
    assert!(matches!(refused, ChangeError::Unavailable(_)), "{refused:?}");
    eventually("the state to name the outage", async || instance.overrides.obstacles().0.reading).await;
    assert_eq!(instance.quota(), 7);
    assert_eq!(instance.ask("/each", CLIENT).await, "blocked");
    redis.restart().await;
    eventually("a change", async || {
        instance.overrides.put(&each(), &proposal(rate(9)), Expected::Anything).await.ok()
    })
    .await;
    assert_eq!(instance.quota(), 9);
}

#[tokio::test]
async fn a_damaged_document_changes_nothing() {
    let redis = Redis::start().await;
    let instance = Instance::on(&redis);
    instance.set(&each(), rate(7)).await;
    let _: String = redis.command(&["SET", "tg:overrides", "0123456789abcdef{"]).await;
    let reason = eventually("the fault", async || instance.overrides.obstacles().0.reading).await;
    assert!(reason.contains("damaged"), "{reason}");
    assert_eq!((instance.quota(), instance.ask("/each", CLIENT).await), (7, "allowed"));
    let _: u32 = redis.command(&["DEL", "tg:overrides"]).await;
    let late = Instance::on(&redis);
    late.gets_quota(7).await;
}

#[tokio::test]
async fn many_instances_restore_one_document() {
    let redis = Redis::start().await;
    let instances: Vec<Instance> = (0..8).map(|_| Instance::on(&redis)).collect();
    instances[0].set(&each(), rate(7)).await;
    join_all(instances.iter().map(|instance| instance.gets_quota(7))).await;
    let _: String = redis.command(&["FLUSHALL"]).await;
    let late = Instance::on(&redis);
    late.gets_quota(7).await;
    assert_eq!(late.overrides.list().len(), 1);
}
