//! What goes through, and how: bodies, connections, protocols.

mod endings;
mod failures;
mod grpc;
mod headers;
mod interim;
mod leavings;
mod malformed;
mod protocols;
mod refusals;
mod trailers;
mod upstream_tls;
mod via;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::harness::{Tidegate, Upstream, Wire, chunks, client, eventually, full, h2_client, zeros};

/// For what may not end, and need not.
const SHORT: std::time::Duration = std::time::Duration::from_millis(300);

const GENEROUS: &[&str] = &["--limit=/*=1000000/s"];

#[tokio::test]
async fn messages_go_through_unchanged() {
    let upstream = Upstream::serving(async |request: Request<Incoming>| {
        let method = request.method().to_string();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut answer = Response::new(full([method.as_bytes(), b" ", &body].concat()));
        *answer.status_mut() = http::StatusCode::IM_A_TEAPOT;
        answer.headers_mut().insert("x-application", "yes".parse().unwrap());
        answer
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for client in [client(), h2_client()] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
            let target = "/a%20b/c;d=e?x=%2F..&&y=1+2&empty=&%5B%5D";
            let request = client.request(method.parse().unwrap(), tidegate.url(target)).body("payload");
            let answer = request.send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["x-application"]),
                (418, &"yes".parse().unwrap())
            );
            assert_eq!(answer.text().await.unwrap(), format!("{method} payload"));
            let seen = upstream.last();
            assert_eq!(
                (seen.method.as_str(), &*seen.target),
                (method, target),
                "what reached the application"
            );
        }
    }
}

/// An application that tells of each chunk of the request, and answers with what it is told to.
async fn streaming() -> (Upstream, mpsc::Receiver<Bytes>, mpsc::Sender<Bytes>) {
    let (arrived, arrivals) = mpsc::channel(16);
    let (answer, body) = chunks();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(body)));
    let upstream = Upstream::serving(move |mut request: Request<Incoming>| {
        let (arrived, body) = (arrived.clone(), body.lock().unwrap().take());
        async move {
            tokio::spawn(async move {
                while let Some(Ok(frame)) = request.body_mut().frame().await {
                    if let Ok(data) = frame.into_data() {
                        arrived.send(data).await.unwrap();
                    }
                }
            });
            Response::new(body.expect("one request only"))
        }
    });
    (upstream.await, arrivals, answer)
}

async fn streams_both_ways(client: reqwest::Client) {
    let (upstream, mut arrivals, answer) = streaming().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let (upload, body) = chunks();
    let request = client.post(tidegate.url("/")).body(reqwest::Body::wrap(body));
    let answering = tokio::spawn(request.send());
    // Each waits for the other: a proxy that gathers bodies would never get beyond the first line.
    upload.send("one".into()).await.unwrap();
    let arrived = eventually("the first chunk at the application", async || arrivals.try_recv().ok());
    assert_eq!(arrived.await, "one");
    let mut answered = answering.await.unwrap().unwrap();
    answer.send("uno".into()).await.unwrap();
    assert_eq!(answered.chunk().await.unwrap().unwrap(), "uno");
    upload.send("two".into()).await.unwrap();
    let arrived = eventually("the second chunk at the application", async || arrivals.try_recv().ok());
    assert_eq!(arrived.await, "two");
    drop(upload);
    answer.send("due".into()).await.unwrap();
    drop(answer);
    assert_eq!(answered.chunk().await.unwrap().unwrap(), "due");
    assert_eq!(answered.bytes().await.unwrap(), "", "more than the application sent");
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    streams_both_ways(client()).await;
    streams_both_ways(h2_client()).await;
}

#[tokio::test]
async fn fifty_megabytes_each_way_take_no_memory() {
    const LENGTH: usize = 50_000_000;
    let upstream = Upstream::serving(async |request: Request<Incoming>| {
        let mut body = request.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            length += frame.unwrap().data_ref().map_or(0, Bytes::len);
        }
        assert_eq!(length, LENGTH);
        Response::new(zeros(LENGTH))
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for client in [client(), h2_client()] {
        let before = tidegate.rss();
        let request = client.post(tidegate.url("/")).body(reqwest::Body::wrap(zeros(LENGTH)));
        let mut answer = request.send().await.unwrap();
        let mut length = 0;
        while let Some(chunk) = answer.chunk().await.unwrap() {
            length += chunk.len();
        }
        assert_eq!(length, LENGTH);
        let growth = tidegate.rss().saturating_sub(before);
        assert!(growth < 20_000_000, "{growth} bytes more than before: the bodies were held in memory");
    }
}

#[tokio::test]
async fn connections_to_the_application_are_used_again() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let (mut sent, mut made) = (0, 0);
    // The connection goes back to the pool a moment after the answer, so now and then there is another.
    eventually("ten requests without a new connection", async || {
        // A client of its own for each.
        let answer = client().post(tidegate.url("/")).body("x").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "ok");
        (sent, made) = (sent + 1, upstream.connections());
        (sent >= made + 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pipelined_requests_get_their_responses_in_order() {
    let upstream =
        Upstream::serving(async |request: Request<Incoming>| Response::new(full(request.uri().to_string())));
    let upstream = upstream.await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/limited=1/h", "--limit=/*=1000/s"]).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
    )
    .await;
    wire.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for path in ["/1", "/2", "/3"] {
        assert_eq!(String::from_utf8(wire.reply().await.body).unwrap(), path);
    }
}

#[tokio::test]
async fn a_refused_upload_leaves_the_connection_usable() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=POST /x=1/h"]).await;
    let mut wire = Wire::to(tidegate.address).await;
    // The body could be taken for a request.
    let body = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let headers = format!("Content-Length: {}", body.len());
    for want in [200, 429, 429] {
        wire.send(format!("POST /x HTTP/1.1\r\nHost: app.test\r\n{headers}\r\n\r\n{body}")).await;
        let answer = wire.reply().await;
        assert_eq!(answer.status, want);
        assert_ne!(answer.headers.get("connection").map(http::HeaderValue::as_bytes), Some(&b"close"[..]));
    }
    assert_eq!(wire.ask("GET /after", &[]).await.status, 200);
    let paths: Vec<String> = upstream.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(paths, ["/x", "/after"], "what reached the application");
}

#[tokio::test]
async fn the_body_of_a_refused_upload_never_becomes_a_request_however_it_comes() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=POST /x=1/h"]).await;
    assert_eq!(client().post(tidegate.url("/x")).send().await.unwrap().status(), 200);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
    // Longer than what is read for the sake of the connection, and of unknown length.
    let long = smuggled.repeat(5_000);
    for body in [
        format!("Content-Length: {}\r\n\r\n{long}", long.len()),
        format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n", smuggled.len()),
        format!("Expect: 100-continue\r\nContent-Length: {}\r\n\r\n{smuggled}", smuggled.len()),
    ] {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(format!("POST /x HTTP/1.1\r\nHost: app.test\r\n{body}")).await;
        assert_eq!(wire.reply().await.status, 429);
        wire.send("GET /after HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        while let Some(head) = wire.head().await {
            assert!(head.starts_with("HTTP/1.1 200"), "a second answer that nobody asked for: {head}");
            if upstream.last().target == "/after" {
                break;
            }
        }
    }
    assert!(upstream.seen().iter().all(|seen| seen.target != "/smuggled"), "the body became a request");
}

#[tokio::test]
async fn many_streams_of_one_h2_connection_are_served_at_once() {
    const STREAMS: usize = 80;
    // Nobody is answered before all are there.
    let all = std::sync::Arc::new(tokio::sync::Barrier::new(STREAMS));
    let upstream = Upstream::serving(move |_| {
        let all = std::sync::Arc::clone(&all);
        async move {
            all.wait().await;
            Response::new(full("ok"))
        }
    });
    let upstream = upstream.await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let client = h2_client();
    let mut streams = JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(client.get(tidegate.url("/")).send());
    }
    while let Some(answer) = streams.join_next().await {
        let answer = answer.unwrap().unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
    }
}
