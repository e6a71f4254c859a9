//! The access log: which requests have a line, and what it says.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Tidegate, Upstream, Wire, client, command, eventually};

const DROPPED: &str = "tidegate_access_log_lines_dropped_total";

/// In front of an upstream, with one rule of two an hour for each key, and with these lines.
async fn with(upstream: &Upstream, more: &str) -> Tidegate {
    let rules = "rules: [{ name: two, key: ['client_ip', 'header:X-Api-Key'], rate: 2/h }]";
    Tidegate::configured(upstream.address, &format!("store: {{ memory: {{}} }}\n{rules}\n{more}\n")).await
}

async fn get(tidegate: &Tidegate, fields: &[(&str, &str)]) -> reqwest::Response {
    let request = client().get(tidegate.url("/a/b?secret=1"));
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.unwrap()
}

/// Waits for this many lines, and returns them.
async fn lines(tidegate: &Tidegate, count: usize) -> Vec<Value> {
    let found = async || Some(tidegate.lines("access")).filter(|lines| lines.len() >= count);
    let lines = eventually(&format!("{count} lines"), found).await;
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[tokio::test]
async fn a_refused_request_has_a_line_and_a_forwarded_one_has_none() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "").await;
    for _ in 0..4 {
        get(&tidegate, &[]).await;
    }
    for line in lines(&tidegate, 2).await {
        assert_eq!((&line["outcome"], &line["status"]), (&"limited".into(), &429.into()));
    }
}

#[tokio::test]
async fn one_line_names_the_client_the_rule_and_the_reason() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "client: { trusted_proxies: [127.0.0.1] }").await;
    let fields = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Api-Key", "secret-key"),
        ("User-Agent", "an \"agent\""),
        ("X-Request-Id", "id-7"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ];
    let mut bytes = 0;
    for _ in 0..3 {
        bytes = get(&tidegate, &fields).await.bytes().await.unwrap().len();
    }
    let line = lines(&tidegate, 1).await.remove(0);
    for (name, value) in [
        ("request_id", "id-7".into()),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c".into()),
        ("client", "203.0.113.7".into()),
        ("method", "GET".into()),
        ("host", tidegate.address.to_string().into()),
        ("path", "/a/b".into()),
        ("protocol", "HTTP/1.1".into()),
        ("status", 429.into()),
        ("bytes", Value::from(bytes)),
        ("rule", "two".into()),
        ("outcome", "limited".into()),
        ("origin", "store".into()),
        ("remaining", 0.into()),
        ("user_agent", "an \"agent\"".into()),
    ] {
        assert_eq!(line[name], value, "{name}");
    }
    assert!(line["key"].as_str().unwrap().starts_with("203.0.113.7,~"), "{line}");
    assert!((1..=3600).contains(&line["retry_after"].as_i64().unwrap()), "{line}");
    assert!(line["decision_us"].is_u64() && line["milliseconds"].is_u64(), "{line}");
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[tokio::test]
async fn a_forwarded_request_has_a_line_where_that_is_wanted() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "access_log: { allowed: 1, refused: 0 }").await;
    for _ in 0..4 {
        get(&tidegate, &[]).await;
    }
    for (line, remaining) in lines(&tidegate, 2).await.into_iter().zip([1, 0]) {
        assert_eq!((&line["outcome"], &line["status"]), (&"allowed".into(), &200.into()));
        assert_eq!((&line["bytes"], &line["remaining"]), (&2.into(), &remaining.into()));
        assert!(line["upstream_us"].as_u64().unwrap() > 0 && line["key"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_forwarded_has_its_fault_as_the_reason() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "").await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.ask("TRACE /", &[]).await;
    let line = lines(&tidegate, 1).await.remove(0);
    assert_eq!((&line["outcome"], &line["status"]), (&"rejected".into(), &405.into()));
    assert_eq!(line["reason"], "the method TRACE is not forwarded");
}

#[tokio::test]
async fn a_request_without_an_upstream_has_the_reason() {
    let closed = crate::harness::ReservedPort::new();
    let config = "store: { memory: {} }\naccess_log: { allowed: 1 }\n";
    let tidegate = Tidegate::configured(closed.address(), config).await;
    assert_eq!(get(&tidegate, &[]).await.status(), 503);
    let line = lines(&tidegate, 1).await.remove(0);
    assert_eq!((&line["status"], &line["reason"]), (&503.into(), &"unreachable".into()));
}

#[tokio::test]
async fn lines_beyond_the_bound_are_dropped_and_counted() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "access_log: { allowed: 1, per_second: 3 }").await;
    const SENT: usize = 100;
    crate::harness::flood(SENT, |_| client().get(tidegate.url("/"))).await;
    // Each request has a line or is counted as one without.
    eventually("all lines", async || {
        let dropped = tidegate.metric(DROPPED).await.unwrap();
        (tidegate.lines("access").len() as f64 + dropped == SENT as f64).then_some(())
    })
    .await;
    assert!(tidegate.metric(DROPPED).await.unwrap() > 0.0);
}

#[tokio::test]
async fn without_a_bound_that_bites_each_request_has_one_line() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "access_log: { allowed: 1, per_second: 100000 }").await;
    const SENT: usize = 60;
    crate::harness::flood(SENT, |_| client().get(tidegate.url("/"))).await;
    let lines = lines(&tidegate, SENT).await;
    let ids: BTreeSet<&str> = lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), SENT);
    let count = |outcome: &str| lines.iter().filter(|line| line["outcome"] == outcome).count() as f64;
    assert_eq!(tidegate.counted("two", "allowed").await, count("allowed"));
    assert_eq!(tidegate.counted("two", "limited").await, count("limited"));
}

#[tokio::test]
async fn the_id_is_forwarded_and_returned() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "").await;
    let response = get(&tidegate, &[]).await;
    let id = &response.headers()["x-request-id"];
    assert_eq!(upstream.last().headers["x-request-id"], id);
    assert_eq!(id.len(), 32);
    assert_eq!(get(&tidegate, &[("X-Request-Id", "mine")]).await.headers()["x-request-id"], "mine");
    assert_eq!(upstream.last().headers["x-request-id"], "mine");
    let refused = get(&tidegate, &[("X-Request-Id", "mine-too")]).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["x-request-id"]),
        (429, &"mine-too".parse().unwrap())
    );
}

#[tokio::test]
async fn the_id_of_a_peer_that_is_not_a_trusted_proxy_is_replaced() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "client: { trusted_proxies: [192.0.2.1] }").await;
    let response = get(&tidegate, &[("X-Request-Id", "forged")]).await;
    assert_ne!(response.headers()["x-request-id"], "forged");
    assert_eq!(upstream.last().headers.get_all("x-request-id").iter().count(), 1);
    assert_eq!(upstream.last().headers["x-request-id"], response.headers()["x-request-id"]);
}

#[tokio::test]
async fn the_traceparent_is_forwarded_as_it_is() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "").await;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    get(&tidegate, &[("traceparent", traceparent)]).await;
    assert_eq!(upstream.last().headers["traceparent"], traceparent);
}

#[tokio::test]
async fn the_filter_of_the_file_changes_without_a_restart() {
    let upstream = Upstream::start().await;
    let tidegate = with(&upstream, "log: 'info,access=off'").await;
    for _ in 0..3 {
        get(&tidegate, &[]).await;
    }
    let rules = "rules: [{ name: two, key: ['client_ip', 'header:X-Api-Key'], rate: 2/h }]";
    tidegate.rewrite(&format!("store: {{ memory: {{}} }}\n{rules}\nlog: info\n"));
    let changed = async || tidegate.logged("log lines are filtered by another filter").pop();
    eventually("the filter to change", changed).await;
    get(&tidegate, &[("X-Request-Id", "after")]).await;
    assert_eq!(lines(&tidegate, 1).await[0]["request_id"], "after");
}

#[tokio::test]
async fn the_filter_of_the_command_line_takes_the_place_of_the_files() {
    let upstream = Upstream::start().await;
    let config = "store: { memory: {} }\nrules: [{ name: two, rate: 1/h }]\nlog: 'info,access=off'\n";
    let tidegate = Tidegate::configured_with(upstream.address, config, &["--log=info"]).await;
    for _ in 0..2 {
        get(&tidegate, &[]).await;
    }
    lines(&tidegate, 1).await;
}

#[test]
fn lines_are_text_where_that_is_wanted() {
    let mut text = command();
    text.args(["run", "--upstream=http://127.0.0.1:1", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0"]);
    let mut child = text.arg("--log-format=text").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let serving = lines.find(|line| line.contains("serving"));
    child.kill().unwrap();
    child.wait().unwrap();
    let serving = serving.expect("it ended without a line");
    assert!(serving.contains(" INFO serving listen=127.0.0.1:"), "{serving}");
}
