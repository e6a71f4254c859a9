//! How the time to find a rule grows with their number. It is not to.

#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on ends there")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use tidegate::config::{Overrides, compile_text};
use tidegate::policy::client::Client;
use tidegate::policy::path::{PathPolicy, canonical};
use tidegate::policy::query::Query;
use tidegate::policy::{Facts, Policy};

/// `count` rules, half of them with a parameter, and one for everything at the end.
fn policy(count: usize) -> Policy {
    let mut text = "upstream: http://127.0.0.1:1\nrules:\n".to_owned();
    for place in 1..count {
        let path =
            if place % 2 == 0 { format!("/api/v1/r{place}/{{id}}") } else { format!("/api/v1/r{place}") };
        writeln!(text, "  - {{ name: r{place}, match: {{ methods: [GET], path: \"{path}\" }}, rate: 10/s }}")
            .unwrap();
    }
    text.push_str("  - { name: rest, rate: 10/s }\n");
    compile_text("bench", text.as_bytes(), &Overrides::default(), &|_| Ok(None)).unwrap().policy
}

fn matcher(criterion: &mut Criterion) {
    let headers = HeaderMap::new();
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut group = criterion.benchmark_group("matcher");
    for count in [1, 10, 100, 1_000] {
        let policy = policy(count);
        let path = format!("/api/v1/r{}/4711", count / 2 * 2);
        let facts = Facts {
            method: &Method::GET,
            host: "api.example.com",
            path: &path,
            decoded_path: None,
            query: Query::new(""),
            headers: &headers,
            websocket: false,
            client: Client { peer: address, address, direct: true, trusted_peer: true },
            names: &[],
        };
        group.bench_with_input(BenchmarkId::new("rule", count), &facts, |bencher, facts| {
            bencher.iter(|| black_box(policy.rule(black_box(facts))).is_some());
        });
        group.bench_with_input(BenchmarkId::new("plan with its key", count), &facts, |bencher, facts| {
            bencher.iter(|| black_box(policy.plan(black_box(facts))));
        });
    }
    group.bench_function("canonical path", |bencher| {
        bencher.iter(|| canonical(black_box("/api/v1/tasks/4711"), &PathPolicy::default()))
    });
    group.finish();
}

criterion_group!(benches, matcher);
criterion_main!(benches);
