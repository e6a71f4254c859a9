//! Clients that take their time: over the first byte, a header, a body, an answer.

use tidegate::clock::Stopwatch;

use super::{bounded, exceeded, is_counted, others_are_served};
use crate::harness::{Tidegate, Upstream, Wire, eventually, zeros};

/// Sends these bytes one by one, without end, until the peer has had enough.
async fn drip(wire: &mut Wire, bytes: &str) {
    for byte in bytes.bytes().cycle() {
        if wire.try_send(&[byte]).await.is_err() || wire.closes_within_a_moment().await {
            return;
        }
    }
}

async fn is_cut(tidegate: &Tidegate, mut wire: Wire, statuses: &[u16]) {
    if let Some(reply) = wire.try_reply().await {
        assert!(statuses.contains(&reply.status), "answered {}", reply.status);
        assert!(wire.is_closed().await, "the connection goes on");
    }
    others_are_served(tidegate).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "first_byte_timeout: 2s").await;
    let mut silent = Wire::to(tidegate.address).await;
    others_are_served(&tidegate).await;
    assert!(silent.is_closed().await);
    is_counted(&tidegate, "first_byte", 1.0).await;
}

#[tokio::test]
async fn a_header_that_does_not_end_is_cut_off() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "header_timeout: 300ms").await;
    for start in ["G", "GET / HTTP/1.1\r\nHost: app.test\r\n", "GET / HTTP/1.1\r\nHost: app.test\r\nX: y"] {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(start).await;
        is_cut(&tidegate, wire, &[408]).await;
    }
    is_counted(&tidegate, "header", 3.0).await;
    assert!(upstream.seen().iter().all(|seen| seen.method == "POST"), "half a header was forwarded");
}

#[tokio::test]
async fn a_header_that_comes_byte_by_byte_gains_no_time() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "header_timeout: 300ms").await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n").await;
    drip(&mut wire, "X: y\r\n").await;
    is_cut(&tidegate, wire, &[408]).await;
    is_counted(&tidegate, "header", 1.0).await;
}

#[tokio::test]
async fn the_header_timeout_is_no_idle_timeout() {
    let upstream = Upstream::start().await;
    let tidegate =
        bounded(&upstream, "header_timeout: 300ms, first_byte_timeout: 2s, idle_timeout: 1h").await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    // Others come and go by these clocks; the idle connection stays.
    let mut silent = Wire::to(tidegate.address).await;
    let mut slow = Wire::to(tidegate.address).await;
    slow.send("GET /").await;
    is_cut(&tidegate, slow, &[408]).await;
    assert!(silent.is_closed().await);
    assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    // The next request on the same connection has its own.
    wire.send("GET / HT").await;
    is_cut(&tidegate, wire, &[408]).await;
    is_counted(&tidegate, "header", 2.0).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_being_counted() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "idle_timeout: 200ms").await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    assert!(wire.is_closed().await);
    assert!(!tidegate.metrics().await.contains("tidegate_bound_exceeded_total{bound=\"idle\"}"));
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_cut_off() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "body_idle_timeout: 1s").await;
    for framing in ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(format!("POST / HTTP/1.1\r\nHost: app.test\r\n{framing}")).await;
        is_cut(&tidegate, wire, &[408]).await;
    }
    is_counted(&tidegate, "body_idle", 2.0).await;
}

#[tokio::test]
async fn a_body_that_goes_on_slowly_is_borne() {
    const BOUND_MS: i64 = 2_000;
    let upstream = Upstream::start().await;
    // Where this machine makes a pause itself, that is another matter.
    eventually("a body without a longer pause", async || {
        let tidegate = bounded(&upstream, &format!("body_idle_timeout: {BOUND_MS}ms")).await;
        let mut wire = Wire::to(tidegate.address).await;
        wire.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 51\r\n\r\n").await;
        let (mut last, mut longest_ms) = (Stopwatch::start(), 0);
        let mut closes = false;
        for _ in 0..50 {
            // Together longer than the bound, each shorter.
            wire.send("x").await;
            closes |= wire.closes_within_a_moment().await;
            longest_ms = longest_ms.max(last.millis());
            last = Stopwatch::start();
        }
        wire.send("x").await;
        if longest_ms > BOUND_MS / 2 {
            return None;
        }
        assert!(!closes);
        assert_eq!(wire.reply().await.status, 200);
        assert_eq!(exceeded(&tidegate, "body_idle").await, 0.0);
        Some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let upstream = Upstream::serving(async |_| http::Response::new(zeros(1 << 30))).await;
    let tidegate = bounded(&upstream, "body_idle_timeout: 500ms").await;
    let before = tidegate.rss();
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    is_counted(&tidegate, "body_idle", 1.0).await;
    let growth = tidegate.rss().saturating_sub(before);
    assert!(growth < 20_000_000, "{growth} bytes were kept for a client that does not read");
    // What is in the kernel's buffers arrives; the end of the answer does not.
    assert!(wire.try_reply().await.is_none(), "the answer is whole");
}

#[tokio::test]
async fn a_request_may_take_so_long_in_all() {
    let upstream = Upstream::serving(async |request: http::Request<hyper::body::Incoming>| {
        if request.uri() == "/slow" {
            std::future::pending::<()>().await;
        }
        http::Response::new(crate::harness::full("ok"))
    })
    .await;
    let tidegate = bounded(&upstream, "request_timeout: 2s").await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /slow", &[]).await.status, 504);
    others_are_served(&tidegate).await;
    // Nor may its body, however steadily it comes.
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("POST /slow HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\n").await;
    drip(&mut wire, "x").await;
    is_cut(&tidegate, wire, &[408, 504]).await;
    is_counted(&tidegate, "request", 2.0).await;
}
