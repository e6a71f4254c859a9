//! Where messages end: without a body, with trailers, event by event, or too early.

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tokio::net::TcpStream;

use super::GENEROUS;
use crate::harness::{
    Answer, Dialect, Reply, Tidegate, Upstream, Wire, chunks, client, frames, full, h2_client, h2_over,
};

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_as_it_was() {
    let upstream = Upstream::serving(async |request: Request<Incoming>| {
        let status = match request.uri().path() {
            "/204" => StatusCode::NO_CONTENT,
            "/304" => StatusCode::NOT_MODIFIED,
            _ => StatusCode::OK,
        };
        let text = if status == StatusCode::OK { "body" } else { "" };
        let mut answer = Response::builder().status(status).header("etag", "\"1\"").body(full(text)).unwrap();
        if status == StatusCode::NOT_MODIFIED || request.method() == Method::HEAD {
            answer.headers_mut().insert("content-length", "4".parse().unwrap());
        }
        answer
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    for _ in 0..2 {
        let head = wire.ask("HEAD /", &[]).await;
        assert_eq!((head.status, &head.headers["content-length"]), (200, &"4".parse().unwrap()));
        for (target, status) in [("/204", 204), ("/304", 304)] {
            let Reply { status: answered, headers, .. } = wire.ask(&format!("GET {target}"), &[]).await;
            assert_eq!((answered, &headers["etag"]), (status, &"\"1\"".parse().unwrap()));
            assert!(!headers.contains_key("transfer-encoding"), "{status}: {headers:?}");
            assert!(status != 204 || !headers.contains_key("content-length"), "{status}: {headers:?}");
        }
        assert_eq!(wire.ask("GET /", &[]).await.body, b"body");
    }
    for target in ["/", "/204", "/304"] {
        let answer = h2_client().head(tidegate.url(target)).send().await.unwrap();
        assert_eq!(answer.headers()["etag"], "\"1\"", "HEAD {target} over HTTP/2");
    }
}

#[tokio::test]
async fn a_body_where_none_may_be_reaches_nobody() {
    for head in ["204 No Content", "304 Not Modified"] {
        let upstream = Upstream::raw(move |stream| async move {
            let mut wire = Wire::over(stream);
            while wire.head().await.is_some() {
                wire.send(format!("HTTP/1.1 {head}\r\nContent-Length: 4\r\n\r\nevil")).await;
            }
        })
        .await;
        let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
        let mut wire = Wire::to(tidegate.address).await;
        for _ in 0..5 {
            let reply = wire.ask("GET /", &[]).await;
            assert!(matches!(reply.status, 204 | 304 | 502), "{head}: {reply:?}");
            assert!(!String::from_utf8_lossy(&reply.body).contains("evil"), "{head}: {reply:?}");
        }
    }
}

fn trailer(name: &'static str, value: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, value.parse().unwrap());
    trailers
}

/// An application that sends the body back, and as a trailer what trailer there was.
async fn with_trailers(request: Request<Incoming>) -> Answer {
    let body = request.into_body().collect().await.unwrap();
    let sum = body.trailers().and_then(|trailers| trailers.get("x-sum").cloned());
    let (sender, answer) = frames();
    tokio::spawn(async move {
        sender.send(Frame::data(body.to_bytes())).await.unwrap();
        let sum = sum.as_ref().map_or("none", |sum| sum.to_str().unwrap());
        sender.send(Frame::trailers(trailer("x-answer-sum", sum))).await.unwrap();
    });
    Response::builder().header("trailer", "x-answer-sum").body(answer).unwrap()
}

#[tokio::test]
async fn trailers_pass_both_ways_over_either_protocol() {
    for dialect in [Dialect::Http1, Dialect::H2c] {
        let upstream = Upstream::speaking(dialect, with_trailers).await;
        let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
        let tidegate = Tidegate::described(&format!("upstream: {}\n{rules}", upstream.url())).await;
        let mut wire = Wire::to(tidegate.address).await;
        for _ in 0..2 {
            let fields = "TE: trailers\r\nConnection: TE\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked";
            let body = "5\r\nhello\r\n0\r\nX-Sum: abc\r\n\r\n";
            wire.send(format!("POST / HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n\r\n{body}")).await;
            let reply = wire.reply().await;
            assert_eq!((reply.status, &*reply.body), (200, &b"hello"[..]), "{}", upstream.url());
            assert_eq!(reply.trailers.get("x-answer-sum").unwrap(), "abc", "{}", upstream.url());
        }
        let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
        let (sender, body) = frames();
        sender.send(Frame::data("hello".into())).await.unwrap();
        sender.send(Frame::trailers(trailer("x-sum", "def"))).await.unwrap();
        drop(sender);
        let request = Request::post("http://app.test/").header("te", "trailers").header("trailer", "x-sum");
        let answer = client.send_request(request.body(body).unwrap()).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap();
        assert_eq!(answer.trailers().unwrap()["x-answer-sum"], "def", "{}", upstream.url());
        assert_eq!(answer.to_bytes(), "hello");
    }
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    for dialect in [Dialect::Http1, Dialect::H2c] {
        let (ask_for, wanted) = tokio::sync::watch::channel(0);
        let upstream = Upstream::speaking(dialect, move |_| {
            let mut wanted = wanted.clone();
            async move {
                let (sender, body) = chunks();
                tokio::spawn(async move {
                    for number in 1.. {
                        // None is sent before the client has the one before.
                        if wanted.wait_for(|wanted| *wanted >= number).await.is_err()
                            || sender.send(format!("data: {number}\n\n").into()).await.is_err()
                        {
                            return;
                        }
                    }
                });
                Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
            }
        })
        .await;
        let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
        let tidegate = Tidegate::described(&format!("upstream: {}\n{rules}", upstream.url())).await;
        for client in [client(), h2_client()] {
            ask_for.send_replace(0);
            // The head comes before the first event.
            let mut answer = client.get(tidegate.url("/")).send().await.unwrap();
            assert_eq!(answer.headers()["content-type"], "text/event-stream");
            for number in 1..=5 {
                ask_for.send_replace(number);
                let event = answer.chunk().await.unwrap().unwrap();
                assert_eq!(event, format!("data: {number}\n\n"), "{}", upstream.url());
            }
        }
    }
}

#[tokio::test]
async fn an_answer_over_http2_that_is_reset_is_seen_to_break_off() {
    let (read, reads) = tokio::sync::watch::channel(0);
    let upstream = Upstream::raw(move |stream| {
        let reads = reads.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut number = 0;
            while let Some(Ok((_, mut answer))) = connection.accept().await {
                let mut body = answer.send_response(Response::new(()), false).unwrap();
                body.send_data("half".into(), false).unwrap();
                number += 1;
                let (mut reads, wanted) = (reads.clone(), number);
                tokio::spawn(async move {
                    reads.wait_for(|count| *count >= wanted).await.unwrap();
                    body.send_reset(h2::Reason::INTERNAL_ERROR);
                });
            }
        }
    })
    .await;
    let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
    let config = format!("upstream: h2c://{}\n{rules}", upstream.address);
    let tidegate = Tidegate::described(&config).await;
    for (number, client) in [client(), h2_client()].into_iter().enumerate() {
        let mut answer = client.get(tidegate.url("/")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "half");
        read.send_replace(number + 1);
        assert!(answer.chunk().await.is_err(), "it looks complete to the client");
    }
    assert_eq!(upstream.connections(), 1, "the connection was the price of one answer");
}
