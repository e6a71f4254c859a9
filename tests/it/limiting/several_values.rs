//! Requests with several values for one part of a key: each of them is charged.

use crate::harness::{Tidegate, Upstream, client, h2_client};

const RULES: &str = "
store: { memory: {} }
rules:
  - { name: default, match: { path: /default }, key: ['header:X-Api-Key'], rate: 1/h }
  - { name: skip, match: { path: /skip }, key: ['header:X-Api-Key'], on_missing: skip, rate: 1/h }
  - { name: reject, match: { path: /reject }, key: ['header:X-Api-Key'], on_missing: reject, rate: 1/h }
  - { name: cookie, match: { path: /cookie }, key: ['cookie:sid'], rate: 1/h }
  - { name: query, match: { path: /query }, key: ['query:user'], rate: 1/h }
  - { name: pair, match: { path: /pair }, key: [method, 'header:X-Api-Key', 'cookie:sid'], rate: 1/h }
  - { name: trial, match: { path: /trial }, key: ['header:X-Api-Key'], mode: shadow, rate: 1/h }
";

async fn start() -> (Upstream, Tidegate) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    (upstream, tidegate)
}

/// Sends a request with these `X-Api-Key` fields.
async fn status(tidegate: &Tidegate, client: &reqwest::Client, path: &str, keys: &[&str]) -> u16 {
    let request = client.get(tidegate.url(path));
    let request = keys.iter().fold(request, |request, key| request.header("X-Api-Key", *key));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn each_value_of_a_header_is_charged() {
    for client in [client(), h2_client()] {
        let (_upstream, tidegate) = start().await;
        for path in ["/default", "/skip", "/reject"] {
            assert_eq!(status(&tidegate, &client, path, &["a", "b"]).await, 200, "{path}");
            for spent in [&["a"][..], &["b"], &["b", "a"], &["a", "c"], &["d", "", "b"]] {
                assert_eq!(status(&tidegate, &client, path, spent).await, 429, "{path} {spent:?}");
            }
            // What was refused for another value is not charged.
            for fresh in ["c", "d"] {
                assert_eq!(status(&tidegate, &client, path, &[fresh]).await, 200, "{path} {fresh}");
            }
        }
    }
}

#[tokio::test]
async fn each_value_of_a_cookie_or_parameter_is_charged() {
    let (_upstream, tidegate) = start().await;
    let ask = async |path: &str, cookie: &str| {
        let request = client().get(tidegate.url(path)).header("Cookie", cookie);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("/cookie", "sid=a; sid=b").await, 200);
    for cookie in ["sid=a", "sid=b", "sid=c; sid=\"a\""] {
        assert_eq!(ask("/cookie", cookie).await, 429, "{cookie}");
    }
    assert_eq!(ask("/cookie", "sid=c").await, 200);
    assert_eq!(ask("/query?user=a&user=b", "").await, 200);
    for path in ["/query?user=a", "/query?user=%62", "/query?user=c&user=a"] {
        assert_eq!(ask(path, "").await, 429, "{path}");
    }
    assert_eq!(ask("/query?user=c", "").await, 200);
}

#[tokio::test]
async fn the_values_of_several_parts_multiply() {
    let (_upstream, tidegate) = start().await;
    let ask = async |keys: &[&str], cookie: &str| {
        let request = client().get(tidegate.url("/pair")).header("Cookie", cookie);
        let request = keys.iter().fold(request, |request, key| request.header("X-Api-Key", *key));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(&["a", "b"], "sid=1; sid=2").await, 200);
    for key in ["a", "b"] {
        for cookie in ["sid=1", "sid=2"] {
            assert_eq!(ask(&[key], cookie).await, 429, "{key} {cookie}");
        }
    }
    assert_eq!(ask(&["a"], "sid=3").await, 200);
    assert_eq!(ask(&["c", "d"], "sid=1; sid=2; sid=3").await, 400, "six clients");
    assert_eq!(ask(&["c"], "sid=1; sid=2; sid=3; sid=4").await, 200, "four clients");
    assert_eq!(ask(&["c"], "sid=4").await, 429);
}

#[tokio::test]
async fn more_than_four_values_are_refused() {
    let (upstream, tidegate) = start().await;
    let request = ["a", "b", "c", "d", "e", "f"]
        .iter()
        .fold(client().get(tidegate.url("/default")), |request, key| request.header("X-Api-Key", *key));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    let body = response.text().await.unwrap();
    assert!(body.contains("the request has too many different values for header:x-api-key"), "{body}");
    assert!(upstream.seen().is_empty());
    assert_eq!(tidegate.counted("default", "rejected").await, 1.0);
    assert_eq!(
        status(&tidegate, &client(), "/default", &["a", "b", "c", "d", "a"]).await,
        200,
        "four values"
    );
}

#[tokio::test]
async fn a_rule_on_trial_refuses_no_number_of_values() {
    let (upstream, tidegate) = start().await;
    for (keys, exceeded) in [
        (&["a", "b"][..], false),
        (&["a"], true),
        (&["b", "c"], true),
        (&["c"], false),
        (&["d", "e", "f", "g", "h"], false),
    ] {
        assert_eq!(status(&tidegate, &client(), "/trial", keys).await, 200, "{keys:?}");
        assert_eq!(upstream.last().headers.contains_key("x-ratelimit-exceeded"), exceeded, "{keys:?}");
    }
}
