//! Trial limits: shadow limits beside those of a rule.

use super::statuses;
use crate::harness::{Redis, Tidegate, Upstream, Wire, client, flood, h2_client, standing};

async fn trial(tidegate: &Tidegate, rule: &str, result: &str) -> f64 {
    let series = format!("tidegate_trial_requests_total{{rule=\"{rule}\",result=\"{result}\"}}");
    tidegate.metric(&series).await.unwrap_or_else(|| panic!("{series} does not exist"))
}

/// How many requests the trial limit of a rule would have allowed, and refused.
async fn trials(tidegate: &Tidegate, rule: &str) -> (f64, f64) {
    (trial(tidegate, rule, "allowed").await, trial(tidegate, rule, "limited").await)
}

async fn in_memory(upstream: &Upstream, rules: &str) -> Tidegate {
    Tidegate::configured(upstream.address, &format!("store: {{ memory: {{}} }}\n{rules}")).await
}

fn shared(redis: &Redis, rules: &str) -> String {
    format!("store: {{ redis: {{ url: \"{}\", timeout: 10s }} }}\n{rules}", redis.url())
}

const WIDE: &str = "rules: [{ name: x, rate: 100/h, trial: { rate: 2/h } }]";

#[tokio::test]
async fn a_trial_limit_refuses_no_request() {
    let upstream = Upstream::start().await;
    for client in [client(), h2_client()] {
        let tidegate = in_memory(&upstream, WIDE).await;
        assert_eq!(trials(&tidegate, "x").await, (0.0, 0.0), "from the start");
        assert_eq!(flood(5, |_| client.get(tidegate.url("/"))).await, statuses([(200, 5)]));
        assert_eq!(trials(&tidegate, "x").await, (2.0, 3.0));
        assert_eq!(tidegate.counted("x", "allowed").await, 5.0, "the outcome is that of the enforced limit");
    }
}

#[tokio::test]
async fn neither_the_upstream_nor_the_client_learns_of_a_trial_limit() {
    let upstream = Upstream::start().await;
    let tidegate = in_memory(&upstream, WIDE).await;
    for used in 1..=4 {
        let response = client().get(tidegate.url("/")).send().await.unwrap();
        assert_eq!(standing(response.headers()), Some(("x".to_owned(), 100 - used)));
        assert!(!upstream.last().headers.contains_key("x-ratelimit-exceeded"));
    }
    assert_eq!(trials(&tidegate, "x").await, (2.0, 2.0));
}

const NARROW: &str = "rules: [{ name: x, rate: 1/h, trial: { rate: 2/h, burst: 1 } }]";

/// Of six requests one is admitted, and three fit into the trial limit, whose window is that of the enforced one.
async fn counts_what_is_refused(tidegate: &Tidegate) {
    for (client, (allowed, limited)) in [(client(), (3.0, 3.0)), (h2_client(), (3.0, 9.0))] {
        for _ in 0..6 {
            client.get(tidegate.url("/")).send().await.unwrap();
        }
        assert_eq!(trials(tidegate, "x").await, (allowed, limited));
    }
    assert_eq!(tidegate.counted("x", "allowed").await, 1.0);
    assert_eq!(tidegate.counted("x", "limited").await, 11.0);
}

#[tokio::test]
async fn a_trial_limit_in_memory_counts_refused_requests_too() {
    let upstream = Upstream::start().await;
    counts_what_is_refused(&in_memory(&upstream, NARROW).await).await;
}

#[tokio::test]
async fn a_trial_limit_in_redis_counts_refused_requests_too() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    counts_what_is_refused(&Tidegate::configured(upstream.address, &shared(&redis, NARROW)).await).await;
}

#[tokio::test]
async fn a_flood_of_refused_requests_does_not_reach_redis_for_a_trial_limit() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let tidegate = Tidegate::configured(upstream.address, &shared(&redis, NARROW)).await;
    let trips = async || tidegate.metric("tidegate_store_round_trips_total{store=\"redis\"}").await.unwrap();
    let client = client();
    for _ in 0..10 {
        client.get(tidegate.url("/")).send().await.unwrap();
    }
    let before = trips().await;
    flood(300, |_| client.get(tidegate.url("/"))).await;
    let more = trips().await - before;
    // A remembered refusal is forgotten after 5 s.
    assert!(more <= 60.0, "{more} round trips for 300 refused requests");
    assert_eq!(trials(&tidegate, "x").await, (3.0, 307.0));
}

#[tokio::test]
async fn rules_beside_each_other_have_trial_limits_of_their_own() {
    let rules = "
global: [{ name: all, rate: 100/h, trial: { rate: 4/h } }]
rules: [{ name: x, match: { path: /x }, rate: 100/h, mode: shadow, trial: { rate: 1/h } }]";
    let upstream = Upstream::start().await;
    let tidegate = in_memory(&upstream, rules).await;
    let client = client();
    for path in ["/x", "/y", "/x", "/y", "/x", "/y"] {
        assert_eq!(client.get(tidegate.url(path)).send().await.unwrap().status(), 200);
    }
    assert_eq!(trials(&tidegate, "all").await, (4.0, 2.0));
    assert_eq!(trials(&tidegate, "x").await, (1.0, 2.0));
}

#[tokio::test]
async fn a_trial_limit_counts_requests_that_are_overloaded() {
    let upstream = Upstream::start().await;
    let tidegate = in_memory(&upstream, &format!("bounds: {{ tunnels: 0 }}\n{WIDE}")).await;
    for _ in 0..3 {
        let mut wire = Wire::to(tidegate.address).await;
        let fields = [
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: x",
        ];
        assert_eq!(wire.ask("GET /", &fields).await.status, 503);
    }
    assert_eq!(tidegate.counted("x", "overloaded").await, 3.0);
    assert_eq!(trials(&tidegate, "x").await, (2.0, 1.0));
}

/// A Redis that does not exist.
const ABSENT: &str = "store: { redis: { url: redis://127.0.0.1:1 } }";

#[tokio::test]
async fn an_outage_leaves_the_trial_limit_of_an_open_rule_undecided() {
    let upstream = Upstream::start().await;
    let rules = "rules: [{ name: x, rate: 1/h, trial: { rate: 1/h }, on_outage: open }]";
    let tidegate = Tidegate::configured(upstream.address, &format!("{ABSENT}\n{rules}")).await;
    assert_eq!(flood(4, |_| client().get(tidegate.url("/"))).await, statuses([(200, 4)]));
    assert_eq!(trial(&tidegate, "x", "undecided").await, 4.0);
    assert_eq!(trials(&tidegate, "x").await, (0.0, 0.0));
}

#[tokio::test]
async fn this_instance_decides_trial_limits_in_an_outage() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &format!("{ABSENT}\n{NARROW}")).await;
    let client = client();
    for _ in 0..6 {
        client.get(tidegate.url("/")).send().await.unwrap();
    }
    assert_eq!(trials(&tidegate, "x").await, (3.0, 3.0));
}
