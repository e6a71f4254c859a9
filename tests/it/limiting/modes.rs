//! Shadow rules, rules that are off, and rules over all requests.

use super::statuses;
use crate::harness::{Redis, Tidegate, Upstream, client, client_from, flood, h2_client, standing};

fn exceeded(upstream: &Upstream) -> Vec<String> {
    let marks = upstream.last().headers;
    marks.get_all("x-ratelimit-exceeded").iter().map(|mark| mark.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_shadow_rule_marks_what_it_would_have_refused() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/x=2/min,mode=shadow"]).await;
    let client = client();
    for number in 0..5 {
        let forged = ["x", "something-else"][number % 2];
        let request = client.get(tidegate.url("/x")).header("X-RateLimit-Exceeded", forged);
        assert_eq!(request.send().await.unwrap().status(), 200);
        let marks: &[&str] = if number < 2 { &[] } else { &["x"] };
        assert_eq!(exceeded(&upstream), marks, "what the upstream learns about request {number}");
    }
}

#[tokio::test]
async fn a_shadow_rule_refuses_no_request() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/x=2/min,mode=shadow"]).await;
    let client = client();
    for _ in 0..5 {
        let answer = client.get(tidegate.url("/x")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(standing(answer.headers()), None, "a client is told of a limit that does not hold it");
    }
    assert_eq!(tidegate.counted("x", "allowed").await, 2.0);
    assert_eq!(tidegate.counted("x", "shadow_limited").await, 3.0);
    assert_eq!(tidegate.counted("x", "limited").await, 0.0);
}

#[tokio::test]
async fn a_forged_mark_is_taken_off_where_no_rule_is_asked() {
    let upstream = Upstream::start().await;
    let flags = ["--limit=/x=2/min,mode=off"];
    let tidegate = Tidegate::start(upstream.address, &flags).await;
    let request = client().get(tidegate.url("/y")).header("X-RateLimit-Exceeded", "x");
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert!(exceeded(&upstream).is_empty(), "the client's own mark reached the application");
}

#[tokio::test]
async fn a_rule_that_is_off_lets_pass_what_it_matches() {
    let upstream = Upstream::start().await;
    let flags = ["--limit=/x/a=1/min,mode=off", "--limit=/x/*=1/min"];
    let tidegate = Tidegate::start(upstream.address, &flags).await;
    let client = client();
    assert_eq!(flood(10, |_| client.get(tidegate.url("/x/a"))).await, statuses([(200, 10)]));
    assert_eq!(flood(10, |_| client.get(tidegate.url("/x/b"))).await, statuses([(200, 1), (429, 9)]));
    assert_eq!(tidegate.counted("x-a", "unlimited").await, 10.0);
}

/// Rules over all requests beside those of endpoints, and the endpoint's is the tighter one.
const GLOBAL: &str = "
store: { memory: {} }
global:
  - { name: everyone, rate: 8/min }
  - { name: uploads, match: { methods: [POST] }, rate: 1/min, mode: shadow }
rules:
  - { name: narrow, match: { path: /narrow }, rate: 3/min }
  - { name: off, match: { path: /off }, rate: 1/min, mode: off }
";

#[tokio::test]
async fn a_global_rule_counts_all_requests_of_all_clients_but_none_that_another_rule_refused() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, GLOBAL).await;
    let client = client();
    assert_eq!(flood(9, |_| client.get(tidegate.url("/narrow"))).await, statuses([(200, 3), (429, 6)]));
    // 5 are left for everyone: for another client, where no rule is, and where the rule is off.
    let other = client_from("127.0.0.2");
    let paths = ["/narrow", "/off", "/without-a-rule"];
    let answers = flood(9, |number| other.get(tidegate.url(paths[number % 3]))).await;
    assert_eq!(answers, statuses([(200, 5), (429, 4)]));

    let refused = other.get(tidegate.url("/off")).send().await.unwrap();
    let limit = standing(refused.headers());
    assert_eq!(
        limit,
        Some(("everyone".to_owned(), 0)),
        "the refusal names another rule than the one that refused"
    );
    assert_eq!(tidegate.counted("everyone", "limited").await, 5.0);
}

#[tokio::test]
async fn a_global_shadow_rule_marks_what_an_endpoint_rule_admits() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, GLOBAL).await;
    let post = client().post(tidegate.url("/narrow"));
    for marks in [&[][..], &["uploads"], &["uploads"]] {
        assert_eq!(post.try_clone().unwrap().send().await.unwrap().status(), 200);
        assert_eq!(exceeded(&upstream), marks);
    }
    assert_eq!(post.send().await.unwrap().status(), 429);
    assert_eq!(tidegate.counted("uploads", "shadow_limited").await, 2.0);
    assert_eq!(tidegate.counted("narrow", "limited").await, 1.0);
}

#[tokio::test]
async fn a_rule_that_is_off_needs_no_rate() {
    let rules = "
store: { memory: {} }
rules:
  - { name: open, match: { path: /x/open }, mode: off }
  - { name: rest, match: { path: /x/* }, rate: 1/min }
";
    let upstream = Upstream::start().await;
    for client in [client(), h2_client()] {
        let tidegate = Tidegate::configured(upstream.address, rules).await;
        assert_eq!(flood(5, |_| client.get(tidegate.url("/x/open"))).await, statuses([(200, 5)]));
        assert_eq!(flood(5, |_| client.get(tidegate.url("/x/y"))).await, statuses([(200, 1), (429, 4)]));
        assert_eq!(tidegate.counted("open", "unlimited").await, 5.0);
    }
}

/// Two enforced rules over all requests, of which each has room for something that the other refuses.
const SEVERAL: &str = "
global:
  - { name: each, key: [client_ip], rate: 2/h }
  - { name: posts, match: { methods: [POST] }, rate: 1/h }
rules: [{ name: off, match: { path: /off }, mode: off }]
";

async fn several_global_rules_are_charged_together(store: &str) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &format!("{store}{SEVERAL}")).await;
    let client = client();
    let post = || client.post(tidegate.url("/off")).send();
    assert_eq!(post().await.unwrap().status(), 200);
    let refused = post().await.unwrap();
    assert_eq!(standing(refused.headers()), Some(("posts".to_owned(), 0)));
    // The refusal of the second rule left the counter of the first untouched.
    let get = || client.get(tidegate.url("/elsewhere")).send();
    assert_eq!(get().await.unwrap().status(), 200);
    assert_eq!(get().await.unwrap().status(), 429);
    assert_eq!(tidegate.counted("posts", "limited").await, 1.0);
    assert_eq!(tidegate.counted("each", "limited").await, 1.0);
}

#[tokio::test]
async fn several_global_rules_are_charged_together_in_memory() {
    several_global_rules_are_charged_together("store: { memory: {} }").await;
}

#[tokio::test]
async fn several_global_rules_are_charged_together_in_redis() {
    let redis = Redis::start().await;
    let store = format!("store: {{ redis: {{ url: \"{}\", timeout: 10s }} }}", redis.url());
    several_global_rules_are_charged_together(&store).await;
}
