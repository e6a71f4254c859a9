//! Requests that are refused because too much is under way: they cost nothing, and are reported by their reason.

use http::{Request, Response};
use hyper::body::Incoming;
use tokio_tungstenite::client_async;

use super::exceeded;
use crate::harness::{Redis, Tidegate, Upstream, Wire, client, client_from, eventually, full, standing};

/// An upstream that never responds to `/hang`, and to all else with `ok`.
async fn hanging() -> Upstream {
    Upstream::serving(async |request: Request<Incoming>| {
        if request.uri().path() == "/hang" {
            std::future::pending::<()>().await;
        }
        Response::new(full("ok"))
    })
    .await
}

/// tidegate before this upstream, with this rest of a configuration.
async fn before(upstream: &Upstream, settings: &str, rest: &str) -> Tidegate {
    Tidegate::described(&format!("upstream: {{ url: '{}' {settings} }}\n{rest}", upstream.url())).await
}

/// Requests that the upstream has, and does not respond to.
async fn hang(tidegate: &Tidegate, upstream: &Upstream, count: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..count {
        let before = upstream.seen().len();
        let mut wire = Wire::to(tidegate.address).await;
        wire.send("GET /hang HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        eventually("the request at the upstream", async || (upstream.seen().len() > before).then_some(()))
            .await;
        wires.push(wire);
    }
    wires
}

/// How many requests more the client's limit would admit, after one more.
async fn left(tidegate: &Tidegate, path: &str) -> i64 {
    eventually("an admitted request", async || {
        let response = client().get(tidegate.url(path)).send().await.unwrap();
        (response.status() == 200).then(|| standing(response.headers()).unwrap().1)
    })
    .await
}

async fn status(tidegate: &Tidegate, path: &str) -> u16 {
    client().get(tidegate.url(path)).send().await.unwrap().status().as_u16()
}

const SHARE_OF_ONE: &str = "bounds: { requests_per_client: 1 }\n";

/// A request beyond the share of its client, with counters in this store.
async fn a_request_beyond_the_share_costs_nothing(store: &str) {
    let upstream = hanging().await;
    let rest = format!("{SHARE_OF_ONE}store: {{ {store} }}\nrules: [{{ name: x, rate: 5/h }}]");
    let tidegate = before(&upstream, "", &rest).await;
    let wires = hang(&tidegate, &upstream, 1).await;
    let refused = client().get(tidegate.url("/")).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("retry-after")), (429, true));
    assert_eq!(tidegate.counted("x", "overloaded").await, 1.0);
    assert_eq!(tidegate.counted("x", "allowed").await, 1.0);
    assert_eq!(exceeded(&tidegate, "requests_per_client").await, 1.0);
    drop(wires);
    assert_eq!(left(&tidegate, "/").await, 3, "two of five are charged, the refused one is not");
}

#[tokio::test]
async fn a_request_beyond_its_clients_share_costs_nothing_in_memory() {
    a_request_beyond_the_share_costs_nothing("memory: {}").await;
}

#[tokio::test]
async fn a_request_beyond_its_clients_share_costs_nothing_in_redis() {
    let redis = Redis::start().await;
    a_request_beyond_the_share_costs_nothing(&format!("redis: {{ url: '{}', timeout: 10s }}", redis.url()))
        .await;
}

#[tokio::test]
async fn a_shadow_rule_counts_nothing_of_an_overloaded_request() {
    let upstream = hanging().await;
    let rest =
        format!("{SHARE_OF_ONE}store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 2/h, mode: shadow }}]");
    let tidegate = before(&upstream, "", &rest).await;
    let wires = hang(&tidegate, &upstream, 1).await;
    assert_eq!(status(&tidegate, "/").await, 429);
    drop(wires);
    eventually("room again", async || (status(&tidegate, "/").await == 200).then_some(())).await;
    assert_eq!(tidegate.counted("x", "allowed").await, 2.0, "the refused request used up the trial");
    assert_eq!(status(&tidegate, "/").await, 200);
    assert_eq!(tidegate.counted("x", "shadow_limited").await, 1.0);
}

const UNCHECKED: &str = "bounds: { requests_per_client: 1 }
store: { memory: {} }
bypass: [{ name: probes, paths: [/healthz] }]
rules: [{ name: x, match: { path: /x }, rate: 5/h }]";

#[tokio::test]
async fn a_bypassed_request_needs_a_place_too() {
    let upstream = hanging().await;
    let tidegate = before(&upstream, "", UNCHECKED).await;
    let _wires = hang(&tidegate, &upstream, 1).await;
    assert_eq!(status(&tidegate, "/healthz").await, 429);
    assert_eq!(tidegate.counted("probes", "overloaded").await, 1.0);
    assert_eq!(tidegate.counted("probes", "bypassed").await, 0.0);
}

#[tokio::test]
async fn an_unlimited_request_needs_a_place_too() {
    let upstream = hanging().await;
    let tidegate = before(&upstream, "", UNCHECKED).await;
    let _wires = hang(&tidegate, &upstream, 1).await;
    assert_eq!(status(&tidegate, "/elsewhere").await, 429);
    assert_eq!(tidegate.counted("", "overloaded").await, 1.0);
    assert_eq!(tidegate.counted("", "unlimited").await, 1.0, "the hanging one alone");
}

#[tokio::test]
async fn a_client_that_is_over_its_limit_does_not_wait_for_its_share() {
    let upstream = hanging().await;
    let rest = "bounds: { requests_per_client: 1 }
store: { memory: {} }
rules: [{ name: x, match: { path: /x }, rate: 1/h }]";
    let tidegate = before(&upstream, "", rest).await;
    assert_eq!((status(&tidegate, "/x").await, status(&tidegate, "/x").await), (200, 429));
    let _wires = hang(&tidegate, &upstream, 1).await;
    let refused = client().get(tidegate.url("/x")).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), standing(refused.headers())), (429, Some(("x".to_owned(), 0))));
    assert_eq!(tidegate.counted("x", "limited").await, 2.0);
    assert_eq!(tidegate.counted("x", "overloaded").await, 0.0);
}

async fn open(tidegate: &Tidegate, address: &str) -> u16 {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    let stream = socket.connect(tidegate.address).await.unwrap();
    match client_async("ws://app.test/socket", stream).await {
        Ok((socket, response)) => {
            // It stays open until the test ends.
            std::mem::forget(socket);
            response.status().as_u16()
        }
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(other) => panic!("no response: {other}"),
    }
}

/// An upstream that accepts WebSockets, and never responds to `/hang`.
async fn sockets() -> Upstream {
    Upstream::raw(async |stream| {
        let mut start = [0; 9];
        while stream.peek(&mut start).await.is_ok_and(|length| (1..9).contains(&length)) {}
        if &start == b"GET /hang" {
            std::future::pending::<()>().await;
        }
        if let Ok(_socket) = tokio_tungstenite::accept_async(stream).await {
            std::future::pending::<()>().await;
        }
    })
    .await
}

async fn a_tunnel_too_many_costs_nothing(bound: &str, refused: u16) {
    let upstream = sockets().await;
    let rest = format!(
        "bounds: {{ {bound}: 1 }}\nstore: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 2/h, match: {{ path: /socket }} }}]"
    );
    let tidegate = before(&upstream, "", &rest).await;
    let statuses = [open(&tidegate, "127.0.0.1").await, open(&tidegate, "127.0.0.1").await];
    assert_eq!(statuses, [101, refused]);
    assert_eq!(tidegate.counted("x", "allowed").await, 1.0);
    assert_eq!(tidegate.counted("x", "overloaded").await, 1.0);
    assert_eq!(exceeded(&tidegate, bound).await, 1.0);
    assert_eq!(open(&tidegate, "127.0.0.1").await, refused, "the limit of two has room yet");
    assert_eq!(tidegate.counted("x", "limited").await, 0.0);
}

#[tokio::test]
async fn a_tunnel_too_many_costs_its_client_nothing() {
    a_tunnel_too_many_costs_nothing("tunnels", 503).await;
}

#[tokio::test]
async fn a_tunnel_too_many_of_its_client_costs_nothing() {
    a_tunnel_too_many_costs_nothing("tunnels_per_client", 429).await;
}

#[tokio::test]
async fn a_client_that_waits_for_its_share_holds_no_tunnel_that_others_need() {
    let upstream = sockets().await;
    let rest = "bounds: { requests_per_client: 1, tunnels: 1 }
store: { memory: {} }
rules: [{ name: x, rate: 1000000/s }]";
    let tidegate = before(&upstream, "", rest).await;
    let mut hanging = Wire::to(tidegate.address).await;
    hanging.send("GET /hang HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    eventually("the request at the upstream", async || (upstream.connections() > 0).then_some(())).await;
    let mut waiting = Wire::to(tidegate.address).await;
    let upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    waiting.send(format!("GET /socket HTTP/1.1\r\nHost: app.test\r\n{upgrade}\r\n{key}\r\n\r\n")).await;
    assert!(!waiting.closes_within_a_moment().await);
    assert_eq!(open(&tidegate, "127.0.0.2").await, 101);
    assert_eq!(waiting.reply().await.status, 429);
}

#[tokio::test]
async fn a_request_that_may_not_even_wait_for_the_upstream_costs_nothing() {
    let upstream = hanging().await;
    let rest = "store: { memory: {} }\nrules: [{ name: x, rate: 5/h }]";
    let tidegate = before(&upstream, ", connections: 1, pending: 0", rest).await;
    let wires = hang(&tidegate, &upstream, 1).await;
    let mut wire = Wire::to(tidegate.address).await;
    for _ in 0..3 {
        // Its connection serves the next request: the small body was read.
        wire.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nbody").await;
        let refused = wire.reply().await;
        assert_eq!((refused.status, refused.headers.contains_key("retry-after")), (503, true));
        assert_eq!(refused.headers["proxy-status"], "tidegate; error=connection_limit_reached");
    }
    assert_eq!(tidegate.counted("x", "overloaded").await, 3.0);
    assert_eq!(exceeded(&tidegate, "upstream_pending").await, 3.0);
    assert_eq!(tidegate.metric("tidegate_upstream_errors_total{error=\"full\"}").await, Some(3.0));
    drop(wires);
    assert_eq!(left(&tidegate, "/").await, 3, "two of five are charged, the refused ones are not");
}

/// The status and the `grpc-status` of a gRPC call.
async fn call(tidegate: &Tidegate) -> (u16, String) {
    let call = client().post(tidegate.url("/")).header("Content-Type", "application/grpc");
    let response = call.body(vec![0, 0, 0, 0, 0]).send().await.unwrap();
    let headers = response.headers();
    assert!(!headers.contains_key("retry-after"), "{headers:?}");
    assert_eq!(headers["grpc-retry-pushback-ms"], "1000");
    assert_eq!(headers["content-type"], "application/grpc");
    let code = headers["grpc-status"].to_str().unwrap().to_owned();
    (response.status().as_u16(), code)
}

/// RESOURCE_EXHAUSTED: the client itself has too much under way.
#[tokio::test]
async fn a_grpc_call_beyond_its_clients_share_is_refused_in_its_own_protocol() {
    let upstream = hanging().await;
    let rest = format!("{SHARE_OF_ONE}store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 5/h }}]");
    let tidegate = before(&upstream, "", &rest).await;
    let _wires = hang(&tidegate, &upstream, 1).await;
    assert_eq!(call(&tidegate).await, (200, "8".to_owned()));
    assert_eq!(tidegate.counted("x", "overloaded").await, 1.0);
}

/// UNAVAILABLE: all clients together have.
#[tokio::test]
async fn a_grpc_call_to_a_full_upstream_is_refused_in_its_own_protocol() {
    let upstream = hanging().await;
    let rest = "store: { memory: {} }\nrules: [{ name: x, rate: 5/h }]";
    let tidegate = before(&upstream, ", connections: 1, pending: 0", rest).await;
    let _wires = hang(&tidegate, &upstream, 1).await;
    assert_eq!(call(&tidegate).await, (200, "14".to_owned()));
    assert_eq!(tidegate.counted("x", "overloaded").await, 1.0);
    assert_eq!(exceeded(&tidegate, "upstream_pending").await, 1.0);
}

#[tokio::test]
async fn what_fails_after_it_was_forwarded_stays_charged() {
    let upstream = Upstream::raw(async |stream| drop(Wire::over(stream).head().await)).await;
    let rest = "store: { memory: {} }\nrules: [{ name: x, rate: 2/h }]";
    let tidegate = before(&upstream, "", rest).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(status(&tidegate, "/").await);
    }
    assert_eq!(statuses, [502, 502, 429]);
    assert_eq!(tidegate.counted("x", "allowed").await, 2.0);
}

#[tokio::test]
async fn the_access_log_names_the_bound_of_an_overloaded_request() {
    let upstream = hanging().await;
    let config = format!("{SHARE_OF_ONE}store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 5/h }}]");
    let tidegate = Tidegate::configured_with(upstream.address, &config, &["--log=info"]).await;
    let _wires = hang(&tidegate, &upstream, 1).await;
    assert_eq!(status(&tidegate, "/").await, 429);
    let line = eventually("the line of the refused request", async || {
        tidegate.lines("access").into_iter().find(|line| line["outcome"] == "overloaded")
    })
    .await;
    assert_eq!((line["rule"].as_str(), line["reason"].as_str()), (Some("x"), Some("requests_per_client")));
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_for_its_share_is_counted() {
    let upstream = hanging().await;
    let rest = format!("{SHARE_OF_ONE}store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 5/h }}]");
    let tidegate = before(&upstream, "", &rest).await;
    let _wires = hang(&tidegate, &upstream, 1).await;
    // A client may leave before its request is read, and then there is nothing to count: another one tries.
    eventually("a request to be counted", async || {
        let mut leaving = Wire::to(tidegate.address).await;
        leaving.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        let _read_meanwhile = tidegate.counted("x", "overloaded").await;
        drop(leaving);
        (tidegate.counted("x", "overloaded").await >= 1.0).then_some(())
    })
    .await;
    // Another client has a share of its own.
    let other = client_from("127.0.0.2").get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(other.status(), 200);
}
