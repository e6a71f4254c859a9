//! The counters of two instances through an outage, a reload and overrides, against what the clients got and what the upstream saw.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::harness::{Redis, Tidegate, Upstream, client, eventually, full};

/// Requests in all; `TIDEGATE_EXACT` sets another number.
const REQUESTS: usize = 3_000;
const AT_ONCE: usize = 32;

/// The paths of the requests in turn, each with the rule or bypass that counts them.
const PATHS: [(&str, &str); 8] = [
    ("/tasks", "tasks"),
    ("/trial", "trial"),
    ("/open", "open"),
    ("/closed", "closed"),
    ("/keyed", "keyed"),
    ("/healthz", "probes"),
    ("/elsewhere", ""),
    // Refused, as it can be read in two ways.
    ("/a%00b", ""),
];

fn config(redis: &Redis, rate: &str) -> String {
    format!(
        "
store: {{ redis: {{ url: '{}' }} }}
access_log: {{ allowed: 1, refused: 1, per_second: 100000 }}
bypass: [{{ name: probes, paths: [/healthz] }}]
rules:
  - {{ name: tasks, match: {{ path: /tasks }}, key: ['header:X-Client'], rate: {rate} }}
  - {{ name: trial, match: {{ path: /trial }}, key: [], rate: {rate}, mode: shadow }}
  - {{ name: open, match: {{ path: /open }}, key: [], rate: 1000000/h, on_outage: open }}
  - {{ name: closed, match: {{ path: /closed }}, key: [], rate: 1000000/h, on_outage: closed }}
  - {{ name: keyed, match: {{ path: /keyed }}, key: ['header:X-Absent'], on_missing: reject, rate: 1/h }}
",
        redis.url()
    )
}

/// What the clients got from one instance: responses by path and status, and the bytes of their bodies.
#[derive(Default)]
struct Received {
    responses: BTreeMap<(&'static str, u16), usize>,
    bytes: usize,
}

/// Sends requests to both instances in turn, those of `numbers`, and notes what came back.
async fn send(fleet: &[Tidegate; 2], numbers: std::ops::Range<usize>, received: &Mutex<[Received; 2]>) {
    let http = client();
    let mut under_way = JoinSet::new();
    let note = |(instance, path, status, bytes): (usize, &'static str, u16, usize)| {
        let received = &mut received.lock().unwrap()[instance];
        *received.responses.entry((path, status)).or_default() += 1;
        received.bytes += bytes;
    };
    for number in numbers {
        if under_way.len() == AT_ONCE {
            note(under_way.join_next().await.unwrap().unwrap());
        }
        let (path, instance) = (PATHS[number % PATHS.len()].0, number / PATHS.len() % 2);
        let request = http.get(fleet[instance].url(path)).header("X-Client", format!("c{}", number % 5));
        under_way.spawn(async move {
            let response = request.send().await.expect("a request got no response");
            let status = response.status().as_u16();
            (instance, path, status, response.bytes().await.expect("a body broke off").len())
        });
    }
    while let Some(done) = under_way.join_next().await {
        note(done.unwrap());
    }
}

impl Received {
    fn count(&self, path: &str, status: u16) -> usize {
        self.responses.iter().filter(|((at, code), _)| *at == path && *code == status).map(|(_, n)| n).sum()
    }

    fn all(&self) -> usize {
        self.responses.values().sum()
    }

    /// Compares the counters of an instance with this.
    async fn compare(&self, tidegate: &Tidegate) {
        let counted = async |rule: &str, outcomes: &[&str]| {
            let mut sum = 0.0;
            for outcome in outcomes {
                sum += tidegate.counted(rule, outcome).await;
            }
            sum
        };
        // Without the store a rule admits by this instance's part, or without a check.
        const FORWARDED: [&str; 3] = ["allowed", "shadow_limited", "store_failed_open"];
        for (path, rule, status, outcomes) in [
            ("/tasks", "tasks", 200, &FORWARDED[..]),
            ("/tasks", "tasks", 429, &["limited"]),
            ("/tasks", "tasks", 403, &["blocked"]),
            ("/trial", "trial", 200, &FORWARDED),
            ("/open", "open", 200, &FORWARDED),
            ("/closed", "closed", 200, &["allowed"]),
            ("/closed", "closed", 503, &["store_failed_closed"]),
            ("/keyed", "keyed", 400, &["rejected"]),
            ("/healthz", "probes", 200, &["bypassed"]),
            ("/elsewhere", "", 200, &["unlimited"]),
            ("/a%00b", "", 400, &["rejected"]),
        ] {
            assert_eq!(counted(rule, outcomes).await, self.count(path, status) as f64, "{path} {status}");
        }
        let metrics = tidegate.metrics().await;
        let all: f64 = super::series(&metrics, "tidegate_requests_total").values().sum();
        assert_eq!(all, self.all() as f64, "other outcomes were counted too");
        for (labels, count) in super::series(&metrics, "tidegate_responses_total") {
            let code: u16 = labels.trim_start_matches("code=").trim_matches('"').parse().unwrap();
            let got: usize =
                self.responses.iter().filter(|((_, status), _)| *status == code).map(|(_, n)| n).sum();
            assert_eq!(count, got as f64, "responses with {code}");
        }
    }

    /// Waits until the instance has measured and logged all requests, and compares that.
    async fn compare_ends(&self, tidegate: &Tidegate) {
        eventually("all requests to end", async || {
            (tidegate.metric("tidegate_requests_in_flight").await? == 0.0).then_some(())
        })
        .await;
        let count = tidegate.metric("tidegate_request_duration_seconds_count").await;
        assert_eq!(count, Some(self.all() as f64));
        let bytes = tidegate.metric("tidegate_response_body_bytes_total").await;
        assert_eq!(bytes, Some(self.bytes as f64));
        eventually("all lines", async || (tidegate.lines("access").len() >= self.all()).then_some(())).await;
        let mut logged: BTreeMap<(String, u16), usize> = BTreeMap::new();
        for line in tidegate.lines("access") {
            let path = line["path"].as_str().unwrap().to_owned();
            let status = u16::try_from(line["status"].as_u64().unwrap()).unwrap();
            *logged.entry((path, status)).or_default() += 1;
        }
        let got = self.responses.iter().map(|((path, status), n)| (((*path).to_owned(), *status), *n));
        assert_eq!(logged, got.collect());
        for dropped in ["tidegate_access_log_lines_dropped_total", "tidegate_log_lines_dropped_total"] {
            assert_eq!(tidegate.metric(dropped).await, Some(0.0), "{dropped}");
        }
    }
}

#[tokio::test]
async fn counters_and_lines_are_exact_through_an_outage_a_reload_and_overrides() {
    let requests = std::env::var("TIDEGATE_EXACT").map_or(REQUESTS, |number| number.parse().unwrap());
    let (upstream, mut redis) = (Upstream::start().await, Redis::start().await);
    let fleet = [
        Tidegate::configured(upstream.address, &config(&redis, "10/h")).await,
        Tidegate::configured(upstream.address, &config(&redis, "10/h")).await,
    ];
    let received = Mutex::default();
    let third = requests / 3;
    send(&fleet, 0..third, &received).await;
    // Under traffic, as it happens.
    let outage = async {
        redis.kill().await;
        for tidegate in &fleet {
            eventually("the outage", async || {
                (tidegate.metric("tidegate_store_up").await? == 0.0).then_some(())
            })
            .await;
        }
    };
    tokio::join!(send(&fleet, third..third + third / 2, &received), outage);
    send(&fleet, third + third / 2..2 * third, &received).await;
    redis.restart().await;
    fleet.iter().for_each(|tidegate| tidegate.rewrite(&config(&redis, "15/h")));
    // As soon as Redis takes them, and so on one instance earlier than on the other.
    let overrides = async {
        let rules = fleet[0].admin_url("/v1/rules");
        let key = serde_json::json!({ "key": ["c0"] });
        let id = client().post(format!("{rules}/tasks/client-id")).json(&key).send().await.unwrap();
        let id = id.json::<serde_json::Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
        for (path, body) in [
            (format!("{rules}/tasks/clients/{id}/override"), serde_json::json!({ "blocked": true })),
            (format!("{rules}/trial/override"), serde_json::json!({ "rate": "1000000/h" })),
        ] {
            eventually("the override", async || {
                let set = client().put(&path).json(&body).send().await.unwrap();
                (set.status() == 200).then_some(())
            })
            .await;
        }
    };
    tokio::join!(send(&fleet, 2 * third..requests - third / 3, &received), overrides);
    // Both instances have them.
    for tidegate in &fleet {
        let kind = "tidegate_overrides{kind=\"client_blocked\"}";
        eventually("the overrides", async || (tidegate.metric(kind).await? == 1.0).then_some(())).await;
    }
    send(&fleet, requests - third / 3..requests, &received).await;
    for tidegate in &fleet {
        eventually("the reload", async || {
            (tidegate.metric("tidegate_config_reloads_total{result=\"ok\"}").await? == 2.0).then_some(())
        })
        .await;
    }

    let received = received.into_inner().unwrap();
    for (tidegate, received) in fleet.iter().zip(&received) {
        received.compare(tidegate).await;
        received.compare_ends(tidegate).await;
    }
    let both = |path: &str, status: u16| received.iter().map(|each| each.count(path, status)).sum::<usize>();
    // All kinds of outcomes were there.
    for (path, status) in
        [("/tasks", 200), ("/tasks", 429), ("/tasks", 403), ("/closed", 503), ("/keyed", 400)]
    {
        assert!(both(path, status) > 0, "no request to {path} got {status}");
    }
    let seen = upstream.seen();
    for (path, _) in PATHS {
        assert_eq!(seen.iter().filter(|seen| seen.target == path).count(), both(path, 200), "{path}");
    }
    let marked = seen.iter().filter(|seen| seen.headers.contains_key("x-ratelimit-exceeded")).count();
    let counted =
        fleet[0].counted("trial", "shadow_limited").await + fleet[1].counted("trial", "shadow_limited").await;
    assert_eq!(counted, marked as f64, "shadow rules");
}

#[tokio::test]
async fn requests_of_clients_that_leave_are_counted_at_most_once() {
    const SENT: usize = 200;
    let (gate, arrived) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opened, noted) = (Arc::clone(&gate), Arc::clone(&arrived));
    let upstream = Upstream::serving(move |_| {
        let gate = Arc::clone(&opened);
        noted.fetch_add(1, Ordering::Relaxed);
        async move {
            gate.acquire().await.unwrap().forget();
            http::Response::new(full("ok"))
        }
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=100000/h,name=all"]).await;
    let url = tidegate.url("/");
    let http = client();
    let mut sent = Vec::new();
    for number in 0..SENT {
        sent.push((number % 3 == 0, tokio::spawn(http.get(&url).send())));
    }
    eventually("some requests at the upstream", async || {
        (arrived.load(Ordering::Relaxed) > SENT / 4).then_some(())
    })
    .await;
    sent.iter().filter(|(leaves, _)| *leaves).for_each(|(_, request)| request.abort());
    gate.add_permits(SENT);
    let (mut completed, mut aborted) = (0.0, 0.0);
    for (_, request) in sent {
        match request.await {
            Ok(response) => completed += f64::from(u8::from(response.unwrap().status() == 200)),
            Err(_) => aborted += 1.0,
        }
    }
    eventually("all requests to end", async || {
        (tidegate.metric("tidegate_requests_in_flight").await? == 0.0).then_some(())
    })
    .await;
    let counted = tidegate.counted("all", "allowed").await;
    assert!((completed..=completed + aborted).contains(&counted), "{completed} {counted} {aborted}");
    let measured = tidegate.metric("tidegate_request_duration_seconds_count").await;
    assert_eq!(measured, Some(counted));
}
