//! A cluster that has lost a master for good: its slots are decided about without Redis, and those of others are not.

use super::{admitted, config};
use crate::harness::{Cluster, Setup, Tidegate, Upstream, eventually};

/// A client whose counter is on this node.
async fn client_on(cluster: &Cluster, tidegate: &Tidegate, node: usize, names: &str) -> String {
    for number in 0..200 {
        let name = format!("{names}-{number}");
        let before = cluster.nodes[node].counters().await.len();
        assert_eq!(admitted(tidegate, "/", &name, 1).await, 1);
        if cluster.nodes[node].counters().await.len() > before {
            return name;
        }
    }
    panic!("no client's counter is on node {node}");
}

#[tokio::test]
async fn only_the_slots_of_a_master_that_is_gone_are_decided_about_without_redis() {
    // Else no server would serve while a slot is served by none.
    let cluster = Cluster::with(&Setup::plain(&["--cluster-require-full-coverage", "no"])).await;
    let upstream = Upstream::start().await;
    let urls = cluster.urls().join("', '");
    let rules = "rules: [{ name: each, key: ['header:X-Client'], rate: 20/h }]";
    let config = config("URL", rules).replace("url: 'URL'", &format!("cluster: ['{urls}']"));
    let one = Tidegate::configured(upstream.address, &config).await;
    let other = Tidegate::configured(upstream.address, &config).await;
    for instance in [&one, &other] {
        let two = async || (instance.metric("tidegate_instances").await == Some(2.0)).then_some(());
        eventually("both to know of each other", two).await;
    }
    let lost = client_on(&cluster, &one, 0, "lost").await;
    let kept = [client_on(&cluster, &one, 1, "kept").await, client_on(&cluster, &one, 2, "kept too").await];

    cluster.kill(cluster.replica_of(0).await).await;
    cluster.kill(0).await;
    for instance in [&one, &other] {
        // Nothing is known to be wrong before somebody asks.
        eventually("the master to be missed", async || {
            admitted(instance, "/", &lost, 1).await;
            (instance.metric("tidegate_store_up").await == Some(0.0)).then_some(())
        })
        .await;
    }
    let local = "tidegate_decisions_total{origin=\"local\"}";
    let before = [one.metric(local).await, other.metric(local).await];
    for client in &kept {
        assert_eq!(admitted(&one, "/", client, 9).await, 9);
        assert_eq!(admitted(&other, "/", client, 30).await, 10, "{client}: the limit is not shared");
        assert_eq!(admitted(&one, "/", client, 30).await, 0, "{client}");
    }
    assert_eq!([one.metric(local).await, other.metric(local).await], before, "Redis was not asked");
    admitted(&one, "/", &lost, 30).await;
    assert_eq!(admitted(&one, "/", &lost, 5).await, 0, "without Redis there is no limit");
    assert!(one.metric(local).await > before[0]);
}
