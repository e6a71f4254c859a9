//! Connections over HTTP/1.1 that are idle, and keep nothing of hyper's.

use super::is_counted;
use crate::harness::{Tidegate, Upstream, Wire, eventually};

/// tidegate with these bounds, which logs what it does with connections.
async fn start(upstream: &Upstream, bounds: &str) -> Tidegate {
    let config = format!("bounds: {{ {bounds} }}\nstore: {{ memory: {{}} }}\nshutdown: {{ settle: 0s }}\n");
    Tidegate::configured_with(upstream.address, &config, &["--log=info,tidegate::server=trace"]).await
}

/// How many connections have been parked so far.
fn parked(tidegate: &Tidegate) -> usize {
    tidegate.logged("parked an idle connection").len()
}

/// A connection that has had a response and is parked.
async fn parked_wire(tidegate: &Tidegate) -> Wire {
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    let before = parked(tidegate);
    eventually("the connection to be parked", async || (parked(tidegate) > before).then_some(())).await;
    wire
}

#[tokio::test]
async fn it_serves_the_next_requests() {
    let upstream = Upstream::start().await;
    let tidegate = start(&upstream, "idle_timeout: 1h").await;
    let mut wire = parked_wire(&tidegate).await;
    let body = "Content-Length: 4\r\n\r\nbody";
    wire.send(format!("POST /first HTTP/1.1\r\nHost: app.test\r\n{body}")).await;
    assert_eq!(wire.reply().await.status, 200);
    assert_eq!(wire.ask("GET /second", &[]).await.status, 200);
    let targets: Vec<String> = upstream.seen().iter().map(|seen| seen.target.clone()).collect();
    assert_eq!(targets, ["/", "/first", "/second"]);
}

#[tokio::test]
async fn its_next_request_has_the_header_timeout() {
    let upstream = Upstream::start().await;
    let tidegate = start(&upstream, "idle_timeout: 1h, header_timeout: 300ms").await;
    let mut wire = parked_wire(&tidegate).await;
    wire.send("GET / HTTP/1.1\r\nHost: ").await;
    assert_eq!(wire.reply().await.status, 408);
    is_counted(&tidegate, "header", 1.0).await;
}

#[tokio::test]
async fn it_is_closed_when_it_has_been_idle_for_too_long() {
    let upstream = Upstream::start().await;
    let tidegate = start(&upstream, "idle_timeout: 2s").await;
    let mut wire = parked_wire(&tidegate).await;
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn it_is_closed_when_tidegate_ends() {
    let upstream = Upstream::start().await;
    let tidegate = start(&upstream, "idle_timeout: 1h").await;
    let mut wire = parked_wire(&tidegate).await;
    tidegate.signal("TERM");
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_connection_in_the_middle_of_a_request_is_not_parked() {
    let upstream = Upstream::start().await;
    let tidegate = start(&upstream, "idle_timeout: 1h, header_timeout: 1h").await;
    let mut half = Wire::to(tidegate.address).await;
    assert_eq!(half.ask("GET /", &[]).await.status, 200);
    half.send("GET /half HTTP/1.1\r\nHost: ").await;
    // It would have been parked before this one.
    let _idle = parked_wire(&tidegate).await;
    assert_eq!(parked(&tidegate), 1);
    half.send("app.test\r\n\r\n").await;
    assert_eq!(half.reply().await.status, 200);
}
