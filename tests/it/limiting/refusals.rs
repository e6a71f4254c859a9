//! What a refused client is told, where it is not the standard answer.

use crate::harness::{Tidegate, Upstream, client, h2_client};

const RULES: &str = "
store: { memory: {} }
x_ratelimit_headers: true
rules:
  - name: own
    match: { path: /own }
    rate: 1/h
    refusal: { status: 403, body: '<p>Later.</p>', headers: { Content-Type: text/html, X-Reason: quota } }
  - { name: text, match: { path: /text }, rate: 1/h, refusal: { body: Later. } }
  - { name: status, match: { path: /status }, rate: 1/h, refusal: { status: 403 } }
  - { name: rpc, match: { path: /rpc }, key: [], rate: 1/h }
  - { name: plain, match: { path: /plain }, rate: 2/h }
";

#[tokio::test]
async fn a_rule_may_refuse_in_its_own_words() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let client = client();
    for (path, status, content_type, body) in
        [("/own", 403, "text/html", "<p>Later.</p>"), ("/text", 429, "text/plain; charset=utf-8", "Later.")]
    {
        assert_eq!(client.get(tidegate.url(path)).send().await.unwrap().status(), 200);
        let refused = client.get(tidegate.url(path)).send().await.unwrap();
        let headers = refused.headers().clone();
        assert_eq!(
            (refused.status().as_u16(), &headers["content-type"]),
            (status, &content_type.parse().unwrap())
        );
        assert_eq!(headers.contains_key("x-reason"), path == "/own");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(headers.contains_key("retry-after") && headers.contains_key("ratelimit"), "{headers:?}");
        assert_eq!(refused.text().await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_problem_tells_the_status_that_it_comes_with() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    assert_eq!(client().get(tidegate.url("/status")).send().await.unwrap().status(), 200);
    let refused = client().get(tidegate.url("/status")).send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["content-type"]),
        (403, &"application/problem+json".parse().unwrap())
    );
    let problem: serde_json::Value = refused.json().await.unwrap();
    assert_eq!(problem["status"], 403, "{problem}");
}

#[tokio::test]
async fn a_grpc_client_is_refused_in_its_own_protocol() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    for (client, status) in [(client(), None), (h2_client(), Some("8")), (client(), Some("8"))] {
        let call = client.post(tidegate.url("/rpc")).header("Content-Type", "application/grpc+proto");
        let answer = call.body(vec![0, 0, 0, 0, 0]).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let headers = answer.headers().clone();
        assert_eq!(headers.get("grpc-status").map(|status| status.to_str().unwrap()), status);
        if status.is_some() {
            assert_eq!(headers["content-type"], "application/grpc");
            let pushback: u32 = headers["grpc-retry-pushback-ms"].to_str().unwrap().parse().unwrap();
            assert!((1..=3_600_000).contains(&pushback), "{pushback} ms");
            assert!(answer.bytes().await.unwrap().is_empty());
        }
    }
    assert_eq!(tidegate.counted("rpc", "limited").await, 2.0);
}

#[tokio::test]
async fn the_older_fields_are_told_by_option() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    for (status, remaining) in [(200, "1"), (200, "0"), (429, "0")] {
        let answer = client().get(tidegate.url("/plain")).send().await.unwrap();
        let headers = answer.headers();
        assert_eq!(
            (answer.status().as_u16(), &headers["x-ratelimit-limit"]),
            (status, &"2".parse().unwrap())
        );
        assert_eq!(headers["x-ratelimit-remaining"], remaining);
        let reset: u32 = headers["x-ratelimit-reset"].to_str().unwrap().parse().unwrap();
        assert!((1..=3_600).contains(&reset), "{reset} s");
    }
    let silent =
        Tidegate::configured(upstream.address, &RULES.replace("x_ratelimit_headers: true\n", "")).await;
    let answer = client().get(silent.url("/plain")).send().await.unwrap();
    assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("x-ratelimit")));
}
