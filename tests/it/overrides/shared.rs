//! Overrides of instances that share one Redis.

use std::time::Duration;

use tidegate::overrides::{ChangeError, Effect, Expected, Subject};
use tidegate::policy::Mode;

use super::{CLIENT, EACH, Instance, OTHER, client, each, mode, proposal, rate};
use crate::harness::{Redis, eventually};

async fn three(redis: &Redis) -> [Instance; 3] {
    [(); 3].map(|()| Instance::on(redis))
}

#[tokio::test]
async fn a_rate_changes_on_every_instance_and_keeps_the_counts() {
    let redis = Redis::start().await;
    let instances = three(&redis).await;
    assert_eq!(instances[0].admits(CLIENT).await, EACH);
    assert_eq!(instances[1].ask("/each", CLIENT).await, "limited");
    instances[2].set(&each(), rate(7)).await;
    for instance in &instances {
        instance.gets_quota(7).await;
    }
    assert_eq!(instances[0].ask("/each", CLIENT).await, "allowed");
    assert_eq!(instances[1].ask("/each", CLIENT).await, "allowed");
    assert_eq!(instances[2].ask("/each", CLIENT).await, "limited");
    instances[0].unset(&each()).await;
    for instance in &instances {
        instance.gets_quota(5).await;
        assert_eq!(instance.ask("/each", CLIENT).await, "limited");
    }
}

#[tokio::test]
async fn an_override_expires_on_every_instance() {
    let redis = Redis::start().await;
    let instances = three(&redis).await;
    instances[0].set_for(&each(), rate(7), Some(Duration::from_secs(3))).await;
    for instance in &instances {
        instance.gets_quota(7).await;
    }
    for instance in &instances {
        instance.gets_quota(5).await;
        assert_eq!(instance.overrides.list(), []);
    }
}

#[tokio::test]
async fn the_kill_switch_acts_on_every_instance() {
    let redis = Redis::start().await;
    let instances = three(&redis).await;
    assert_eq!(instances[0].admits(CLIENT).await, EACH);
    instances[1].set(&Subject::AllRules, mode(Mode::Shadow)).await;
    for instance in &instances {
        instance.comes_to("/each", CLIENT, "shadow_limited").await;
    }
}

#[tokio::test]
async fn a_client_is_blocked_on_every_instance() {
    let redis = Redis::start().await;
    let instances = three(&redis).await;
    instances[0].set(&client("each"), Effect::Blocked).await;
    for instance in &instances {
        instance.comes_to("/each", CLIENT, "blocked").await;
        assert_eq!(instance.ask("/each", OTHER).await, "allowed");
    }
    instances[1].set(&client("each"), Effect::Unlimited).await;
    for instance in &instances {
        instance.comes_to("/each", CLIENT, "unlimited").await;
    }
}

#[tokio::test]
async fn a_reset_client_is_admitted_on_every_instance() {
    let redis = Redis::start().await;
    let instances = three(&redis).await;
    for _ in 0..2 {
        assert_eq!(instances[0].admits(CLIENT).await, EACH);
        for instance in &instances {
            assert_eq!(instance.ask("/each", CLIENT).await, "limited");
        }
        instances[1].overrides.reset("each", CLIENT, "oncall").await.unwrap();
        assert_eq!(instances[1].ask("/each", CLIENT).await, "allowed", "where it was reset, at once");
        for instance in &instances {
            instance.comes_to("/each", CLIENT, "allowed").await;
        }
        instances[0].overrides.reset("each", CLIENT, "oncall").await.unwrap();
        instances[0].comes_to("/each", CLIENT, "allowed").await;
        instances[0].overrides.reset("each", CLIENT, "oncall").await.unwrap();
    }
}

#[tokio::test]
async fn a_client_is_shown_as_the_shared_counter_has_it() {
    let redis = Redis::start().await;
    let [one, other, _] = three(&redis).await;
    for instance in [&one, &other] {
        assert_eq!(instance.ask("/each", CLIENT).await, "allowed");
    }
    let usage = one.overrides.inspect("each", CLIENT).await.unwrap().usage.remove(0);
    assert_eq!((&*usage.name, usage.quota, usage.used, usage.remaining), ("each", 5, 2, 3));
    assert_eq!(usage.retry_after_ms, 0);
    one.admits(CLIENT).await;
    let usage = other.overrides.inspect("each", CLIENT).await.unwrap().usage.remove(0);
    assert_eq!((usage.used, usage.remaining), (5, 0));
    assert!((1..=3_600_000).contains(&usage.retry_after_ms), "{usage:?}");
    assert!(matches!(one.overrides.inspect("none", CLIENT).await, Err(ChangeError::UnknownRule(_))));
}

#[tokio::test]
async fn changes_of_several_instances_at_once_are_all_made() {
    let redis = Redis::start().await;
    let instances = three(&redis).await;
    let of = |place: usize, number: usize| Subject::Client {
        rule: "each".into(),
        client: format!("client-{place}-{number}").into(),
    };
    let changes = instances.iter().enumerate().map(async |(place, instance)| {
        for number in 0..10 {
            instance.set(&of(place, number), Effect::Unlimited).await;
        }
    });
    futures_util::future::join_all(changes).await;
    for instance in &instances {
        eventually("all overrides", async || (instance.overrides.list().len() == 30).then_some(())).await;
    }
    let versions: std::collections::BTreeSet<u64> =
        instances[0].overrides.list().iter().map(|listed| listed.item.version).collect();
    assert_eq!(versions.len(), 30, "two changes have one version");
}

#[tokio::test]
async fn a_version_that_another_instance_has_replaced_is_refused() {
    let redis = Redis::start().await;
    let [one, other, _] = three(&redis).await;
    let first = one.set(&each(), rate(7)).await.item.version;
    let second = other.set(&each(), rate(8)).await.item.version;
    let stale = one.overrides.put(&each(), &proposal(rate(9)), Expected::Version(first)).await;
    match stale {
        Err(ChangeError::Changed { current }) => assert_eq!(current, Some(second)),
        other => panic!("{other:?}"),
    }
    one.gets_quota(8).await;
}

#[tokio::test]
async fn an_instance_that_joins_late_has_the_overrides() {
    let redis = Redis::start().await;
    let first = Instance::on(&redis);
    first.set(&each(), rate(7)).await;
    first.set(&client("each"), Effect::Blocked).await;
    drop(first);
    let late = Instance::on(&redis);
    late.gets_quota(7).await;
    late.comes_to("/each", CLIENT, "blocked").await;
    let listed = late.overrides.list();
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|listed| listed.item.author == "oncall" && listed.item.reason == "incident 7"));
}

#[tokio::test]
async fn without_overrides_redis_keeps_nothing_of_them() {
    let redis = Redis::start().await;
    let instance = Instance::on(&redis);
    assert_eq!(instance.ask("/each", CLIENT).await, "allowed");
    // A removal of what is not there is none.
    instance.unset(&each()).await;
    assert_eq!(redis.command::<u32>(&["EXISTS", "tg:overrides"]).await, 0);
    instance.set(&each(), rate(7)).await;
    assert_eq!(redis.command::<u32>(&["EXISTS", "tg:overrides"]).await, 1);
}
