//! What Redis must allow: without it limits hold, and the state says what is missing.

use tidegate::overrides::{ChangeError, Expected};

use super::{CLIENT, EACH, Instance, each, proposal, rate};
use crate::harness::{Redis, eventually};

async fn allow(redis: &Redis, rules: &[&str]) {
    let _: String = redis.command(&[&["ACL", "SETUSER", "default"], rules].concat()).await;
}

/// Waits until these rights are missing.
async fn lacks(instance: &Instance, rights: &[&str]) {
    eventually("the rights to be missing", async || {
        (instance.overrides.obstacles().1 == rights).then_some(())
    })
    .await;
}

#[tokio::test]
async fn without_the_channel_overrides_are_shared_all_the_same() {
    let redis = Redis::start().await;
    allow(&redis, &["resetchannels"]).await;
    let instances = [Instance::on(&redis), Instance::on(&redis)];
    instances[0].set(&each(), rate(7)).await;
    instances[1].gets_quota(7).await;
    lacks(&instances[0], &["&tg:overrides", "+subscribe", "+publish"]).await;
    lacks(&instances[1], &["&tg:overrides", "+subscribe"]).await;
}

#[tokio::test]
async fn the_rights_of_the_reference_are_enough() {
    let reference = include_str!("../../../docs/configuration.md");
    let line = reference.lines().find_map(|line| line.strip_prefix("ACL SETUSER tidegate &tidegate:"));
    let rights = format!("&tg:{}", line.unwrap());
    let redis = Redis::start().await;
    allow(&redis, &["resetchannels", "-publish", "-subscribe"]).await;
    allow(&redis, &rights.split(' ').collect::<Vec<_>>()).await;
    let instances = [Instance::on(&redis), Instance::on(&redis)];
    instances[0].set(&each(), rate(7)).await;
    instances[1].gets_quota(7).await;
    eventually("the subscriptions", async || {
        let (_, number): (String, usize) = redis.command(&["PUBSUB", "NUMSUB", "tg:overrides"]).await;
        (number == 2).then_some(())
    })
    .await;
    lacks(&instances[0], &[]).await;
}

#[tokio::test]
async fn without_the_key_limits_hold() {
    let redis = Redis::start().await;
    allow(&redis, &["resetkeys", "~tg:{*", "~tg:instances"]).await;
    let instance = Instance::on(&redis);
    lacks(&instance, &["~tg:overrides"]).await;
    assert_eq!(instance.admits(CLIENT).await, EACH);
    let refused = instance.overrides.put(&each(), &proposal(rate(7)), Expected::Anything).await.unwrap_err();
    assert!(matches!(&refused, ChangeError::Denied(reason) if reason.contains("keys")), "{refused}");
    assert_eq!(instance.quota(), 5);
    allow(&redis, &["~tg:*"]).await;
    lacks(&instance, &[]).await;
    instance.set(&each(), rate(7)).await;
}
