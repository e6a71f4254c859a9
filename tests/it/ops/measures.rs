//! What is measured beside the outcomes: each metric moves with what it measures, and with nothing else.

use std::io::Read as _;

use flate2::read::GzDecoder;
use tokio::sync::Semaphore;

use crate::harness::{Certificates, Redis, Tidegate, Upstream, client, eventually, full};

const MEMORY: &str = "store: { memory: {} }\n";

async fn get(tidegate: &Tidegate, path: &str) -> u16 {
    let response = client().get(tidegate.url(path)).send().await.unwrap();
    let status = response.status().as_u16();
    response.bytes().await.unwrap();
    status
}

/// Waits until a series has this value.
async fn becomes(tidegate: &Tidegate, series: &str, value: f64) {
    let read = async || tidegate.metric(series).await.filter(|&read| read == value);
    eventually(&format!("{series} to be {value}"), read).await;
}

#[tokio::test]
async fn each_request_is_measured_when_its_response_has_ended() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=3/h"]).await;
    for _ in 0..5 {
        get(&tidegate, "/").await;
    }
    becomes(&tidegate, "tidegate_request_duration_seconds_count", 5.0).await;
    becomes(&tidegate, "tidegate_requests_in_flight", 0.0).await;
}

#[tokio::test]
async fn a_request_is_in_flight_until_its_response_has_ended() {
    let gate = std::sync::Arc::new(Semaphore::new(0));
    let opened = std::sync::Arc::clone(&gate);
    let upstream = Upstream::serving(move |_| {
        let gate = std::sync::Arc::clone(&opened);
        async move {
            gate.acquire().await.unwrap().forget();
            http::Response::new(full("ok"))
        }
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, &[]).await;
    let url = tidegate.url("/");
    let sent: Vec<_> = (0..3).map(|_| tokio::spawn(client().get(&url).send())).collect();
    becomes(&tidegate, "tidegate_requests_in_flight", 3.0).await;
    gate.add_permits(3);
    for each in sent {
        assert_eq!(each.await.unwrap().unwrap().text().await.unwrap(), "ok");
    }
    becomes(&tidegate, "tidegate_requests_in_flight", 0.0).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_not_in_flight() {
    let upstream = Upstream::serving(|_| std::future::pending()).await;
    let tidegate = Tidegate::start(upstream.address, &[]).await;
    let sent = tokio::spawn(client().get(tidegate.url("/")).send());
    becomes(&tidegate, "tidegate_requests_in_flight", 1.0).await;
    sent.abort();
    becomes(&tidegate, "tidegate_requests_in_flight", 0.0).await;
    becomes(&tidegate, "tidegate_request_duration_seconds_count", 1.0).await;
}

#[tokio::test]
async fn the_bytes_of_bodies_are_counted_in_both_directions() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &[]).await;
    for length in [0, 7, 100_000] {
        let posted = client().post(tidegate.url("/")).body(vec![b'x'; length]).send().await.unwrap();
        assert_eq!(posted.text().await.unwrap(), "ok");
    }
    becomes(&tidegate, "tidegate_request_body_bytes_total", 100_007.0).await;
    becomes(&tidegate, "tidegate_response_body_bytes_total", 3.0 * 2.0).await;
}

#[tokio::test]
async fn the_body_of_a_refusal_is_counted() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    get(&tidegate, "/").await;
    let refused = client().get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(refused.status(), 429);
    let bytes = refused.bytes().await.unwrap().len() as f64;
    becomes(&tidegate, "tidegate_response_body_bytes_total", 2.0 + bytes).await;
}

#[tokio::test]
async fn requests_near_their_limit_are_counted_by_rule() {
    let upstream = Upstream::start().await;
    let config = format!(
        "{MEMORY}rules: [{{ name: ten, match: {{ path: /ten }}, rate: 10/h }}, {{ name: other, rate: 10/h }}]"
    );
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    for _ in 0..13 {
        get(&tidegate, "/ten").await;
    }
    get(&tidegate, "/").await;
    // The ninth and the tenth used more than eight of ten; the rest was refused.
    becomes(&tidegate, "tidegate_near_limit_requests_total{rule=\"ten\"}", 2.0).await;
    becomes(&tidegate, "tidegate_near_limit_requests_total{rule=\"other\"}", 0.0).await;
}

#[tokio::test]
async fn configured_limits_are_shown_by_rule_and_window() {
    let upstream = Upstream::start().await;
    let rules = |limits: &str| format!("{MEMORY}rules: [{{ name: x, limits: [{limits}] }}]");
    let tidegate =
        Tidegate::configured(upstream.address, &rules("{ rate: 5/min, burst: 2 }, { rate: 90/h }")).await;
    let limit = |name: &str, window: &str| format!("tidegate_rule_{name}{{rule=\"x\",window=\"{window}\"}}");
    becomes(&tidegate, &limit("limit", "60s"), 5.0).await;
    becomes(&tidegate, &limit("burst", "60s"), 2.0).await;
    becomes(&tidegate, &limit("limit", "3600s"), 90.0).await;
    tidegate.rewrite(&rules("{ rate: 7/min }"));
    becomes(&tidegate, &limit("limit", "60s"), 7.0).await;
    becomes(&tidegate, &limit("burst", "60s"), 0.0).await;
    assert!(
        tidegate.metric(&limit("limit", "3600s")).await.unwrap().is_nan(),
        "a limit that is gone is shown"
    );
}

#[tokio::test]
async fn instances_with_the_same_file_have_the_same_hash() {
    let upstream = Upstream::start().await;
    let config = |rate: &str| format!("{MEMORY}rules: [{{ name: x, rate: {rate} }}]\n");
    let one = Tidegate::configured(upstream.address, &config("5/min")).await;
    let other = Tidegate::configured(upstream.address, &config("5/min")).await;
    let hash = async |of: &Tidegate| of.metric("tidegate_config_hash").await.unwrap();
    let before = hash(&one).await;
    assert!(before > 0.0 && before.fract() == 0.0 && before == hash(&other).await);
    other.rewrite(&config("6/min"));
    let changed = async || Some(hash(&other).await).filter(|&now| now != before);
    eventually("another hash", changed).await;
    assert_eq!(hash(&one).await, before);
    other.rewrite(&config("5/min"));
    becomes(&other, "tidegate_config_hash", before).await;
}

#[tokio::test]
async fn a_file_that_is_refused_leaves_the_hash() {
    let upstream = Upstream::start().await;
    let config = |rate: &str| format!("{MEMORY}rules: [{{ name: x, rate: {rate} }}]\n");
    let tidegate = Tidegate::configured(upstream.address, &config("5/min")).await;
    let before = tidegate.metric("tidegate_config_hash").await;
    tidegate.rewrite(&config("many"));
    becomes(&tidegate, "tidegate_config_last_reload_successful", 0.0).await;
    assert_eq!(tidegate.metric("tidegate_config_hash").await, before);
}

#[tokio::test]
async fn the_expiry_of_a_certificate_is_shown() {
    let (upstream, certificates) = (Upstream::start().await, Certificates::between(2020, 2040));
    let (certificate, key) = (certificates.server_certificate(), certificates.server_key());
    let config = format!("{MEMORY}tls: {{ cert_file: {certificate}, key_file: {key} }}\n");
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    let series = "tidegate_certificate_expiry_timestamp_seconds{key=\"tls.cert_file\"}";
    // The first second of 2040.
    assert_eq!(tidegate.metric(series).await, Some(2_208_988_800.0));
}

#[tokio::test]
async fn metrics_are_compressed_for_a_scraper_that_accepts_gzip() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    let scrape = client().get(tidegate.ops_url("/metrics")).header("Accept-Encoding", "gzip");
    let response = scrape.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let (compressed, mut text) = (response.bytes().await.unwrap(), String::new());
    GzDecoder::new(&compressed[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("\ntidegate_build_info{") && compressed.len() * 4 < text.len());
}

#[tokio::test]
async fn the_process_is_measured() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &[]).await;
    for name in ["resident_memory_bytes", "open_fds", "threads", "start_time_seconds"] {
        let read = async || tidegate.metric(&format!("process_{name}")).await.filter(|&value| value > 1.0);
        eventually(name, read).await;
    }
}

/// In front of a Redis of its own.
async fn with_redis(redis: &Redis) -> Tidegate {
    let upstream = Upstream::start().await;
    let config =
        format!("store: {{ redis: {{ url: '{}' }} }}\nrules: [{{ name: x, rate: 9/h }}]", redis.url());
    Tidegate::configured(upstream.address, &config).await
}

#[tokio::test]
async fn an_outage_opens_the_breaker_and_lasts_until_it_closes() {
    let mut redis = Redis::start().await;
    let tidegate = with_redis(&redis).await;
    let breaker = format!("tidegate_store_breaker_open{{server=\"127.0.0.1:{}\"}}", redis.port());
    let degraded = "tidegate_store_degraded_seconds_total";
    becomes(&tidegate, &breaker, 0.0).await;
    assert_eq!(tidegate.metric(degraded).await, Some(0.0));
    redis.kill().await;
    becomes(&tidegate, &breaker, 1.0).await;
    // It grows while the outage lasts.
    eventually("a second", async || tidegate.metric(degraded).await.filter(|&seconds| seconds >= 1.0)).await;
    redis.restart().await;
    becomes(&tidegate, &breaker, 0.0).await;
    let ended = tidegate.metric(degraded).await;
    get(&tidegate, "/").await;
    assert_eq!(tidegate.metric(degraded).await, ended);
}

#[tokio::test]
async fn each_round_trip_has_its_size() {
    let redis = Redis::start().await;
    let tidegate = with_redis(&redis).await;
    get(&tidegate, "/").await;
    let metrics = tidegate.metrics().await;
    let value = |name: &str| {
        let series = format!("tidegate_store_{name}{{store=\"redis\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse::<f64>().ok()).unwrap()
    };
    let (trips, calls) = (value("batch_size_count"), value("batch_size_sum"));
    assert!(trips >= 1.0 && trips == value("round_trips_total") && calls >= trips, "{trips} {calls}");
}
