//! Several limits and rules on one request, not all of which go on without Redis.

use super::{Pair, admitted};
use crate::harness::{Tidegate, client};

async fn origin(instance: &Tidegate, origin: &str) -> Option<f64> {
    instance.metric(&format!("tidegate_decisions_total{{origin=\"{origin}\"}}")).await
}

#[tokio::test]
async fn of_several_limits_all_are_charged_or_none() {
    let limits = |minute: usize| {
        format!("rules: [{{ name: x, limits: [{{ rate: {minute}/min }}, {{ rate: 10/day }}] }}]")
    };
    let pair = Pair::with(&limits(6)).await;
    pair.loses_redis().await;
    let [one, _] = &pair.instances;
    assert_eq!(admitted(one, "/", "a", 20).await, 3, "a half of the smaller one");
    // Had refused requests been charged to the day, nothing would be left of it.
    pair.changes(&limits(1_000)).await;
    let more = admitted(one, "/", "a", 20).await;
    assert!(more >= 2, "{more} more");
}

#[tokio::test]
async fn a_shadow_rule_only_marks() {
    let rules = "global: [{ name: trial, rate: 4/h, mode: shadow }]
rules: [{ name: each, key: ['header:X-Client'], rate: 100/h }]";
    let pair = Pair::with(rules).await;
    pair.loses_redis().await;
    let [one, _] = &pair.instances;
    for request in 0..6 {
        assert_eq!(admitted(one, "/", "a", 1).await, 1);
        let marks = pair.upstream.last().headers;
        assert_eq!(marks.contains_key("x-ratelimit-exceeded"), request >= 2, "request {request}");
    }
    assert_eq!(one.counted("trial", "shadow_limited").await, 4.0);
    assert_eq!(origin(one, "local").await, Some(6.0));
}

/// One limit goes on; another is over uploads only, and does what it says.
fn mixed(on_outage: &str) -> String {
    format!(
        "global: [{{ name: uploads, match: {{ methods: [POST] }}, rate: 1000/h, on_outage: {on_outage} }}]
rules: [{{ name: each, key: ['header:X-Client'], rate: 8/h }}]"
    )
}

async fn uploads(instance: &Tidegate, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        let request = client().post(instance.url("/")).header("X-Client", "a").body("x");
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    statuses
}

#[tokio::test]
async fn what_a_closed_rule_refuses_is_counted_by_no_other() {
    let pair = Pair::with(&mixed("closed")).await;
    pair.loses_redis().await;
    let [one, _] = &pair.instances;
    assert_eq!(uploads(one, 6).await, [503; 6]);
    assert!(pair.upstream.seen().is_empty(), "it reached the application");
    assert_eq!(admitted(one, "/", "a", 10).await, 4, "refused requests were counted");
    assert_eq!(uploads(one, 2).await, [503; 2], "a limit that is used up is no reason to tell another");
    assert_eq!(one.counted("uploads", "store_failed_closed").await, 8.0);
    assert_eq!((origin(one, "closed").await, origin(one, "local").await), (Some(8.0), Some(10.0)));
}

#[tokio::test]
async fn what_one_rule_lets_pass_unchecked_another_may_refuse() {
    let pair = Pair::with(&mixed("open")).await;
    pair.loses_redis().await;
    let [one, _] = &pair.instances;
    assert_eq!(uploads(one, 6).await, [200, 200, 200, 200, 429, 429]);
    assert_eq!(admitted(one, "/", "a", 5).await, 0);
    assert_eq!(one.counted("each", "limited").await, 7.0);
    assert_eq!(pair.upstream.seen().len(), 4);
}
