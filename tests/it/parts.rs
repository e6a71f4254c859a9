//! The parts of the harness by themselves: a client that speaks to a server without tidegate in between.

use std::net::SocketAddr;

use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use tokio::net::{TcpStream, UnixStream};

use crate::harness::h2_wire::{DATA, END_STREAM, Frames, Outcome, RST_STREAM, WINDOW, WINDOW_UPDATE, frame};
use crate::harness::{Certificates, Dialect, Upstream, Wire, full, h2_over, zeros};

async fn served_over_h2(stream: impl crate::harness::Stream) {
    let request = Request::post("http://app.test/a?b").body(full("x")).unwrap();
    let answer = h2_over(stream).await.send_request(request).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn upstreams_speak_their_dialects() {
    let certificates = Certificates::new();
    let upstream = Upstream::start_as(Dialect::H2c).await;
    served_over_h2(TcpStream::connect(upstream.address).await.unwrap()).await;
    assert_eq!(upstream.last().version, Version::HTTP_2);

    let upstream = Upstream::start_as(Dialect::Tls(certificates.clone(), &["h2", "http/1.1"])).await;
    served_over_h2(certificates.connect(upstream.address, &["h2"]).await.unwrap()).await;
    let stream = certificates.connect_known(upstream.address, &["http/1.1"]).await.unwrap();
    assert_eq!(Wire::over(stream).ask("GET /", &[]).await.body, b"ok");
    assert_eq!(upstream.last().version, Version::HTTP_11);
    assert!(Certificates::new().connect(upstream.address, &[]).await.is_err(), "nobody checks certificates");

    let upstream = Upstream::start_as(Dialect::UnixH2c).await;
    served_over_h2(UnixStream::connect(upstream.url().strip_prefix("h2c+unix:").unwrap()).await.unwrap())
        .await;
    let upstream = Upstream::start_as(Dialect::UnixHttp1).await;
    let mut wire =
        Wire::over(UnixStream::connect(upstream.url().strip_prefix("unix:").unwrap()).await.unwrap());
    assert_eq!(wire.ask("GET /", &[]).await.body, b"ok");
}

/// An application over h2c that answers `/NUMBER` with this status, and with a large body.
async fn numbers() -> SocketAddr {
    let upstream = Upstream::speaking(Dialect::H2c, async |request: Request<hyper::body::Incoming>| {
        let mut answer = Response::new(zeros(200_000));
        *answer.status_mut() = StatusCode::from_bytes(&request.uri().path().as_bytes()[1..]).unwrap();
        answer
    })
    .await;
    let address = upstream.address;
    // It lives as long as the test's runtime.
    std::mem::forget(upstream);
    address
}

fn get(path: &str) -> [(&str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "app.test")]
}

#[tokio::test]
async fn requests_in_frames_get_their_statuses() {
    let address = numbers().await;
    let mut frames = Frames::to(address).await;
    let statuses = [200, 204, 206, 304, 400, 404, 500, 408, 413, 429, 431, 501, 502, 503, 504, 505, 567, 598];
    for (number, status) in (0..).zip(statuses) {
        frames.headers(2 * number + 1, &get(&format!("/{status}")), END_STREAM).await;
        assert_eq!(frames.outcome(2 * number + 1).await, Outcome::Status(status));
    }
}

#[tokio::test]
async fn the_fault_of_a_stream_is_told_from_that_of_a_connection() {
    let mut frames = Frames::to(numbers().await).await;
    frames.headers(101, &[&get("/200")[..], &[("connection", "close")]].concat(), END_STREAM).await;
    assert_eq!(frames.outcome(101).await, Outcome::Reset(1));
    frames.send(DATA, 0, 0, b"no stream has this number").await;
    assert_eq!(frames.outcome(103).await, Outcome::GoAway(1));
}

#[tokio::test]
async fn windows_are_kept() {
    let address = numbers().await;
    let mut frames = Frames::with(address, &[(WINDOW, 1000)]).await;
    frames.headers(1, &get("/200"), END_STREAM).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    // Together beyond what a window can be: an error of the stream.
    for _ in 0..2 {
        frames.send(WINDOW_UPDATE, 0, 1, &0x7fff_ffff_u32.to_be_bytes()).await;
    }
    let (length, outcome) = frames.body_until_reset(1).await;
    assert!(length >= 1000 && outcome == Outcome::Reset(3), "{length} bytes, {outcome:?}");
}

#[tokio::test]
async fn floods_are_written_until_the_connection_ends() {
    let mut frames = Frames::to(numbers().await).await;
    assert_eq!(frames.flood(10, |_| frame(6, 0, 0, b"are you?")).await, Outcome::Open);
    let resets = |number| frame(RST_STREAM, 0, 2 * number + 1, &8u32.to_be_bytes());
    assert!(frames.flood(10, resets).await.ends_connection(), "streams that were never open");
}
