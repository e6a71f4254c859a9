//! What changes during an outage, or just before it.

use super::{EACH, Pair};

#[tokio::test]
async fn a_changed_rate_acts_at_once_and_in_parts_on_who_is_new() {
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
