//! Which rule a request falls under, however it is spelled.

use http::Method;

use super::statuses;
use crate::harness::{Tidegate, Upstream, Wire, client, flood, standing};

const RULES: &str = "
store: { memory: {} }
rules:
  - { name: partner, match: { path: /api/*, hosts: ['*.partner.test', partner.test.example] }, rate: 1000/s }
  - { name: free, match: { path: /api/*, headers: { X-Plan: free } }, rate: 1000/s }
  - { name: traced, match: { methods: [PUT], headers: { X-Trace: '*' } }, rate: 1000/s }
  - { name: one-item, match: { path: '/api/items/{id}' }, rate: 1000/s }
  - { name: special-item, match: { path: /api/items/special/deeper }, rate: 1000/s }
  - { name: read, match: { methods: [GET], path: /api/* }, rate: 1000/s }
  - { name: write, match: { methods: [POST, PUT] }, rate: 1000/s }
";

/// Method, path, header fields, and the rule that decides.
type Case = (&'static str, &'static str, &'static [(&'static str, &'static str)], Option<&'static str>);

#[tokio::test]
async fn the_first_rule_of_the_file_that_matches_decides() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let client = client();
    let cases: [Case; 22] = [
        ("GET", "/api/items/7", &[("host", "a.partner.test")], Some("partner")),
        ("GET", "/api/items/7", &[("host", "a.b.PARTNER.test:8080")], Some("partner")),
        ("GET", "/api/items/7", &[("host", "a.partner.test.")], Some("partner")),
        ("GET", "/api/items/7", &[("host", "partner.test.example")], Some("partner")),
        ("GET", "/api/items/7", &[("host", "partner.test")], Some("one-item")),
        ("GET", "/api/items/7", &[("host", "badpartner.test")], Some("one-item")),
        ("GET", "/api/items/7", &[("x-plan", "free")], Some("free")),
        ("GET", "/api/items/7", &[("X-PLAN", "free"), ("x-plan", "free")], Some("free")),
        ("GET", "/api/items/7", &[("x-plan", "free!")], Some("one-item")),
        ("GET", "/api/items/7", &[("x-plan", "")], Some("one-item")),
        ("GET", "/api/items/special", &[], Some("one-item")),
        ("GET", "/api/items/special/deeper", &[], Some("special-item")),
        ("GET", "/api/items/special/deeper/still", &[], Some("read")),
        ("GET", "/api", &[], Some("read")),
        ("HEAD", "/api/other", &[], Some("read")),
        ("GET", "/apis", &[], None),
        ("DELETE", "/api/other", &[], None),
        ("POST", "/", &[], Some("write")),
        ("PUT", "/elsewhere", &[("x-trace", "anything")], Some("traced")),
        ("PUT", "/elsewhere", &[("x-trace", "")], Some("traced")),
        ("PUT", "/elsewhere", &[], Some("write")),
        ("GET", "/elsewhere", &[("x-http-method-override", "POST")], None),
    ];
    for (method, path, headers, want) in cases {
        let method: Method = method.parse().unwrap();
        let mut request = client.request(method.clone(), tidegate.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let rule = standing(answer.headers()).map(|(rule, _)| rule);
        assert_eq!(rule.as_deref(), want, "{method} {path} {headers:?}");
    }
}

#[tokio::test]
async fn head_shares_the_limit_of_get() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=GET /x=5/min"]).await;
    let client = client();
    let methods = [Method::GET, Method::HEAD];
    let answers = flood(12, |number| client.request(methods[number % 2].clone(), tidegate.url("/x")));
    assert_eq!(answers.await, statuses([(200, 5), (429, 7)]));
}

/// Spellings that applications serve as one resource, and what is forwarded.
const SPELLINGS: [(&str, &str); 16] = [
    ("/api/v1/tasks", "/api/v1/tasks"),
    ("//api/v1/tasks", "/api/v1/tasks"),
    ("/api///v1/tasks", "/api/v1/tasks"),
    ("/./api/v1/./tasks", "/api/v1/tasks"),
    ("/api/x/../v1/tasks", "/api/v1/tasks"),
    ("/api/%2e/v1/tasks", "/api/v1/tasks"),
    ("/api/x/%2E%2e/v1/tasks", "/api/v1/tasks"),
    ("/%61pi/v1/t%61sks", "/api/v1/tasks"),
    ("/api/v1/tasks/", "/api/v1/tasks/"),
    ("/api/v1/tasks//", "/api/v1/tasks/"),
    ("/api/v1/tasks/.", "/api/v1/tasks/"),
    ("/api/v1/tasks?page=2", "/api/v1/tasks?page=2"),
    ("/api/v1/tasks?", "/api/v1/tasks?"),
    ("/api/v1/tasks?a=/../b%2F", "/api/v1/tasks?a=/../b%2F"),
    ("http://app.test/api/v1/tasks", "/api/v1/tasks"),
    ("HTTP://app.test//api/v1/tasks", "/api/v1/tasks"),
];

#[tokio::test]
async fn all_spellings_of_a_path_reach_the_upstream_in_one() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/api/v1/tasks=1000/min"]).await;
    let mut wire = Wire::to(tidegate.address).await;
    for (spelled, forwarded) in SPELLINGS {
        assert_eq!(wire.ask(&format!("GET {spelled}"), &[]).await.status, 200, "{spelled}");
        assert_eq!(upstream.last().target, forwarded, "what was forwarded for {spelled}");
    }
}

#[tokio::test]
async fn all_spellings_of_a_path_share_one_limit() {
    let upstream = Upstream::start().await;
    let limit = format!("--limit=/api/v1/tasks={}/min", SPELLINGS.len());
    let tidegate = Tidegate::start(upstream.address, &[&limit]).await;
    let mut wire = Wire::to(tidegate.address).await;
    for (number, (spelled, _)) in SPELLINGS.into_iter().enumerate() {
        let answer = wire.ask(&format!("GET {spelled}"), &[]).await;
        assert_eq!(answer.status, 200, "{spelled}");
        let left = i64::try_from(SPELLINGS.len() - number - 1).unwrap();
        assert_eq!(
            standing(&answer.headers),
            Some(("api-v1-tasks".to_owned(), left)),
            "{spelled} has a limit of its own"
        );
    }
    for (spelled, _) in SPELLINGS {
        let answer = wire.ask(&format!("GET {spelled}"), &[]).await;
        assert_eq!(answer.status, 429, "{spelled} got past the limit");
    }
}

#[tokio::test]
async fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/api/*=1000/s"]).await;
    for path in [
        "/api%2Fx%5Ctasks",
        "/api/%2f/tasks",
        "/api\\..\\tasks",
        "/api/%5Ctasks",
        "/api/tasks%00",
        "/api/tasks%0d%0aX:%201",
        "/api/tasks%7f",
        "/api/%",
        "/api/%4",
        "/api/%zz",
        "/..",
        "/api/../../etc",
        "/%2e%2e/etc",
        "*",
    ] {
        let mut wire = Wire::to(tidegate.address).await;
        let answer = wire.ask(&format!("GET {path}"), &[]).await;
        assert_eq!(answer.status, 400, "{path}");
        let body = String::from_utf8(answer.body).unwrap();
        assert!(!body.contains("etc") && !body.contains("tasks"), "the answer echoes the request: {body}");
    }
    assert!(upstream.seen().is_empty(), "reached the application: {:?}", upstream.seen());
}
