//! A slot on its way from one server of a cluster to another.

use std::sync::Arc;

use super::load::Load;
use super::{PATIENT, PLENTY, ask, client_on, on_cluster, passes, used};
use crate::harness::Cluster;

#[tokio::test]
async fn every_request_is_counted_once_while_a_slot_moves() {
    let cluster = Cluster::start().await;
    let store = Arc::new(on_cluster(&cluster, PATIENT));
    let client = client_on(&cluster, 0).await;
    let asks = ["a", "b", "c"].map(|limit| ask(&format!("{client}:{limit}"), PLENTY));
    let load = Load::start(&store, &asks);
    load.goes_on().await;

    let migration = cluster.begin_migration(cluster.slot_of(&client).await, 1).await;
    load.goes_on().await;
    for _ in 0..2 {
        assert_eq!(cluster.move_keys(migration, 1).await.len(), 1);
        let words: Vec<String> = asks.iter().map(|ask| format!("tg:{}", ask.key)).collect();
        let all = ["MGET", &words[0], &words[1], &words[2]];
        let split = cluster.nodes[0].try_command::<Vec<String>>(&all).await.unwrap_err();
        assert!(split.starts_with("TRYAGAIN "), "the keys are not in two places: {split}");
        load.goes_on().await;
    }
    cluster.end_migration(migration).await;
    load.goes_on().await;

    let (admitted, errors) = load.end().await;
    assert!(errors.is_empty(), "{errors:?}");
    for ask in &asks {
        assert_eq!(used(&store, ask).await, admitted, "{}", ask.key);
    }
    assert_eq!(cluster.nodes[1].counters().await.len(), 3);
}

#[tokio::test]
async fn limits_hold_while_their_keys_are_in_two_places() {
    let cluster = Cluster::start().await;
    let store = on_cluster(&cluster, PATIENT);
    let client = client_on(&cluster, 0).await;
    let key = |limit: &str| format!("{client}:{limit}");
    let (loose, tight) = ([ask(&key("a"), PLENTY), ask(&key("b"), PLENTY)], ask(&key("tight"), 2));
    let all = [&loose[..], &[tight]].concat();
    for _ in 0..2 {
        assert!(passes(&store, &all).await);
    }
    let migration = cluster.begin_migration(cluster.slot_of(&client).await, 1).await;
    let new = [loose[0].clone(), ask(&key("new"), 1), ask(&key("newer"), 1)];
    assert!(passes(&store, &new).await, "a client that is new to some limits");
    assert!(!passes(&store, &new).await);
    // Until the loose limits are in two places.
    while cluster.move_keys(migration, 1).await == ["tg:".to_owned() + &key("tight")] {}
    assert!(!passes(&store, &all).await);
    assert_eq!(
        [used(&store, &loose[0]).await, used(&store, &loose[1]).await],
        [3, 2],
        "a refusal was charged"
    );
    cluster.end_migration(migration).await;
    assert!(!passes(&store, &all).await);
    assert_eq!([used(&store, &loose[0]).await, used(&store, &loose[1]).await], [3, 2]);
}
