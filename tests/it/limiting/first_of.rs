//! `first_of`: the first part that a request has decides who it is.

use crate::harness::{Redis, Tidegate, Upstream, client, client_from, h2_client};

const RULES: &str = "
store: { memory: {} }
rules:
  - name: api
    match: { path: /api }
    key: [{ first_of: ['header:X-Api-Key', 'query:key', client_ip] }]
    rate: 1/h
  - name: strict
    match: { path: /strict }
    key: [method, { first_of: ['header:X-Api-Key', 'cookie:sid'] }]
    on_missing: reject
    rate: 1/h
  - name: named
    match: { path: '/named/{id}' }
    key: { first_of: ['query:key', 'path:id'] }
    rate: 1/h
";

/// Sends a request with these header fields.
async fn status(tidegate: &Tidegate, client: &reqwest::Client, path: &str, fields: &[(&str, &str)]) -> u16 {
    let request = client.get(tidegate.url(path));
    let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.send().await.unwrap().status().as_u16()
}

async fn the_first_part_decides(config: &str) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, config).await;
    let (here, there, h2) = (client(), client_from("127.0.0.2"), h2_client());
    let ask = async |client, path, fields: &[(&str, &str)]| status(&tidegate, client, path, fields).await;
    // By address, while other parts are missing or empty.
    assert_eq!(ask(&here, "/api", &[]).await, 200);
    assert_eq!(ask(&h2, "/api?key=", &[("X-Api-Key", "")]).await, 429);
    assert_eq!(ask(&there, "/api", &[]).await, 200);
    // A key has a counter of its own, from wherever it is sent, and the second part is not looked at.
    assert_eq!(ask(&here, "/api?key=b", &[("X-Api-Key", "a")]).await, 200);
    assert_eq!(ask(&there, "/api", &[("X-Api-Key", "a")]).await, 429);
    assert_eq!(ask(&h2, "/api?key=b", &[]).await, 200);
    assert_eq!(ask(&here, "/api?key=a", &[]).await, 429, "the same key in another place");
    assert_eq!(ask(&here, "/api", &[("X-Api-Key", "127.0.0.1")]).await, 200, "a key that spells an address");
}

#[tokio::test]
async fn the_first_part_decides_in_memory() {
    the_first_part_decides(RULES).await;
}

#[tokio::test]
async fn the_first_part_decides_in_redis() {
    let redis = Redis::start().await;
    let store = format!("redis: {{ url: '{}', timeout: 10s }}", redis.url());
    the_first_part_decides(&RULES.replace("memory: {}", &store)).await;
}

#[tokio::test]
async fn all_values_of_the_first_part_are_charged() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let two = [("X-Api-Key", "a"), ("X-Api-Key", "b"), ("Cookie", "sid=c")];
    assert_eq!(status(&tidegate, &client(), "/strict", &two).await, 200);
    for spent in ["a", "b"] {
        assert_eq!(status(&tidegate, &client(), "/strict", &[("X-Api-Key", spent)]).await, 429, "{spent}");
    }
    assert_eq!(status(&tidegate, &client(), "/strict", &[("Cookie", "sid=c")]).await, 200);
}

#[tokio::test]
async fn a_request_without_any_of_the_parts_lacks_the_part() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let response = client().get(tidegate.url("/strict")).send().await.unwrap();
    assert_eq!(response.status(), 400);
    let body = response.text().await.unwrap();
    assert!(body.contains("one of header:x-api-key, cookie:sid"), "{body}");
}

#[tokio::test]
async fn a_clear_value_is_not_that_of_another_part() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    for path in ["/named/a", "/named/x?key=a", "/named/b"] {
        assert_eq!(status(&tidegate, &client(), path, &[]).await, 200, "{path}");
        assert_eq!(status(&tidegate, &client(), path, &[]).await, 429, "{path}");
    }
}

#[tokio::test]
async fn a_field_that_imitates_one_of_the_parts_is_removed() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    assert_eq!(status(&tidegate, &client(), "/api", &[("X_Api_Key", "a")]).await, 200);
    assert!(!upstream.last().headers.contains_key("x_api_key"));
    assert_eq!(status(&tidegate, &client(), "/api", &[("X_Api_Key", "b")]).await, 429, "counted by address");
}
