//! What changes during an outage, or just before it.

use super::{EACH, Pair};

#[tokio::test]
async fn a_changed_rate_acts_at_once_on_the_parts_of_new_clients() {
    let pair = Pair::with(&EACH.replace("RATE", "10/h")).await;
    pair.loses_redis().await;
    assert_eq!(pair.admit("new", 30).await, [5, 5]);
    pair.changes(&EACH.replace("RATE", "20/h")).await;
    assert_eq!(pair.admit("new", 30).await, [5, 5]);
}

#[tokio::test]
async fn spread() {
    let pair = Pair::with(&EACH.replace("RATE", "400/h")).await;
    for _ in 0..20 {
        assert_eq!(pair.admit("spread", 10).await, [10, 10]);
    }
    assert_eq!(pair.admit("spread", 1).await, [0, 0]);
    pair.loses_redis().await;
    assert_eq!(pair.admit("spread", 30).await, [0, 0]);
    pair.changes(&EACH.replace("RATE", "800/h")).await;
    let [one, other] = pair.admit("spread", 800).await;
    assert!(one + other <= 400 + 100, "{one} {other}");
}

#[tokio::test]
async fn requests_that_came_at_once_are_put_back_like_others() {
    let mut pair = Pair::with(&EACH.replace("RATE", "10/h")).await;
    let mut more = Vec::new();
    for number in 0..40 {
        assert_eq!(super::admitted(&pair.instances[0], "/", &format!("c{number}"), 10).await, 10);
    }
    pair.loses_redis().await;
    pair.redis.restart().await;
    for instance in &pair.instances {
        super::has_settled(instance).await;
    }
    for number in 0..40 {
        more.push(super::admitted(&pair.instances[1], "/", &format!("c{number}"), 10).await);
    }
    assert_eq!(more, [0; 40]);
}

#[tokio::test]
async fn changed_slices_keep_what_was_counted() {
    let pair = Pair::with(&EACH.replace("RATE", "10/h, slices: 64")).await;
    let [one, _] = &pair.instances;
    assert_eq!(super::admitted(one, "/", "regular", 4).await, 4);
    pair.loses_redis().await;
    assert_eq!(super::admitted(one, "/", "regular", 3).await, 3);
    pair.changes(&EACH.replace("RATE", "10/h, slices: 4")).await;
    assert_eq!(super::admitted(one, "/", "regular", 20).await, 3);
}

#[tokio::test]
async fn changed_slices_give_no_instance_a_larger_part_of_the_burst() {
    let pair = Pair::with(&EACH.replace("RATE", "10/h, burst: 1")).await;
    pair.loses_redis().await;
    let [one, other] = pair.admit("new", 30).await;
    assert_eq!(one + other, 11);
    pair.changes(&EACH.replace("RATE", "10/h, burst: 1, slices: 4")).await;
    assert_eq!(pair.admit("new", 30).await, [0, 0]);
}

#[tokio::test]
async fn a_rate_that_changes_back_leaves_the_parts_as_they_were() {
    let pair = Pair::with(&EACH.replace("RATE", "10/h")).await;
    pair.loses_redis().await;
    assert_eq!(pair.admit("new", 30).await, [5, 5]);
    for rate in ["3/h", "10/h"] {
        pair.changes(&EACH.replace("RATE", rate)).await;
        assert_eq!(pair.admit("new", 30).await, [0, 0], "{rate}");
    }
}
