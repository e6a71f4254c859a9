//! Fields that may only come in a header are removed from trailer sections, in both directions.

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::GENEROUS;
use crate::harness::{Dialect, Tidegate, Upstream, frames, full, h2_over};

/// A trailer section with fields that are forbidden there, `x-sum`, and others that HTTP/2 allows.
fn mixed() -> HeaderMap {
    let names = [
        "authorization",
        "content-length",
        "content_length",
        "forwarded",
        "max-forwards",
        "proxy-authenticate",
        "proxy-authorization",
        "set-cookie",
        "via",
        "x-forwarded-for",
        "x-ratelimit-exceeded",
        "x-real-ip",
        "x.real.ip",
        "x_forwarded_for",
        "x-sum",
    ];
    names.into_iter().map(|name| (name.parse().unwrap(), "1".parse().unwrap())).collect()
}

async fn h2c(upstream: &Upstream) -> Tidegate {
    let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
    Tidegate::described(&format!("upstream: {}\n{rules}", upstream.url())).await
}

#[tokio::test]
async fn trailers_of_an_http2_request_hold_no_forbidden_field() {
    let (arrived, mut arrivals) = mpsc::channel(1);
    let upstream = Upstream::speaking(Dialect::H2c, move |request: Request<Incoming>| {
        let arrived = arrived.clone();
        async move {
            let body = request.into_body().collect().await.unwrap();
            arrived.send(body.trailers().cloned()).await.unwrap();
            Response::new(full("ok"))
        }
    })
    .await;
    let tidegate = h2c(&upstream).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let (sender, body) = frames();
    sender.send(Frame::data("hello".into())).await.unwrap();
    sender.send(Frame::trailers(mixed())).await.unwrap();
    drop(sender);
    let request = Request::post("http://app.test/").header("te", "trailers").body(body).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
    let trailers = arrivals.recv().await.unwrap().expect("the trailers are lost");
    assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
}

#[tokio::test]
async fn trailers_of_a_response_hold_no_forbidden_field() {
    let upstream = Upstream::speaking(Dialect::H2c, async |_| {
        let (sender, body) = frames();
        tokio::spawn(async move {
            sender.send(Frame::data("hello".into())).await.unwrap();
            sender.send(Frame::trailers(mixed())).await.unwrap();
        });
        Response::new(body)
    })
    .await;
    let tidegate = h2c(&upstream).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let request = Request::get("http://app.test/").body(full("")).unwrap();
    let body = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap().keys().collect::<Vec<_>>(), ["x-sum"]);
}

/// HTTP/2 cannot carry it, so that the stream would break.
#[tokio::test]
async fn a_hop_by_hop_trailer_of_an_http1_upstream_does_not_break_an_http2_response() {
    let upstream = Upstream::raw(|stream| async move {
        let mut wire = crate::harness::Wire::over(stream);
        while wire.head().await.is_some() {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n";
            wire.send(format!("{head}5\r\nhello\r\n0\r\nKeep-Alive: 5\r\nX-Sum: 1\r\n\r\n")).await;
        }
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let request = Request::get("http://app.test/").body(full("")).unwrap();
    let body = client.send_request(request).await.unwrap().into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap().keys().collect::<Vec<_>>(), ["x-sum"]);
}
