//! Answers before the answer: 100, 103, and one that comes while the request is still on its way.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::GENEROUS;
use crate::harness::{Tidegate, Upstream, Wire, chunks, eventually, full, h2_over};

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

/// An application that answers a request's head as `early` says, and its body with 200.
async fn after(early: &'static str) -> Upstream {
    Upstream::raw(move |stream| async move {
        let mut wire = Wire::over(stream);
        while wire.head().await.is_some() {
            wire.send(early).await;
            if early.contains(" 417 ") {
                return;
            }
            let Some(body) = wire.exactly(5).await else { return };
            let body = String::from_utf8(body).unwrap();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{body}")).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it() {
    // The application says it, or does not know of it.
    for early in ["HTTP/1.1 100 Continue\r\n\r\n", ""] {
        let upstream = after(early).await;
        let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
        let mut wire = Wire::to(tidegate.address).await;
        for _ in 0..2 {
            wire.send(EXPECTING).await;
            let head = wire.head().await.unwrap();
            assert!(head.starts_with("HTTP/1.1 100 "), "{early:?}: {head}");
            wire.send("hello").await;
            let reply = wire.reply().await;
            assert_eq!((reply.status, &*reply.body), (200, &b"hello"[..]), "{early:?}");
        }
    }
}

#[tokio::test]
async fn a_client_that_expects_without_waiting_is_served() {
    let upstream = after("HTTP/1.1 100 Continue\r\n\r\n").await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    for _ in 0..2 {
        wire.send(format!("{EXPECTING}hello")).await;
        assert_eq!(wire.reply().await.body, b"hello");
    }
}

#[tokio::test]
async fn an_application_that_does_not_want_the_body_says_so() {
    let upstream = after("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send(EXPECTING).await;
    // Whether or not a 100 was sent before, this is the answer.
    assert_eq!(wire.reply().await.status, 417);
}

#[tokio::test]
async fn a_refused_client_is_not_told_to_go_on() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/*=1/h"]).await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    wire.send(EXPECTING).await;
    let head = wire.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
}

#[tokio::test]
async fn other_expectations_are_refused_or_passed_over() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    let status = wire.ask("GET /", &["Expect: a-miracle"]).await.status;
    assert!(matches!(status, 200 | 417), "{status}");
}

#[tokio::test]
async fn early_hints_arrive_before_the_answer() {
    let (go_on, gone_on) = tokio::sync::watch::channel(false);
    let upstream = Upstream::raw(move |stream| {
        let mut gone_on = gone_on.clone();
        async move {
            let mut wire = Wire::over(stream);
            while wire.head().await.is_some() {
                for link in ["</a.css>", "</b.css>"] {
                    let hint = format!("Link: {link}\r\nConnection: x-hop\r\nX-Hop: 1");
                    wire.send(format!("HTTP/1.1 103 Early Hints\r\n{hint}\r\n\r\n")).await;
                }
                gone_on.wait_for(|gone_on| *gone_on).await.unwrap();
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
            }
        }
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    for link in ["</a.css>", "</b.css>"] {
        let head = wire.head().await.unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 103 "), "{head}");
        assert!(head.contains(&format!("\r\nlink: {link}\r\n")), "{head}");
        assert!(!head.contains("x-hop"), "{head}");
    }
    go_on.send_replace(true);
    assert_eq!(wire.reply().await.body, b"ok");
    // HTTP/1.0 knows nothing of the kind.
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("GET / HTTP/1.0\r\nHost: app.test\r\n\r\n").await;
    let head = wire.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.0 200 ") || head.starts_with("HTTP/1.1 200 "), "{head}");
}

/// An application that answers at once, and then tells of each part of the request.
async fn hasty() -> (Upstream, mpsc::Receiver<Option<Bytes>>) {
    let (arrived, arrivals) = mpsc::channel(16);
    let upstream = Upstream::serving(move |mut request: Request<Incoming>| {
        let arrived = arrived.clone();
        async move {
            let (sender, body) = chunks();
            tokio::spawn(async move {
                sender.send("early".into()).await.unwrap();
                while let Some(Ok(frame)) = request.body_mut().frame().await {
                    let _ = arrived.send(frame.into_data().ok()).await;
                }
                arrived.send(None).await.unwrap();
                drop(sender);
            });
            Response::new(body)
        }
    });
    (upstream.await, arrivals)
}

#[tokio::test]
async fn a_response_may_begin_during_the_body_over_http1() {
    let (upstream, mut arrivals) = hasty().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut arrival = async || eventually("more of the body", async || arrivals.try_recv().ok()).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 6\r\n\r\none").await;
    let head = wire.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(wire.chunk().await.unwrap().unwrap(), b"early");
    assert_eq!(arrival().await, Some("one".into()));
    wire.send("two").await;
    assert_eq!((arrival().await, arrival().await), (Some("two".into()), None));
    assert_eq!(wire.chunk().await.unwrap(), None);
    wire.finish().await;
}

#[tokio::test]
async fn a_response_may_begin_during_the_body_over_http2() {
    let (upstream, mut arrivals) = hasty().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut arrival = async || eventually("more of the body", async || arrivals.try_recv().ok()).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let (sender, body) = chunks();
    sender.send("one".into()).await.unwrap();
    let request = Request::post("http://app.test/").body(body).unwrap();
    let mut answer = client.send_request(request).await.unwrap();
    let early = answer.body_mut().frame().await.unwrap().unwrap();
    assert_eq!(early.into_data().unwrap(), "early");
    assert_eq!(arrival().await, Some("one".into()));
    sender.send("two".into()).await.unwrap();
    assert_eq!(arrival().await, Some("two".into()));
    drop(sender);
    assert_eq!(arrival().await, None);
    assert!(answer.body_mut().frame().await.is_none_or(|frame| frame.unwrap().is_data()));
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_body_reaches_the_client() {
    // It answers and closes, as servers do that refuse a large upload.
    let upstream = Upstream::raw(async |stream| {
        let mut wire = Wire::over(stream);
        if wire.head().await.is_some() {
            let fields = "Connection: close\r\nContent-Length: 5\r\n\r\nlarge";
            wire.send(format!("HTTP/1.1 413 Content Too Large\r\n{fields}")).await;
            wire.finish().await;
            // A moment longer: a reset would take the answer with it.
            while wire.exactly(1).await.is_some() {}
        }
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\nonly a part").await;
    let reply = wire.reply().await;
    assert_eq!((reply.status, &*reply.body), (413, &b"large"[..]));
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let (sender, body) = chunks();
    sender.send("only a part".into()).await.unwrap();
    let request = Request::post("http://app.test/").body(body).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "large");
    let get = Request::get("http://app.test/").body(full("")).unwrap();
    assert_eq!(client.send_request(get).await.unwrap().status(), 413, "the connection was the price");
}
