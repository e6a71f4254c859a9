//! Tunnels that are not opened: over a limit, or one too many.

use futures_util::StreamExt as _;

use super::{before, echo, h2_client, h2_tunnel, open, refusal, talk, tunnels_are};
use crate::harness::{Upstream, Wire};

const TWO_SOCKETS: &str =
    "store: { memory: {} }\nrules: [{ name: sockets, match: { path: /socket }, rate: 2/h }]";

#[tokio::test]
async fn a_tunnel_over_the_limit_is_a_429_before_the_upstream_learns_of_it() {
    let upstream = echo().await;
    let tidegate = before(&upstream, TWO_SOCKETS).await;
    let (first, second) = (open(&tidegate).await.unwrap(), open(&tidegate).await.unwrap());
    let connections = upstream.connections();
    for _ in 0..3 {
        assert_eq!(refusal(open(&tidegate).await), 429);
    }
    assert_eq!(upstream.connections(), connections, "the application was asked");
    assert_eq!(tidegate.counted("sockets", "allowed").await, 2.0);
    assert_eq!(tidegate.counted("sockets", "limited").await, 3.0);
    drop((first, second));
    tunnels_are(&tidegate, 0.0).await;
}

#[tokio::test]
async fn an_open_tunnel_costs_nothing_more() {
    let upstream = echo().await;
    let tidegate = before(&upstream, TWO_SOCKETS).await;
    let mut socket = open(&tidegate).await.unwrap();
    for number in 0..10 {
        talk(&mut socket, &number.to_string()).await;
    }
    assert_eq!(tidegate.counted("sockets", "allowed").await, 1.0);
}

async fn bounded_by(bound: &str, status: u16) {
    let upstream: Upstream = echo().await;
    let config = format!(
        "store: {{ memory: {{}} }}\nbounds: {{ {bound}: 3 }}\nrules: [{{ name: x, rate: 1000000/s }}]"
    );
    let tidegate = before(&upstream, &config).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(open(&tidegate).await.unwrap());
    }
    assert_eq!(refusal(open(&tidegate).await), status, "{bound}");
    let exceeded = format!("tidegate_bound_exceeded_total{{bound=\"{bound}\"}}");
    assert_eq!(tidegate.metric(&exceeded).await, Some(1.0));
    // One that leaves makes room for another.
    let mut leaving = sockets.pop().unwrap();
    leaving.close(None).await.unwrap();
    while leaving.next().await.is_some() {}
    tunnels_are(&tidegate, 2.0).await;
    sockets.push(open(&tidegate).await.unwrap());
    for socket in &mut sockets {
        talk(socket, "hello").await;
    }
}

#[tokio::test]
async fn tunnels_are_bounded() {
    bounded_by("tunnels", 503).await;
}

#[tokio::test]
async fn tunnels_of_one_client_are_bounded() {
    bounded_by("tunnels_per_client", 429).await;
}

const HANDSHAKE: &[&str] = &[
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];

const IN_OWN_WORDS: &str = "
store: { memory: {} }
rules: [{ name: sockets, rate: 1/h, refusal: { status: 403, body: 'In {retry_after} s.', headers: { X-Reason: quota } } }]";

#[tokio::test]
async fn a_handshake_over_http1_is_refused_in_the_words_of_its_rule() {
    let upstream = echo().await;
    let tidegate = before(&upstream, IN_OWN_WORDS).await;
    let _tunnel = open(&tidegate).await.unwrap();
    let mut wire = Wire::to(tidegate.address).await;
    // Twice: the connection is still one of HTTP.
    for _ in 0..2 {
        let refused = wire.ask("GET /socket", HANDSHAKE).await;
        let wait = refused.headers["retry-after"].to_str().unwrap();
        assert_eq!((refused.status, &refused.headers["x-reason"]), (403, &"quota".parse().unwrap()));
        assert_eq!(String::from_utf8(refused.body).unwrap(), format!("In {wait} s."));
        assert!(!refused.headers.contains_key("upgrade"), "{:?}", refused.headers);
    }
    tunnels_are(&tidegate, 1.0).await;
}

#[tokio::test]
async fn a_handshake_over_http2_is_refused_in_the_words_of_its_rule() {
    let upstream = echo().await;
    let tidegate = before(&upstream, IN_OWN_WORDS).await;
    let mut client = h2_client(&tidegate).await;
    let _tunnel = h2_tunnel(&mut client).await;
    let request = http::Request::connect("http://app.test/socket")
        .extension(hyper::ext::Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(crate::harness::full(""))
        .unwrap();
    let refused = client.send_request(request).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["x-reason"]), (403, &"quota".parse().unwrap()));
    let wait = refused.headers()["retry-after"].to_str().unwrap().to_owned();
    let body = http_body_util::BodyExt::collect(refused.into_body()).await.unwrap().to_bytes();
    assert_eq!(body, format!("In {wait} s."));
    tunnels_are(&tidegate, 1.0).await;
}
