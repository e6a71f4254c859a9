//! Refusals in the words of a rule: in each protocol, with what changes from one request to the next.

use std::collections::BTreeSet;

use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use tokio::net::TcpStream;

use super::text;
use crate::harness::{Tidegate, Upstream, client, client_from, full, h2_client, h2_over};

const RULES: &str = r#"
store: { memory: {} }
rules:
  - name: filled
    match: { path: /filled }
    rate: 3/h
    burst: 1
    refusal:
      status: 403
      content_type: application/json
      body: '{"rule":"{rule}","limit":{limit},"wait":{retry_after}}'
      headers: { X-Reason: quota }
  - { name: spread, match: { path: /spread }, key: [], rate: 1/h, refusal: { body: "{retry_after}", retry_jitter: 50% } }
  - { name: plain, match: { path: /plain }, rate: 1/h }
"#;

/// The response of the first request that is refused.
async fn refused(request: reqwest::RequestBuilder) -> reqwest::Response {
    for _ in 0..5 {
        let response = request.try_clone().unwrap().send().await.unwrap();
        if response.headers().contains_key("retry-after") || response.headers().contains_key("grpc-status") {
            return response;
        }
    }
    panic!("none of five requests was refused");
}

fn retry_after(headers: &HeaderMap) -> i64 {
    text(headers, "retry-after").parse().unwrap()
}

#[tokio::test]
async fn placeholders_of_a_body_are_filled() {
    let upstream = Upstream::start().await;
    for client in [client(), h2_client()] {
        let tidegate = Tidegate::configured(upstream.address, RULES).await;
        let response = refused(client.get(tidegate.url("/filled"))).await;
        assert_eq!(response.status(), 403);
        let headers = response.headers().clone();
        assert_eq!(text(&headers, "content-type"), "application/json");
        let wait = retry_after(&headers);
        let body = response.text().await.unwrap();
        assert_eq!(body, format!("{{\"rule\":\"filled\",\"limit\":3,\"wait\":{wait}}}"));
    }
}

#[tokio::test]
async fn a_refused_head_over_http1_has_no_body() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    for path in ["/plain", "/filled"] {
        let length = refused(client().get(tidegate.url(path))).await.bytes().await.unwrap().len();
        // On one connection: the second response is read where the first must have ended.
        let client = client();
        for _ in 0..2 {
            let head = client.head(tidegate.url(path)).send().await.unwrap();
            let stated: usize = text(head.headers(), "content-length").parse().unwrap();
            assert!(stated.abs_diff(length) <= 3, "{stated} for a body of {length} bytes");
            assert_eq!(head.bytes().await.unwrap(), "");
        }
    }
}

async fn head_over_http2(tidegate: &Tidegate, path: &str) -> (u16, HeaderMap) {
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let request = Request::head(format!("http://app.test{path}")).body(full("")).unwrap();
    let response = client.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    assert_eq!(body.collect().await.expect("a response to HEAD has a body").to_bytes(), "");
    (head.status.as_u16(), head.headers)
}

#[tokio::test]
async fn a_refused_head_over_http2_has_no_body() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    for (path, status) in [("/plain", 429), ("/filled", 403)] {
        let length = refused(client().get(tidegate.url(path))).await.bytes().await.unwrap().len();
        let (refused, headers) = head_over_http2(&tidegate, path).await;
        let stated: usize = text(&headers, "content-length").parse().unwrap();
        assert_eq!(refused, status);
        assert!(stated.abs_diff(length) <= 3, "{stated} for a body of {length} bytes");
    }
}

#[tokio::test]
async fn a_head_that_the_upstream_fails_has_no_body_over_http2() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    drop(upstream);
    let (status, headers) = head_over_http2(&tidegate, "/").await;
    assert_eq!(status / 100, 5);
    assert_ne!(text(&headers, "content-length"), "0");
}

#[tokio::test]
async fn a_grpc_call_is_refused_with_the_headers_of_the_rule() {
    let upstream = Upstream::start().await;
    for client in [client(), h2_client()] {
        let tidegate = Tidegate::configured(upstream.address, RULES).await;
        let call = client.post(tidegate.url("/filled")).header("content-type", "application/grpc");
        let response = refused(call.body(vec![0, 0, 0, 0, 0])).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        assert_eq!((text(&headers, "grpc-status"), text(&headers, "x-reason")), ("8", "quota"));
        assert_eq!(text(&headers, "content-type"), "application/grpc");
        assert_eq!(response.bytes().await.unwrap(), "");
    }
}

#[tokio::test]
async fn jitter_adds_to_retry_after() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let mut waits = BTreeSet::new();
    refused(client().get(tidegate.url("/spread"))).await;
    for _ in 0..30 {
        let response = client().get(tidegate.url("/spread")).send().await.unwrap();
        let headers = response.headers().clone();
        let wait = retry_after(&headers);
        let (_, reset) = text(&headers, "ratelimit").rsplit_once("t=").unwrap();
        let reset: i64 = reset.parse().unwrap();
        assert!((reset..=reset + reset / 2 + 1).contains(&wait), "{wait} s, where room is in {reset} s");
        assert_eq!(response.text().await.unwrap(), wait.to_string(), "the body names another time");
        waits.insert(wait);
    }
    assert!(waits.len() > 5, "{waits:?}");
}

#[tokio::test]
async fn jitter_adds_to_the_pushback_of_grpc() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let call = || client().post(tidegate.url("/spread")).header("content-type", "application/grpc");
    let mut waits = BTreeSet::new();
    for _ in 0..20 {
        let response = refused(call()).await;
        let pushback: i64 = text(response.headers(), "grpc-retry-pushback-ms").parse().unwrap();
        assert!((1..=5_400_000).contains(&pushback), "{pushback} ms");
        waits.insert(pushback / 60_000);
    }
    assert!(waits.len() > 3, "{waits:?}");
}

#[tokio::test]
async fn each_rule_keeps_its_own_words() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let client = client_from("127.0.0.3");
    let plain = refused(client.get(tidegate.url("/plain"))).await;
    assert_eq!((plain.status().as_u16(), plain.headers().get("x-reason")), (429, None));
    assert_eq!(text(plain.headers(), "content-type"), "application/problem+json");
}
