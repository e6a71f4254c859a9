//! An application that is not there, breaks off or talks nonsense, and clients that go away.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::GENEROUS;
use crate::harness::{ReservedPort, Tidegate, Upstream, Wire, chunks, client, eventually, h2_client};

#[tokio::test]
async fn an_application_that_is_not_there_is_a_503_with_a_time_to_come_back() {
    let port = ReservedPort::new();
    let tidegate = Tidegate::start(port.address(), GENEROUS).await;
    for client in [client(), h2_client()] {
        let answer = client.post(tidegate.url("/")).body("x").send().await.unwrap();
        assert_eq!(answer.status(), 503);
        let headers = answer.headers().clone();
        assert_eq!(headers["retry-after"], "1");
        assert_eq!(headers["proxy-status"], "tidegate; error=destination_unavailable");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
        let problem: Value = answer.json().await.unwrap();
        assert_eq!(problem["status"], 503);
        assert!(
            !problem.to_string().contains("127.0.0.1"),
            "clients learn where the application is: {problem}"
        );
    }
    assert_eq!(tidegate.metric("tidegate_upstream_errors_total{error=\"unreachable\"}").await, Some(2.0));
    // It is served as soon as the application is there.
    let upstream = port.listen();
    tokio::spawn(async move {
        let mut wire = Wire::over(upstream.accept().await.unwrap().0);
        wire.head().await.unwrap();
        wire.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    });
    assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 204);
}

/// An application that reads the head of a request, writes this, and closes.
async fn saying(answer: &'static str) -> Upstream {
    Upstream::raw(move |stream| async move {
        let mut wire = Wire::over(stream);
        if wire.head().await.is_some() {
            wire.send(answer).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_application_that_gives_no_valid_answer_is_a_502() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 two hundred\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n",
    ] {
        let upstream = saying(answer).await;
        let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
        let response = client().get(tidegate.url("/")).send().await.unwrap();
        assert_eq!(response.status(), 502, "{answer:?}");
        assert!(
            response.headers().contains_key("proxy-status"),
            "{answer:?}: nobody can tell whose fault it was"
        );
        assert_eq!(client().get(tidegate.ops_url("/livez")).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_response_may_have_a_hundred_header_fields() {
    for (fields, status) in [(100, 200), (101, 502)] {
        // Connection and Content-Length are two of them.
        let others: String = (2..fields).map(|number| format!("X-{number}: y\r\n")).collect();
        let response = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n{others}\r\n");
        let upstream = saying(response.leak()).await;
        let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
        // Not a client of hyper's, which has the same bound: tidegate adds fields.
        let response = Wire::to(tidegate.address).await.ask("GET /", &[]).await;
        assert_eq!(response.status, status, "{fields} fields");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ] {
        let upstream = saying(answer).await;
        let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
        for client in [client(), h2_client()] {
            // Over HTTP/2 the reset may overtake the header at the client.
            let Ok(response) = client.get(tidegate.url("/")).send().await else { continue };
            assert_eq!(response.status(), 200);
            assert!(response.bytes().await.is_err(), "{answer:?} looks complete to the client");
        }
    }
}

#[tokio::test]
async fn what_an_application_sends_beyond_its_answer_reaches_nobody() {
    let upstream = Upstream::raw(async |stream| {
        let mut wire = Wire::over(stream);
        while wire.head().await.is_some() {
            let (answer, surplus) = ("Content-Length: 2\r\n\r\nok", "Content-Length: 4\r\n\r\nevil");
            wire.send(format!("HTTP/1.1 200 OK\r\n{answer}HTTP/1.1 200 OK\r\n{surplus}")).await;
        }
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    for _ in 0..10 {
        let answer = wire.ask("GET /", &[]).await;
        assert!(answer.status == 502 || answer.body == b"ok", "another's answer: {answer:?}");
    }
}

/// Tells when it is dropped.
struct Gone(mpsc::Sender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.try_send("gone");
    }
}

async fn is_missed_by_the_application(client: reqwest::Client) {
    let (events, mut heard) = mpsc::channel(8);
    // It would take for ever over the answer; to `/body` it has sent the first part of it.
    let upstream = Upstream::serving(move |request: Request<Incoming>| {
        let gone = Gone(events.clone());
        async move {
            gone.0.send("asked").await.unwrap();
            if request.uri() == "/head" {
                std::future::pending::<()>().await;
            }
            let (sender, body) = chunks();
            tokio::spawn(async move {
                // Sending fails once the connection has ended and dropped the body.
                while sender.send(Bytes::from_static(b"part")).await.is_ok() {}
                drop(gone);
            });
            Response::new(body)
        }
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for path in ["/head", "/body"] {
        let request = tokio::spawn(client.get(tidegate.url(path)).send());
        let event = eventually("the request at the application", async || heard.try_recv().ok());
        assert_eq!(event.await, "asked");
        if path == "/body" {
            drop(request.await.unwrap().unwrap().chunk().await.unwrap());
        } else {
            request.abort();
        }
        let event =
            eventually("the application to learn that the client is gone", async || heard.try_recv().ok());
        assert_eq!(event.await, "gone", "{path}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_is_missed_by_the_application() {
    is_missed_by_the_application(client()).await;
    is_missed_by_the_application(h2_client()).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_seen_to_break_off() {
    let (events, mut heard) = mpsc::channel(8);
    let upstream = Upstream::serving(move |request: Request<Incoming>| {
        let events = events.clone();
        async move {
            let complete = request.into_body().collect().await.is_ok();
            events.send(complete).await.unwrap();
            Response::new(crate::harness::full("ok"))
        }
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let framings = ["Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"];
    for (number, framing) in framings.into_iter().enumerate() {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}")).await;
        eventually("the request at the application", async || (upstream.seen().len() > number).then_some(()))
            .await;
        drop(wire);
        let complete = eventually("the application to learn of it", async || heard.try_recv().ok()).await;
        assert!(!complete, "{framing:?}: the application took half an upload for a whole one");
    }
}

#[tokio::test]
async fn an_answer_that_ends_in_two_places_is_a_502() {
    let upstream = Upstream::raw(async |mut stream| {
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await;
        let both = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        let _ = stream.write_all(both.as_bytes()).await;
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let answer = client().get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 502, "{:?}", answer.text().await);
}

#[tokio::test]
async fn a_body_that_is_no_http_is_the_clients_fault() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n").await;
    assert_eq!(wire.reply().await.status, 400);
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("POST /", &["Transfer-Encoding: gzip, chunked"]).await.status, 501);
    let metrics = tidegate.metrics().await;
    let mut errors = metrics.lines().filter(|line| line.starts_with("tidegate_upstream_errors_total{"));
    assert!(errors.all(|line| line.ends_with(" 0")), "the upstream is blamed");
}

#[tokio::test]
async fn a_request_whose_client_leaves_is_counted() {
    let upstream = Upstream::serving(async |_: Request<Incoming>| std::future::pending().await).await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    eventually("the request to be forwarded", async || upstream.seen().pop()).await;
    drop(wire);
    let sum = async || {
        let metrics = tidegate.metrics().await;
        let series = metrics.lines().filter(|line| line.starts_with("tidegate_requests_total{"));
        let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        (values.sum::<f64>() > 0.5).then_some(())
    };
    eventually("the request to be counted", sum).await;
}

#[tokio::test]
async fn half_of_the_first_words_of_http2_hold_no_connection() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for words in ["P", "PRI * HTT"] {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(words).await;
        assert!(wire.is_closed().await, "{words}");
    }
    // Words in two parts are words.
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("P").await;
    assert_eq!(wire.ask("OST /", &["Content-Length: 0"]).await.status, 200);
}
