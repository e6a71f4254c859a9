//! Each condition of a rule, where it holds and where it does not; and requests that can be read in several ways.

use http::Method;

use super::statuses;
use crate::harness::{Redis, Tidegate, Upstream, Wire, client, flood, h2_client, standing};

const RULES: &str = r#"
store: { memory: {} }
client: { trusted_proxies: [127.0.0.1] }
rules:
  - { name: paths, match: { path: ["/a/{id}", /b/*] }, rate: 1000/s }
  - { name: both, match: { path: /q, query: { mode: full, tag: "x y*" } }, rate: 1000/s }
  - { name: one, match: { path: /q, query: { mode: full } }, rate: 1000/s }
  - { name: any, match: { path: /q, query: { "a b": "*" } }, rate: 1000/s }
  - { name: office, match: { path: /c, clients: [203.0.113.0/24, "2001:db8::/32", 192.0.2.7] }, rate: 1000/s }
  - { name: anonymous, match: { path: /n, not: { headers: { X-Api-Key: "*" }, methods: [DELETE] } }, rate: 1000/s }
  - name: outside
    match: { path: /o/*, not: { clients: [203.0.113.0/24], path: /o/health, query: { internal: "1" }, websocket: true } }
    rate: 1000/s
"#;

/// Method, target, header fields, and the rule that decides.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], Option<&'static str>);

const CASES: &[Case] = &[
    ("GET", "/a/1", &[], Some("paths")),
    ("GET", "/a", &[], None),
    ("GET", "/a/1/2", &[], None),
    ("GET", "/b", &[], Some("paths")),
    ("GET", "/b/1/2", &[], Some("paths")),
    ("GET", "/q?mode=full&tag=x+yz", &[], Some("both")),
    ("GET", "/q?tag=x%20y&x=1&%6Dode=f%75ll", &[], Some("both")),
    ("GET", "/q?mode=full&tag=x", &[], Some("one")),
    ("GET", "/q?mode=full&mode=full", &[], Some("one")),
    ("GET", "/q?mode=fully", &[], None),
    ("GET", "/q?Mode=full", &[], None),
    ("GET", "/q?mode=", &[], None),
    ("GET", "/q?a+b=0", &[], Some("any")),
    ("GET", "/q?a%2Bb=0", &[], None),
    ("GET", "/q", &[], None),
    ("GET", "/c", &[("x-forwarded-for", "203.0.113.9")], Some("office")),
    ("GET", "/c", &[("x-forwarded-for", "198.51.100.1, 203.0.113.9")], Some("office")),
    ("GET", "/c", &[("x-forwarded-for", "203.0.113.9, 198.51.100.1")], None),
    ("GET", "/c", &[("x-forwarded-for", "2001:db8:1::2")], Some("office")),
    ("GET", "/c", &[("x-forwarded-for", "::ffff:192.0.2.7")], Some("office")),
    ("GET", "/c", &[("x-forwarded-for", "192.0.2.8")], None),
    ("GET", "/c", &[], None),
    ("GET", "/n", &[], Some("anonymous")),
    ("HEAD", "/n", &[("x-other", "1")], Some("anonymous")),
    ("GET", "/n", &[("x-api-key", "1")], None),
    ("DELETE", "/n", &[], None),
    ("GET", "/o/x", &[("x-forwarded-for", "198.51.100.1")], Some("outside")),
    ("GET", "/o/x?internal=2", &[], Some("outside")),
    ("GET", "/o/x", &[("x-forwarded-for", "203.0.113.9")], None),
    ("GET", "/o/health", &[], None),
    ("GET", "/o/x?internal=1", &[], None),
];

async fn all_cases(client: reqwest::Client) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    for (method, target, headers, want) in CASES {
        let method: Method = method.parse().unwrap();
        let mut request = client.request(method.clone(), tidegate.url(target));
        for (name, value) in *headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let rule = standing(response.headers()).map(|(rule, _)| rule);
        assert_eq!(rule.as_deref(), *want, "{method} {target} {headers:?}");
    }
}

#[tokio::test]
async fn conditions_decide_over_http_1() {
    all_cases(client()).await;
}

#[tokio::test]
async fn conditions_decide_over_http_2() {
    all_cases(h2_client()).await;
}

/// Counters in memory, and in a Redis that may take as long as it needs. Each `number` has counters of its own.
fn stores(redis: &Redis, number: usize) -> [String; 2] {
    let (url, prefix) = (redis.url(), format!("case-{number}"));
    let in_redis = format!("store: {{ redis: {{ url: '{url}', timeout: 10s, key_prefix: {prefix} }} }}\n");
    ["store: { memory: {} }\n".to_owned(), in_redis]
}

#[tokio::test]
async fn the_paths_of_a_rule_share_its_counter() {
    let upstream = Upstream::start().await;
    let redis = Redis::start().await;
    for store in stores(&redis, 0) {
        let rules = "rules: [{ name: both, match: { path: [/api/v1/tasks, /api/v2/tasks] }, rate: 5/h }]";
        let tidegate = Tidegate::configured(upstream.address, &format!("{store}{rules}")).await;
        for client in [client(), h2_client()] {
            let paths = ["/api/v1/tasks", "/api/v2/tasks"];
            let counted = flood(8, |number| client.get(tidegate.url(paths[number % 2]))).await;
            assert!([statuses([(200, 5), (429, 3)]), statuses([(429, 8)])].contains(&counted), "{counted:?}");
        }
        assert_eq!(tidegate.counted("both", "allowed").await, 5.0);
    }
}

/// A lax rule for some requests, and a strict one for the others.
const LAX_FIRST: &str = r#"
rules:
  - { name: lax, match: { path: /x, query: { dry_run: "true" } }, rate: 8/h }
  - { name: lax-by-plan, match: { path: /x, headers: { X-Plan: gold } }, rate: 8/h }
  - { name: keyed, match: { path: /x, headers: { X-Api-Key: "*" } }, rate: 8/h }
  - { name: strict, match: { path: /x, not: { query: { internal: "1" } } }, rate: 2/h }
"#;

/// Requests that one upstream takes for what a lax rule is for, and another one for what the strict rule is for.
const AMBIGUOUS: [(&str, &[&str]); 11] = [
    ("/x?dry_run=true&dry_run=false", &[]),
    ("/x?dry_run=false&dry_run=true", &[]),
    ("/x?dry_run=true&dry%5Frun=", &[]),
    ("/x?a=1;dry_run=true", &[]),
    ("/x?dry_run=true;a=1", &[]),
    ("/x", &["X-Plan: gold", "X-Plan: free"]),
    ("/x", &["X-Plan: free", "x-plan: gold"]),
    ("/x", &["X-Api-Key:"]),
    ("/x", &["X-Api-Key:", "X-Plan: gold", "X-Plan:"]),
    ("/x?internal=1&internal=0", &[]),
    ("/x?internal=0;internal=1", &[]),
];

#[tokio::test]
async fn no_request_with_two_readings_escapes_the_strict_rule() {
    let upstream = Upstream::start().await;
    let redis = Redis::start().await;
    for (number, (target, headers)) in AMBIGUOUS.iter().enumerate() {
        for store in stores(&redis, number) {
            let tidegate = Tidegate::configured(upstream.address, &format!("{store}{LAX_FIRST}")).await;
            let mut wire = Wire::to(tidegate.address).await;
            let mut statuses = Vec::new();
            for _ in 0..4 {
                statuses.push(wire.ask(&format!("GET {target}"), headers).await.status);
            }
            assert_eq!(statuses, [200, 200, 429, 429], "{target} {headers:?}");
            assert_eq!(tidegate.counted("strict", "limited").await, 2.0, "{target} {headers:?}");
        }
    }
}

#[tokio::test]
async fn what_the_strict_rule_refuses_costs_the_lax_one_nothing() {
    let upstream = Upstream::start().await;
    let redis = Redis::start().await;
    for store in stores(&redis, 0) {
        let tidegate = Tidegate::configured(upstream.address, &format!("{store}{LAX_FIRST}")).await;
        for client in [client(), h2_client()] {
            flood(10, |_| client.get(tidegate.url("/x?dry_run=true&dry_run=false"))).await;
        }
        let client = client();
        let plain = flood(10, |_| client.get(tidegate.url("/x?dry_run=true"))).await;
        assert_eq!(plain, statuses([(200, 6), (429, 4)]));
    }
}

#[tokio::test]
async fn a_request_that_falls_under_too_many_rules_is_refused() {
    let upstream = Upstream::start().await;
    let rules: String = (1..=6)
        .map(|n| format!("  - {{ name: r{n}, match: {{ query: {{ a: '{n}' }} }}, rate: 100/h }}\n"))
        .collect();
    let tidegate =
        Tidegate::configured(upstream.address, &format!("store: {{ memory: {{}} }}\nrules:\n{rules}")).await;
    for client in [client(), h2_client()] {
        for (query, status) in
            [("a=1&a=2&a=3&a=4", 200), ("a=1&a=2&a=3&a=4&a=5", 400), ("a=0&a=9&a=7&a=8&a=5", 200)]
        {
            let response = client.get(tidegate.url(&format!("/?{query}"))).send().await.unwrap();
            assert_eq!(response.status(), status, "{query}");
        }
    }
    assert_eq!(tidegate.counted("r1", "rejected").await, 2.0);
    assert_eq!(tidegate.counted("r1", "allowed").await, 2.0);
}
