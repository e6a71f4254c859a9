//! Requests that are not forwarded because they could mean two things, or more than we bear.

use http::{Request, Version};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::GENEROUS;
use crate::harness::{Tidegate, Upstream, Wire, client, full};

async fn refuses(cases: &[(&str, u16)]) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for (request, status) in cases {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(request).await;
        let answer = wire.reply().await;
        assert_eq!(answer.status, *status, "{request:?}");
    }
    assert!(upstream.seen().is_empty(), "reached the application: {:?}", upstream.seen());
    assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn methods_that_no_origin_serves_are_refused() {
    refuses(&[
        ("CONNECT app.test:443 HTTP/1.1\r\nHost: app.test:443\r\n\r\n", 405),
        ("TRACE / HTTP/1.1\r\nHost: app.test\r\n\r\n", 405),
    ])
    .await;
}

#[tokio::test]
async fn a_request_names_one_host() {
    refuses(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:port\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: \u{e4}\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ])
    .await;
}

#[tokio::test]
async fn framing_that_two_parsers_read_differently_is_refused() {
    refuses(&[
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 2\r\n\r\nab", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 1\r\n\r\na", 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/3.7\r\nHost: a\r\n\r\n", 505),
    ])
    .await;
}

#[tokio::test]
async fn a_header_or_target_beyond_the_bounds_is_refused() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(100_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(150));
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000));
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for (request, wanted) in [(long, &[431][..]), (many, &[431]), (target, &[414])] {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(&request).await;
        let answer = wire.reply().await;
        assert!(wanted.contains(&answer.status), "{} for {}...", answer.status, &request[..40]);
    }
    assert!(upstream.seen().is_empty(), "reached the application: {:?}", upstream.seen());
}

#[tokio::test]
async fn an_h2_request_names_one_host() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let stream = TokioIo::new(TcpStream::connect(tidegate.address).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let mut ask = async |host: Option<&str>, authority: &str| {
        let mut request = Request::get(format!("http://{authority}/")).version(Version::HTTP_2);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        sender.ready().await.unwrap();
        sender.send_request(request.body(full("")).unwrap()).await.unwrap().status().as_u16()
    };
    assert_eq!(ask(Some("b.test"), "a.test").await, 400, "two hosts");
    assert_eq!(ask(None, "user@a.test").await, 400, "a user in the authority");
    assert!(upstream.seen().is_empty(), "reached the application: {:?}", upstream.seen());
    for host in [None, Some("A.test")] {
        assert_eq!(ask(host, "a.test").await, 200, "one host, and a Host that says the same");
        assert_eq!(upstream.last().headers["host"], "a.test");
    }
}
