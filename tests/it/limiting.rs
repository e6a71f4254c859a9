//! Who is refused, when, and what they are told.

mod all_or_none;
mod conditions;
mod evasion;
mod first_of;
mod keys;
mod matching;
mod modes;
mod own_words;
mod refusals;
mod secrets;
mod separators;
mod several_values;
mod spellings;
mod tiers;
mod trials;

use std::collections::BTreeMap;

use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tidegate::clock::Stopwatch;

use crate::harness::{Redis, Tidegate, Upstream, client, client_from, eventually, flood, standing};

/// The limits that the shipped file promises: method, path, rate per minute, burst.
const SHIPPED: [(Method, &str, usize, usize); 5] = [
    (Method::GET, "/api/v1/tasks", 100, 10),
    (Method::POST, "/api/v1/tasks", 30, 5),
    (Method::PATCH, "/api/v1/tasks/17", 60, 10),
    (Method::POST, "/api/v1/prd/import", 5, 2),
    (Method::POST, "/api/v1/tasks/suggest", 10, 3),
];

/// The shipped file. A machine that runs many tests at once may need longer than 20 ms for a check, and these
/// tests are about counting.
pub fn shipped() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/rate_limits.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let patient = text.replace("timeout: 20ms", "timeout: 10s");
    assert_ne!(text, patient, "the shipped file's timeout is written in another way");
    patient
}

fn statuses<const N: usize>(counts: [(u16, usize); N]) -> BTreeMap<u16, usize> {
    BTreeMap::from(counts)
}

async fn admits_what_the_shipped_rules_say(instances: &[Tidegate]) {
    for (method, path, rate, burst) in SHIPPED {
        let offered = if path == "/api/v1/tasks" && method == Method::GET { 300 } else { rate + burst + 40 };
        for address in ["127.0.0.1", "127.0.0.2"] {
            let client = client_from(address);
            let answers = flood(offered, |number| {
                client.request(method.clone(), instances[number % instances.len()].url(path))
            });
            let want = statuses([(200, rate + burst), (429, offered - rate - burst)]);
            assert_eq!(answers.await, want, "{method} {path} of {address}");
        }
    }
}

#[tokio::test]
async fn two_instances_on_one_redis_admit_what_the_shipped_rules_say() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let flag = format!("--redis={}", redis.url());
    let instances = [
        Tidegate::configured_with(upstream.address, &shipped(), &[&flag]).await,
        Tidegate::configured_with(upstream.address, &shipped(), &[&flag]).await,
    ];
    admits_what_the_shipped_rules_say(&instances).await;
    for instance in &instances {
        let differed = instance.metric("tidegate_store_disagreements_total{store=\"redis\"}").await;
        assert_eq!(
            differed.unwrap_or_default(),
            0.0,
            "Redis and the arithmetic here came to different decisions"
        );
    }
    let admitted = SHIPPED.iter().map(|(_, _, rate, burst)| 2 * (rate + burst)).sum::<usize>();
    assert_eq!(
        upstream.seen().len(),
        admitted,
        "the application saw refused requests, or not all admitted ones"
    );
}

#[tokio::test]
async fn one_instance_admits_the_same_with_its_counters_in_memory() {
    let upstream = Upstream::start().await;
    let (before, rest) =
        shipped().split_once("  redis:\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (_, after) = rest.split_once("  # Without an answer").unwrap();
    let in_memory = format!("{before}  memory: {{}}\n  # Without an answer{after}");
    admits_what_the_shipped_rules_say(&[Tidegate::configured(upstream.address, &in_memory).await]).await;
}

#[tokio::test]
async fn instances_without_a_redis_count_each_for_itself() {
    let upstream = Upstream::start().await;
    for _ in 0..2 {
        let tidegate = Tidegate::start(upstream.address, &["--limit=/x=3/min"]).await;
        let client = client();
        assert_eq!(flood(5, |_| client.get(tidegate.url("/x"))).await, statuses([(200, 3), (429, 2)]));
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).unwrap_or_else(|| panic!("no {name} in {headers:?}")).to_str().unwrap()
}

const ORDERS: &str = "--limit=POST /orders=3/min,burst=1";

#[tokio::test]
async fn an_admitted_client_learns_what_is_left() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &[ORDERS]).await;
    let client = client();
    for left in [3, 2, 1, 0] {
        let answer = client.post(tidegate.url("/orders")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(
            standing(answer.headers()),
            Some(("post-orders".to_owned(), left)),
            "what an admitted client is told"
        );
        assert_eq!(text(answer.headers(), "ratelimit-policy"), "\"post-orders\";q=3;w=60");
    }
}

/// The header fields and the body of the response to the request after the last that is admitted.
async fn refusal() -> (HeaderMap, Value) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &[ORDERS]).await;
    let order = async || client().post(tidegate.url("/orders")).send().await.unwrap();
    for _ in 0..4 {
        assert_eq!(order().await.status(), 200);
    }
    let answer = order().await;
    assert_eq!(answer.status(), 429);
    (answer.headers().clone(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_refusal_says_what_for() {
    let (headers, problem) = refusal().await;
    assert_eq!(text(&headers, "content-type"), "application/problem+json");
    assert_eq!(text(&headers, "cache-control"), "no-store", "a cache would refuse others with it");
    assert_eq!(text(&headers, "ratelimit-policy"), "\"post-orders\";q=3;w=60");
    assert_eq!(problem["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(problem["status"], 429);
    assert_eq!(problem["violated-policies"], json!(["post-orders"]));
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let (headers, problem) = refusal().await;
    let retry: u64 = text(&headers, "retry-after").parse().expect("whole seconds");
    assert!((1..=60).contains(&retry), "Retry-After: {retry}, of a window of 60 s");
    assert_eq!(text(&headers, "ratelimit"), format!("\"post-orders\";r=0;t={retry}"));
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains(&format!("{retry} s")),
        "the detail tells another time than Retry-After: {detail}"
    );
}

/// Of clients of their own, one is quick enough to be refused.
async fn keeps_its_word_about_retrying(tidegate: &Tidegate) {
    for client in 1..=20 {
        if keeps_its_word_to(tidegate, &client_from(&format!("127.0.0.{client}"))).await {
            return;
        }
    }
    panic!("20 clients in a row took longer for four requests than the window");
}

/// Whether it was refused at all.
async fn keeps_its_word_to(tidegate: &Tidegate, client: &reqwest::Client) -> bool {
    let watch = Stopwatch::start();
    let ask = async || {
        let sent = watch.millis();
        let answer = client.get(tidegate.url("/x")).send().await.unwrap();
        let retry =
            (answer.status() == 429).then(|| text(answer.headers(), "retry-after").parse::<i64>().unwrap());
        (sent, retry)
    };
    let first = watch.millis();
    for _ in 0..3 {
        assert_eq!(ask().await.1, None, "refused within the rate");
    }
    let mut promised = i64::MAX;
    let mut refusals = 0;
    let admitted = eventually("the client to be admitted again", async || {
        let (sent, refused) = ask().await;
        let Some(retry) = refused else { return Some(sent) };
        assert!((1..=2).contains(&retry), "Retry-After: {retry}, of a window of 2 s");
        assert!(sent <= promised, "refused {} ms after the time it was told to come back", sent - promised);
        promised = promised.min(watch.millis() + retry * 1000);
        refusals += 1;
        None
    });
    admitted.await;
    // The first of the three leaves the window 2 s after it came: that is the earliest. The store's clock and
    // this one may differ in the last digit.
    let waited = watch.millis() - first;
    assert!(waited >= 1_990, "admitted again after {waited} ms and {refusals} refusals");
    refusals > 0
}

#[tokio::test]
async fn retry_after_is_when_a_client_is_admitted_again() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let patient = format!(
        "store: {{ redis: {{ url: '{}', timeout: 10s }} }}\nrules: [{{ name: x, rate: 3/2s }}]",
        redis.url()
    );
    let in_redis = Tidegate::configured(upstream.address, &patient).await;
    keeps_its_word_about_retrying(&in_redis).await;
    let in_memory = Tidegate::start(upstream.address, &["--limit=/x=3/2s"]).await;
    keeps_its_word_about_retrying(&in_memory).await;
}

#[tokio::test]
async fn several_limits_are_all_charged_or_none() {
    let upstream = Upstream::start().await;
    let rule = |narrow: &str| {
        format!(
            "store: {{ memory: {{}} }}\n\
             rules: [{{ name: login, limits: [{{ rate: {narrow} }}, {{ rate: 8/h }}] }}]"
        )
    };
    let tidegate = Tidegate::configured(upstream.address, &rule("3/min")).await;
    let client = client();
    let login = || client.post(tidegate.url("/login"));
    assert_eq!(flood(13, |_| login()).await, statuses([(200, 3), (429, 10)]));
    let refused: Value = login().send().await.unwrap().json().await.unwrap();
    assert_eq!(refused["violated-policies"], json!(["login:60s"]), "only the narrow limit is exceeded");

    // With the narrow limit out of the way the wide one shows what it has counted: nothing that was refused.
    tidegate.rewrite(&rule("100/min"));
    let again = eventually("the new rate to act", async || {
        let answer = login().send().await.unwrap();
        (answer.status() == 200).then(|| standing(answer.headers()))
    });
    assert_eq!(
        again.await,
        Some(("login:3600s".to_owned(), 4)),
        "the tightest limit is told, with what is left of it"
    );
    assert_eq!(flood(10, |_| login()).await, statuses([(200, 4), (429, 6)]));
}
