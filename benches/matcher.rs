//! How the time to find a rule grows with their number, and with their conditions. It is not to grow with their number.

#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on ends there")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tidegate::config::{Overrides, compile_text};
use tidegate::policy::client::Client;
use tidegate::policy::path::{PathPolicy, canonical};
use tidegate::policy::query::Query;
use tidegate::policy::{Facts, Policy};

/// Conditions beside the path, each of which holds for the request of the benches.
const CONDITIONS: [(&str, &str); 8] = [
    ("methods", "methods: [GET]"),
    ("hosts", "hosts: [\"*.example.org\", api.example.com]"),
    ("headers", "headers: { X-Plan: free, Authorization: \"Bearer *\" }"),
    ("query", "query: { dry_run: \"true\" }"),
    ("clients", "clients: [192.0.2.0/24, 127.0.0.0/8]"),
    ("websocket", "websocket: false"),
    ("not", "not: { headers: { X-Api-Key: \"*\" }, query: { internal: \"1\" } }"),
    (
        "all",
        "methods: [GET], hosts: [api.example.com], headers: { X-Plan: free }, query: { page: \"*\" }, clients: [127.0.0.1], \
      websocket: false, not: { headers: { X-Api-Key: \"*\" } }",
    ),
];

fn compiled(rules: &str) -> Policy {
    let text = format!("upstream: http://127.0.0.1:1\nrules:\n{rules}");
    compile_text("bench", text.as_bytes(), &Overrides::default(), &|_| Ok(None)).unwrap().policy
}

fn path_of(place: usize) -> String {
    if place.is_multiple_of(2) { format!("/api/v1/r{place}/{{id}}") } else { format!("/api/v1/r{place}") }
}

/// `count` rules, half of them with a parameter, and one for everything at the end.
fn policy(count: usize) -> Policy {
    let mut rules = String::new();
    for place in 1..count {
        let path = path_of(place);
        writeln!(
            rules,
            "  - {{ name: r{place}, match: {{ methods: [GET], path: \"{path}\" }}, rate: 10/s }}"
        )
        .unwrap();
    }
    compiled(&(rules + "  - { name: rest, rate: 10/s }\n"))
}

/// The same number of rules with all kinds of conditions in turn.
fn policy_with_conditions(count: usize) -> Policy {
    let mut rules = String::new();
    for (place, (_, condition)) in (0..count).zip(CONDITIONS.into_iter().cycle()) {
        let path = path_of(place);
        writeln!(rules, "  - {{ name: r{place}, match: {{ path: \"{path}\", {condition} }}, rate: 10/s }}")
            .unwrap();
    }
    compiled(&rules)
}

fn facts<'a>(path: &'a str, query: &'a str, headers: &'a HeaderMap) -> Facts<'a> {
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Facts {
        method: &Method::GET,
        host: "api.example.com",
        path,
        decoded_path: None,
        query: Query::new(query),
        headers,
        websocket: false,
        client: Client { peer: address, address, direct: true, trusted_peer: true },
        names: &[],
    }
}

fn matcher(criterion: &mut Criterion) {
    let headers = HeaderMap::new();
    let mut group = criterion.benchmark_group("matcher");
    for count in [1, 10, 100, 1_000] {
        let policy = policy(count);
        let path = format!("/api/v1/r{}/4711", count / 2 * 2);
        group.bench_function(BenchmarkId::new("rule", count), |bencher| {
            bencher.iter(|| policy.rule(&black_box(facts(&path, "", &headers))).is_some());
        });
        group.bench_function(BenchmarkId::new("plan with its key", count), |bencher| {
            bencher.iter(|| drop(black_box(policy.plan(&black_box(facts(&path, "", &headers))))));
        });
    }
    group.bench_function("canonical path", |bencher| {
        bencher.iter(|| canonical(black_box("/api/v1/tasks/4711"), &PathPolicy::default()))
    });
    group.finish();
}

/// 1,000 rules: the path leads to one, whose other conditions hold.
fn conditions(criterion: &mut Criterion) {
    let line = |(name, value): (&'static str, &'static str)| {
        (HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    let headers: HeaderMap = [
        ("x-plan", "free"),
        ("authorization", "Bearer 0123456789abcdef"),
        ("accept", "*/*"),
        ("user-agent", "bench"),
        ("cookie", "sid=0123456789abcdef; theme=dark"),
    ]
    .map(line)
    .into_iter()
    .collect();
    let policy = policy_with_conditions(1_000);
    let mut group = criterion.benchmark_group("1,000 rules with all kinds of conditions");
    for (place, (name, _)) in (504..).zip(CONDITIONS) {
        let path = path_of(place).replace("{id}", "4711");
        let request = || facts(&path, "page=2&dry_run=true&sort=-created", &headers);
        assert_eq!(policy.rule(&request()).unwrap().name.as_ref(), format!("r{place}"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| policy.rule(&black_box(request())).is_some());
        });
    }
    group.finish();
}

criterion_group!(benches, matcher, conditions);
criterion_main!(benches);
