//! Probes, metrics, and the state of an instance.

mod access_log;
mod alerts;
mod exact;
mod measures;
mod page;
mod rules;
mod status;

use std::collections::BTreeMap;

use crate::harness::{ReservedPort, Tidegate, Upstream, Wire, client};

#[tokio::test]
async fn probes_answer_on_a_listener_of_their_own() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    let client = client();
    for path in ["/livez", "/readyz", "/startupz"] {
        for _ in 0..3 {
            let answer = client.get(tidegate.ops_url(path)).send().await.unwrap();
            assert_eq!((answer.status().as_u16(), &*answer.text().await.unwrap()), (200, "ok\n"), "{path}");
            assert_eq!(client.head(tidegate.ops_url(path)).send().await.unwrap().status(), 200);
        }
    }
    assert_eq!(client.get(tidegate.ops_url("/elsewhere")).send().await.unwrap().status(), 404);
    let post = client.post(tidegate.ops_url("/readyz")).body("x").send().await.unwrap();
    assert_eq!((post.status().as_u16(), &post.headers()["allow"]), (405, &"GET, HEAD".parse().unwrap()));
    assert!(upstream.seen().is_empty(), "a probe reached the application");
    // On the proxy's own listener the paths are the application's.
    assert_eq!(client.get(tidegate.url("/metrics")).send().await.unwrap().status(), 200);
    assert_eq!(upstream.last().target, "/metrics");
}

#[tokio::test]
async fn an_instance_is_ready_without_upstream_or_redis() {
    let closed = ReservedPort::new();
    let redis = format!("--redis=redis://{}/0", closed.address());
    let tidegate = Tidegate::start(closed.address(), &["--limit=/*=1/h", &redis]).await;
    assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 503);
    for path in ["/livez", "/readyz", "/startupz"] {
        assert_eq!(client().get(tidegate.ops_url(path)).send().await.unwrap().status(), 200, "{path}");
    }
}

const RULES: &str = "
store: { memory: {} }
client: { trusted_proxies: [127.0.0.1] }
bypass:
  - { name: probes, paths: [/healthz] }
  - { name: inside, header: X-Internal-Token, secret_env: PATH }
rules:
  - { name: tasks, match: { path: /tasks }, key: [client_ip], rate: 3/h, trial: { rate: 1/h } }
  - { name: trial, match: { path: /trial }, rate: 2/h, mode: shadow }
  - { name: paused, match: { path: /paused }, rate: 2/h, mode: off }
  - name: keyed
    match: { path: '/keyed/{id}' }
    key: ['path:id', 'header:X-Api-Key']
    on_missing: reject
    rate: 9/h
";

/// The series of one metric: its labels, and the value.
fn series(metrics: &str, name: &str) -> BTreeMap<String, f64> {
    let rows =
        metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "));
    rows.map(|(labels, value)| (labels.to_owned(), value.parse().unwrap())).collect()
}

async fn a_known_mix(tidegate: &Tidegate) -> usize {
    let client = client();
    let mix = [
        ("/tasks", 5),
        ("/trial", 6),
        ("/paused", 4),
        ("/healthz", 7),
        ("/elsewhere/secret-path", 2),
        ("/keyed/secret-id", 3),
    ];
    for (path, times) in mix {
        for _ in 0..times {
            let request = client.get(tidegate.url(path)).header("X-Forwarded-For", "203.0.113.77");
            request.send().await.unwrap();
        }
    }
    let keyed = client.get(tidegate.url("/keyed/secret-id")).header("X-Api-Key", "secret-key");
    keyed.send().await.unwrap();
    let mut wire = Wire::to(tidegate.address).await;
    wire.ask("GET /a%2F..", &[]).await;
    mix.iter().map(|(_, times)| times).sum::<usize>() + 2
}

#[tokio::test]
async fn every_request_is_counted_once_under_its_outcome() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let sent = a_known_mix(&tidegate).await;
    let metrics = tidegate.metrics().await;

    let mut counted = series(&metrics, "tidegate_requests_total");
    assert_eq!(
        counted.values().sum::<f64>(),
        sent as f64,
        "requests were lost or counted twice: {counted:#?}"
    );
    for (rule, outcome, count) in [
        ("tasks", "allowed", 3.0),
        ("tasks", "limited", 2.0),
        ("trial", "allowed", 2.0),
        ("trial", "shadow_limited", 4.0),
        ("paused", "unlimited", 4.0),
        ("probes", "bypassed", 7.0),
        ("", "unlimited", 2.0),
        ("keyed", "rejected", 3.0),
        ("keyed", "allowed", 1.0),
        ("", "rejected", 1.0),
    ] {
        let labels = format!("rule=\"{rule}\",outcome=\"{outcome}\"");
        assert_eq!(counted.remove(&labels), Some(count), "{labels}");
    }
    counted.retain(|_, count| *count != 0.0);
    assert!(counted.is_empty(), "counted and never sent: {counted:#?}");
}

#[tokio::test]
async fn every_response_is_counted_by_its_status() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    a_known_mix(&tidegate).await;
    let metrics = tidegate.metrics().await;
    let responses = BTreeMap::from([("200", 23.0), ("400", 4.0), ("429", 2.0)]);
    let responses = responses.into_iter().map(|(code, count)| (format!("code=\"{code}\""), count));
    assert_eq!(series(&metrics, "tidegate_responses_total"), responses.collect());
}

#[tokio::test]
async fn metrics_name_no_client() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    a_known_mix(&tidegate).await;
    let metrics = tidegate.metrics().await;
    let series = metrics.lines().filter(|line| !line.starts_with('#'));
    for line in series {
        for secret in ["203.0.113.77", "127.0.0.1", "secret", "/tasks", "/healthz"] {
            assert!(!line.contains(secret), "{secret} is in {line}");
        }
    }
}

#[tokio::test]
async fn each_step_of_a_request_is_timed_once() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    a_known_mix(&tidegate).await;
    let forwarded = tidegate.metric("tidegate_upstream_response_duration_seconds_count").await;
    assert_eq!(forwarded, Some(23.0), "each forwarded request is timed once");
    let decided = tidegate.metric("tidegate_decision_duration_seconds_count").await;
    assert_eq!(decided, Some(12.0), "each checked request is timed once");
}

#[tokio::test]
async fn prometheus_can_scrape_the_metrics() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    a_known_mix(&tidegate).await;
    let answer = client().get(tidegate.ops_url("/metrics")).send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let metrics = answer.text().await.unwrap();
    for histogram in ["decision", "store", "upstream_response"] {
        let name = format!("tidegate_{histogram}_duration_seconds");
        let buckets = series(&metrics, &format!("{name}_bucket"));
        assert!(buckets.len() > 5, "{name} has no buckets: quantiles cannot be told");
        assert!(buckets.keys().any(|labels| labels.contains("le=\"+Inf\"")));
        assert!(metrics.contains(&format!("# TYPE {name} histogram\n")), "{name}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(name.starts_with("tidegate_") || name.starts_with("process_"), "{line}");
    }
}

#[tokio::test]
async fn open_connections_are_counted_while_they_are_open() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    let open = async || tidegate.metric("tidegate_connections").await;
    let mut wires = Vec::new();
    for _ in 0..5 {
        let mut wire = Wire::to(tidegate.address).await;
        wire.ask("GET /", &[]).await;
        wires.push(wire);
    }
    // The scrape's own connection is one of the ops listener.
    let before =
        crate::harness::eventually("five connections", async || open().await.filter(|&count| count >= 5.0));
    let before = before.await;
    drop(wires);
    crate::harness::eventually("their end", async || open().await.filter(|&count| count <= before - 5.0))
        .await;
}
