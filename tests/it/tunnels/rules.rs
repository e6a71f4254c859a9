//! Which rules take upgrades to WebSocket.

use http::Request;

use super::{before, echo, h2_client, h2_tunnel, open, refusal, tunnels_are};
use crate::harness::{Tidegate, Wire, full, h2_client as plain_h2_client};

const RULES: &str = "
store: { memory: {} }
rules:
  - { name: sockets, match: { websocket: true }, rate: 2/h }
  - { name: pages, match: { websocket: false }, rate: 1000000/s }
";

const WEBSOCKET: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// How many requests each of the two rules has let pass.
async fn allowed(tidegate: &Tidegate) -> (f64, f64) {
    (tidegate.counted("sockets", "allowed").await, tidegate.counted("pages", "allowed").await)
}

#[tokio::test]
async fn upgrades_over_both_versions_of_http_share_the_rule_of_websocket() {
    let upstream = echo().await;
    let tidegate = before(&upstream, RULES).await;
    let over_http1 = open(&tidegate).await.unwrap();
    let mut client = h2_client(&tidegate).await;
    let over_http2 = h2_tunnel(&mut client).await;
    assert_eq!(allowed(&tidegate).await, (2.0, 0.0));
    assert_eq!(refusal(open(&tidegate).await), 429);
    let request = Request::connect("http://app.test/socket")
        .extension(hyper::ext::Protocol::from_static("WebSocket"))
        .header("sec-websocket-version", "13")
        .body(full(""))
        .unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 429);
    assert_eq!(tidegate.counted("sockets", "limited").await, 2.0);
    drop((over_http1, over_http2, client));
    tunnels_are(&tidegate, 0.0).await;
}

#[tokio::test]
async fn a_global_rule_may_be_for_upgrades_alone() {
    let upstream = echo().await;
    let config = "store: { memory: {} }\nglobal: [{ name: sockets, match: { websocket: true }, rate: 1/h }]";
    let tidegate = before(&upstream, config).await;
    let _tunnel = open(&tidegate).await.unwrap();
    assert_eq!(refusal(open(&tidegate).await), 429);
    let mut wire = Wire::to(tidegate.address).await;
    assert_ne!(wire.ask("GET /socket", &[]).await.status, 429);
}

#[tokio::test]
async fn a_request_that_opens_no_tunnel_is_no_upgrade_for_the_rules() {
    let upstream = echo().await;
    let tidegate = before(&upstream, RULES).await;
    let mut count = 0.0;
    for (line, fields) in [
        ("GET /socket", &[][..]),
        ("GET /socket", &["Upgrade: websocket"]),
        ("GET /socket", &["Connection: Upgrade"]),
        ("GET /socket", &["Connection: Upgrade", "Upgrade: h2c"]),
        ("GET /socket", &["Connection: Upgrade", "Upgrade: websocketx"]),
        ("GET /socket", &["Connection: Upgrade", "X-Upgrade: websocket"]),
        ("POST /socket", WEBSOCKET),
        ("HEAD /socket", WEBSOCKET),
        ("get /socket", WEBSOCKET),
    ] {
        let mut wire = Wire::to(tidegate.address).await;
        let status = wire.ask(line, fields).await.status;
        count += 1.0;
        assert_eq!(allowed(&tidegate).await, (0.0, count), "{line} {fields:?}: {status}");
    }
    plain_h2_client().get(tidegate.url("/socket")).send().await.unwrap();
    assert_eq!(allowed(&tidegate).await, (0.0, count + 1.0), "a GET over HTTP/2");
}

#[tokio::test]
async fn spellings_of_the_upgrade_fall_under_the_rule_of_websocket() {
    for fields in [
        &["Connection: keep-alive, UPGRADE", "Upgrade: WebSocket"][..],
        &["connection: upgrade", "upgrade: h2c, websocket"],
        &["Connection: keep-alive", "Connection: ,upgrade", "Upgrade: h2c", "Upgrade: websocket"],
    ] {
        let upstream = echo().await;
        let tidegate = before(&upstream, RULES).await;
        let mut wire = Wire::to(tidegate.address).await;
        let lines = [fields, &WEBSOCKET[2..]].concat();
        assert_eq!(wire.ask("GET /socket", &lines).await.status, 101, "{fields:?}");
        assert_eq!(allowed(&tidegate).await, (1.0, 0.0), "{fields:?}");
    }
}
