//! What gRPC needs of a proxy: both directions at once, trailers, cancellation, deadlines.

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::harness::{Dialect, Tidegate, Upstream, eventually, frames, h2_over};

fn trailers(status: &str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("grpc-message", "as%20told".parse().unwrap());
    trailers.insert("grpc-status-details-bin", "CAUSB3RvbyBiYWQ".parse().unwrap());
    Frame::trailers(trailers)
}

/// A message as gRPC frames it.
fn message(text: &str) -> Bytes {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat().into()
}

/// An application that answers each message at once, and ends with the trailers when the client does.
async fn echo() -> Upstream {
    Upstream::speaking(Dialect::H2c, async |request: Request<Incoming>| {
        let (sender, body) = frames();
        tokio::spawn(async move {
            let mut messages = request.into_body();
            while let Some(Ok(frame)) = messages.frame().await {
                if let Ok(data) = frame.into_data() {
                    sender.send(Frame::data(data)).await.unwrap();
                }
            }
            sender.send(trailers("3")).await.unwrap();
        });
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await
}

fn config(upstream: &Upstream) -> String {
    format!(
        "upstream: {}\nstore: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1000000/s }}]",
        upstream.url()
    )
}

fn call() -> http::request::Builder {
    Request::post("http://app.test/pkg.Service/Method")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", "5S")
        .header("x-token-bin", "AAEC")
}

/// A call whose first message, `0`, has been sent.
async fn calling(tidegate: &Tidegate) -> (mpsc::Sender<Frame<Bytes>>, Response<Incoming>) {
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let (sender, body) = frames();
    let answer = client.send_request(call().body(body).unwrap());
    sender.send(Frame::data(message("0"))).await.unwrap();
    (sender, answer.await.unwrap())
}

#[tokio::test]
async fn a_call_streams_both_ways() {
    let upstream = echo().await;
    let tidegate = Tidegate::described(&config(&upstream)).await;
    let (sender, mut answer) = calling(&tidegate).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["content-type"]),
        (200, &"application/grpc".parse().unwrap())
    );
    // Each message waits for the answer to the one before.
    for number in 0..10 {
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message(&number.to_string()));
        sender.send(Frame::data(message(&(number + 1).to_string()))).await.unwrap();
    }
    drop(sender);
    let rest = answer.into_body().collect().await.unwrap();
    assert_eq!(rest.to_bytes(), message("10"));
}

#[tokio::test]
async fn a_call_ends_with_the_trailers_of_the_upstream() {
    let upstream = echo().await;
    let tidegate = Tidegate::described(&config(&upstream)).await;
    let (sender, answer) = calling(&tidegate).await;
    drop(sender);
    let rest = answer.into_body().collect().await.unwrap();
    let end = rest.trailers().expect("the trailers are lost").clone();
    assert_eq!(rest.to_bytes(), message("0"));
    assert_eq!(
        (&end["grpc-status"], &end["grpc-message"]),
        (&"3".parse().unwrap(), &"as%20told".parse().unwrap())
    );
    assert_eq!(end["grpc-status-details-bin"], "CAUSB3RvbyBiYWQ");
}

#[tokio::test]
async fn the_metadata_of_a_call_reaches_the_upstream() {
    let upstream = echo().await;
    let tidegate = Tidegate::described(&config(&upstream)).await;
    let _call = calling(&tidegate).await;
    let seen = upstream.last().headers;
    for (name, value) in [("te", "trailers"), ("grpc-timeout", "5S"), ("x-token-bin", "AAEC")] {
        assert_eq!(seen[name], value, "{name} did not reach the application");
    }
}

#[tokio::test]
async fn an_answer_of_trailers_only_passes() {
    let upstream = Upstream::speaking(Dialect::H2c, async |_| {
        let answer =
            Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
        answer.body(crate::harness::full("")).unwrap()
    })
    .await;
    let tidegate = Tidegate::described(&config(&upstream)).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let request = call().body(crate::harness::full(message("x"))).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "12");
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "");
}

#[tokio::test]
async fn trailers_of_the_request_arrive() {
    let (arrived, mut arrivals) = mpsc::channel(1);
    let upstream = Upstream::speaking(Dialect::H2c, move |request: Request<Incoming>| {
        let arrived = arrived.clone();
        async move {
            let body = request.into_body().collect().await.unwrap();
            arrived.send(body.trailers().cloned()).await.unwrap();
            Response::new(crate::harness::full("ok"))
        }
    })
    .await;
    let tidegate = Tidegate::described(&config(&upstream)).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let (sender, body) = frames();
    sender.send(Frame::data(message("x"))).await.unwrap();
    sender.send(trailers("0")).await.unwrap();
    drop(sender);
    assert_eq!(client.send_request(call().body(body).unwrap()).await.unwrap().status(), 200);
    let end = arrivals.recv().await.unwrap().expect("the trailers are lost");
    assert_eq!(end["grpc-status"], "0");
}

/// Tells when it is dropped.
struct Gone(mpsc::Sender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.try_send("gone");
    }
}

/// An application that never ends an answer, and tells when it is no longer wanted.
async fn endless() -> (Upstream, mpsc::Receiver<&'static str>) {
    let (events, heard) = mpsc::channel(4);
    let upstream = Upstream::speaking(Dialect::H2c, move |request: Request<Incoming>| {
        let gone = Gone(events.clone());
        async move {
            gone.0.send("asked").await.unwrap();
            let (sender, body) = frames();
            tokio::spawn(async move {
                sender.send(Frame::data(message("first"))).await.unwrap();
                // Until nobody reads on.
                sender.closed().await;
                drop((gone, request));
            });
            Response::new(body)
        }
    });
    (upstream.await, heard)
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_alone_at_the_upstream() {
    let (upstream, mut heard) = endless().await;
    let tidegate = Tidegate::described(&config(&upstream)).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let (first_sender, body) = frames();
    let first = client.send_request(call().body(body).unwrap());
    let (_second_sender, body) = frames();
    let second = client.send_request(call().body(body).unwrap());
    let (mut first, mut second) = (first.await.unwrap(), second.await.unwrap());
    for answer in [&mut first, &mut second] {
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), message("first"));
        assert_eq!(heard.recv().await, Some("asked"));
    }
    // Dropped, the stream is reset.
    drop((first, first_sender));
    let gone = eventually("the application to learn of it", async || heard.try_recv().ok());
    assert_eq!(gone.await, "gone");
    assert_eq!(upstream.connections(), 1, "the connection was the price of one call");
    let third = client.send_request(call().body(frames().1).unwrap()).await.unwrap();
    assert_eq!(third.status(), 200);
    assert!(!second.body().is_end_stream(), "another call ended with it");
}

#[tokio::test]
async fn a_call_over_the_limit_is_answered_in_grpcs_own_words() {
    let upstream = echo().await;
    let config =
        format!("upstream: {}\nstore: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1/h }}]", upstream.url());
    let tidegate = Tidegate::described(&config).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let unary = || call().body(crate::harness::full(message("x"))).unwrap();
    let answer = client.send_request(unary()).await.unwrap();
    let end = answer.into_body().collect().await.unwrap().trailers().cloned().unwrap();
    assert_eq!(end["grpc-status"], "3");
    let refused = client.send_request(unary()).await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["grpc-status"]), (200, &"8".parse().unwrap()));
}
