//! Overrides on a cluster, and behind sentinels.

use tidegate::overrides::Effect;
use tidegate::settings::RedisTopology;

use super::{CLIENT, EACH, Instance, client, each, rate};
use crate::harness::{Cluster, Redis, Sentinels, eventually};
use crate::redis::addresses;

/// Sets an override, and again if that fails, as it may during a failover.
async fn sets(instance: &Instance, quota: i64) {
    eventually("a change", async || {
        let expected = tidegate::overrides::Expected::Anything;
        instance.overrides.put(&each(), &super::proposal(rate(quota)), expected).await.ok()
    })
    .await;
}

fn on_cluster(nodes: &[Redis]) -> Instance {
    Instance::at(RedisTopology::Cluster(addresses(nodes)))
}

#[tokio::test]
async fn overrides_act_on_a_cluster() {
    let cluster = Cluster::start().await;
    let instances = [(); 3].map(|()| on_cluster(&cluster.nodes));
    assert_eq!(instances[0].admits(CLIENT).await, EACH);
    sets(&instances[0], 7).await;
    for instance in &instances {
        instance.gets_quota(7).await;
    }
    assert_eq!(instances[1].admits(CLIENT).await, 2);
    instances[2].set(&client("each"), Effect::Blocked).await;
    for instance in &instances {
        instance.comes_to("/each", CLIENT, "blocked").await;
    }
    instances[0].unset(&client("each")).await;
    instances[0].overrides.reset("each", CLIENT, "oncall").await.unwrap();
    for instance in &instances {
        instance.comes_to("/each", CLIENT, "allowed").await;
    }
    let usage = instances[1].overrides.inspect("each", CLIENT).await.unwrap().usage.remove(0);
    assert!(usage.used >= 3, "{usage:?}");
}

#[tokio::test]
async fn overrides_outlast_a_failover_of_a_cluster() {
    let cluster = Cluster::start().await;
    let instances = [(); 2].map(|()| on_cluster(&cluster.nodes));
    sets(&instances[0], 7).await;
    let owner = cluster.owner(cluster.slot_of("tg:overrides").await).await;
    let replica = cluster.replica_of(owner).await;
    cluster.failover(replica).await;
    sets(&instances[1], 8).await;
    for instance in &instances {
        instance.gets_quota(8).await;
    }
}

#[tokio::test]
async fn overrides_outlast_a_failover_of_the_sentinels() {
    let topology = Sentinels::start().await;
    let at = || {
        let (sentinels, primary) = (addresses(&topology.sentinels), Sentinels::MASTER.to_owned());
        Instance::at(RedisTopology::Sentinel { sentinels, primary })
    };
    let instances = [(); 2].map(|()| at());
    sets(&instances[0], 7).await;
    instances[1].gets_quota(7).await;
    topology.failover().await;
    sets(&instances[1], 8).await;
    instances[0].gets_quota(8).await;
    let late = at();
    late.gets_quota(8).await;
}

#[tokio::test]
async fn a_primary_without_the_last_change_learns_it() {
    let topology = Sentinels::start().await;
    let (sentinels, primary) = (addresses(&topology.sentinels), Sentinels::MASTER.to_owned());
    let instance = Instance::at(RedisTopology::Sentinel { sentinels, primary });
    sets(&instance, 7).await;
    let new = topology.failover().await;
    // As if the replica had not received it.
    let _: u32 = topology.servers[new].command(&["DEL", "tg:overrides"]).await;
    eventually("the change to be restored", async || {
        topology.servers[new].try_command::<String>(&["GET", "tg:overrides"]).await.ok()
    })
    .await;
    assert_eq!(instance.quota(), 7);
}
