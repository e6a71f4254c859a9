//! WebSocket: connections that stop being HTTP.

mod drain;
mod refused;
mod requests;
mod rules;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::combinators::BoxBody;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::harness::{DEADLINE, Tidegate, Upstream, eventually, full};

const RULES: &str = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";

/// An application that sends back each message, until the client closes.
async fn echo() -> Upstream {
    Upstream::raw(async |stream| {
        let Ok(mut socket) = accept_async(stream).await else { return };
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn before(upstream: &Upstream, rest: &str) -> Tidegate {
    Tidegate::described(&format!("upstream: {}\n{rest}", upstream.url())).await
}

/// A tunnel over HTTP/1.1.
async fn open(tidegate: &Tidegate) -> Result<WebSocketStream<TcpStream>, Error> {
    let stream = TcpStream::connect(tidegate.address).await.unwrap();
    client_async("ws://app.test/socket", stream).await.map(|(socket, _)| socket)
}

/// The status of the answer that refused a tunnel.
fn refusal<S>(opened: Result<S, Error>) -> u16 {
    match opened {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Err(other) => panic!("no answer: {other}"),
        Ok(_) => panic!("the tunnel is open"),
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut WebSocketStream<S>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
    let answer = tokio::time::timeout(DEADLINE, socket.next()).await.expect("no answer");
    assert_eq!(answer.unwrap().unwrap(), Message::text(text));
}

async fn tunnels_are(tidegate: &Tidegate, count: f64) {
    eventually(&format!("{count} tunnels"), async || {
        (tidegate.metric("tidegate_tunnels").await? == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn messages_go_both_ways() {
    let upstream = echo().await;
    let tidegate = before(&upstream, RULES).await;
    let mut socket = open(&tidegate).await.unwrap();
    talk(&mut socket, "hello").await;
    let large = "x".repeat(1 << 20);
    talk(&mut socket, &large).await;
    tunnels_are(&tidegate, 1.0).await;
    assert_eq!(tidegate.counted("x", "allowed").await, 1.0, "one request, whatever goes through it");
}

#[tokio::test]
async fn a_tunnel_ends_when_the_client_closes() {
    let upstream = echo().await;
    let tidegate = before(&upstream, RULES).await;
    let mut socket = open(&tidegate).await.unwrap();
    tunnels_are(&tidegate, 1.0).await;
    socket.close(None).await.unwrap();
    while let Some(message) = socket.next().await {
        assert!(message.unwrap().is_close());
    }
    tunnels_are(&tidegate, 0.0).await;
}

#[tokio::test]
async fn what_the_application_hears_of_the_upgrade() {
    let upstream = crate::harness::Recorder::start().await;
    let tidegate = Tidegate::described(&format!("upstream: {}\n{RULES}", upstream.url())).await;
    // It answers 200, which is no upgrade, and no tunnel.
    assert_eq!(refusal(open(&tidegate).await), 200);
    let record = upstream.take();
    assert!(record.faults.is_empty(), "{:?}", record.faults);
    let head = String::from_utf8(record.bytes).unwrap().to_ascii_lowercase();
    for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", "host: app.test"] {
        assert_eq!(head.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} is not in {head}");
    }
    assert!(head.contains("\r\nsec-websocket-key: "), "{head}");
    assert!(head.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{head}");
}

#[tokio::test]
async fn two_hundred_tunnels_at_once() {
    const TUNNELS: usize = 200;
    let upstream = echo().await;
    let tidegate = before(&upstream, RULES).await;
    let opened = (0..TUNNELS).map(|_| open(&tidegate));
    let mut sockets: Vec<_> =
        futures_util::future::join_all(opened).await.into_iter().map(Result::unwrap).collect();
    tunnels_are(&tidegate, TUNNELS as f64).await;
    for round in 0..3 {
        let talks = sockets.iter_mut().enumerate().map(async |(number, socket)| {
            talk(socket, &format!("{round} of {number}")).await;
        });
        futures_util::future::join_all(talks).await;
    }
    // Half of them close as they should, half just leave.
    for socket in sockets.iter_mut().step_by(2) {
        socket.close(None).await.unwrap();
        while socket.next().await.is_some() {}
    }
    drop(sockets);
    tunnels_are(&tidegate, 0.0).await;
    assert_eq!(tidegate.counted("x", "allowed").await, TUNNELS as f64);
}

#[tokio::test]
async fn an_application_that_breaks_off_ends_the_tunnel() {
    let upstream = Upstream::raw(async |stream| {
        let mut socket = accept_async(stream).await.unwrap();
        let _ = socket.next().await;
        // Dropped without a word.
    })
    .await;
    let tidegate = before(&upstream, RULES).await;
    let mut socket = open(&tidegate).await.unwrap();
    socket.send(Message::text("end")).await.unwrap();
    let end = tokio::time::timeout(DEADLINE, socket.next()).await.expect("the tunnel stays");
    assert!(end.is_none_or(|end| end.is_err()));
    tunnels_are(&tidegate, 0.0).await;
}

/// A client that has been offered extended CONNECT.
async fn h2_client(tidegate: &Tidegate) -> http2::SendRequest<BoxBody<Bytes, Infallible>> {
    let stream = TokioIo::new(TcpStream::connect(tidegate.address).await.unwrap());
    let (sender, mut connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    // Nothing wakes this half of the connection when the settings have come.
    eventually("extended CONNECT to be offered", async || {
        std::future::poll_fn(|context| {
            assert!(Pin::new(&mut connection).poll(context).is_pending(), "the connection ended");
            Poll::Ready(connection.is_extended_connect_protocol_enabled().then_some(()))
        })
        .await
    })
    .await;
    tokio::spawn(connection);
    sender
}

type H2Tunnel = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

async fn h2_tunnel(client: &mut http2::SendRequest<BoxBody<Bytes, Infallible>>) -> H2Tunnel {
    let request = Request::connect("http://app.test/socket")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(full(""))
        .unwrap();
    let mut answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    for field in ["sec-websocket-accept", "upgrade", "connection"] {
        assert!(!answer.headers().contains_key(field), "{field} is of HTTP/1.1");
    }
    let stream = TokioIo::new(hyper::upgrade::on(&mut answer).await.unwrap());
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

#[tokio::test]
async fn a_tunnel_over_http2_is_bridged_to_http11() {
    let upstream = echo().await;
    let tidegate = before(&upstream, RULES).await;
    let mut client = h2_client(&tidegate).await;
    let mut sockets = Vec::new();
    for number in 0..3 {
        let mut socket = h2_tunnel(&mut client).await;
        talk(&mut socket, &format!("hello {number}")).await;
        sockets.push(socket);
    }
    // Beside requests of the same connection, which the application does not understand.
    tunnels_are(&tidegate, 3.0).await;
    talk(&mut sockets[0], &"x".repeat(1 << 20)).await;
    sockets[0].close(None).await.unwrap();
    while sockets[0].next().await.is_some() {}
    tunnels_are(&tidegate, 2.0).await;
    talk(&mut sockets[1], "still here").await;
    drop(sockets);
    drop(client);
    tunnels_are(&tidegate, 0.0).await;
    assert_eq!(tidegate.counted("x", "allowed").await, 3.0);
}
