//! Balancers that say with a PROXY header whom a connection is from.

use std::net::{IpAddr, SocketAddr};

use http::Request;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::authority::Authority;
use crate::harness::{Tidegate, Upstream, Wire, eventually, full, h2_over};

const BALANCER: &str = "127.0.0.1";
const STRANGER: &str = "127.0.0.2";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

async fn started(upstream: &Upstream, more: &str) -> Tidegate {
    let config = format!(
        "proxy_protocol: {{ trusted: {BALANCER} }}\nupstream: {}\nstore: {{ memory: {{}} }}\n{more}\n\
         rules: [{{ name: x, key: client_ip, rate: 2/h }}]",
        upstream.url()
    );
    Tidegate::described(&config).await
}

fn v1(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let own = if client.contains(':') { "::1" } else { "192.0.2.1" };
    format!("PROXY {family} {client} {own} 4711 443\r\n").into_bytes()
}

fn v2(client: &str) -> Vec<u8> {
    let (family, addresses) = match client.parse().unwrap() {
        IpAddr::V4(client) => (0x11, [client.octets(), [192, 0, 2, 1]].concat()),
        IpAddr::V6(client) => (0x21, [client.octets(), [0; 16]].concat()),
    };
    // Ports, and one addition (TLV) that means nothing to us.
    let rest = [addresses, vec![0x12, 0x67, 1, 187, 0xe0, 0, 2, b'h', b'i']].concat();
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x21, family], &length, &rest].concat()
}

async fn from(address: &str, tidegate: &Tidegate) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(address.parse().unwrap(), 0)).unwrap();
    socket.connect(tidegate.address).await.unwrap()
}

/// A connection that the balancer forwards, with this header.
async fn forwarded(tidegate: &Tidegate, header: &[u8]) -> TcpStream {
    let mut stream = from(BALANCER, tidegate).await;
    stream.write_all(header).await.unwrap();
    stream
}

/// The status of one request over HTTP/1.1.
async fn ask(stream: TcpStream, lines: &[&str]) -> u16 {
    Wire::over(stream).ask("GET /", lines).await.status
}

#[tokio::test]
async fn whom_the_header_names_is_the_client() {
    let upstream = Upstream::start().await;
    let tidegate = started(&upstream, "").await;
    for (client, other) in [("203.0.113.7", "203.0.113.8"), ("2001:db8::7", "2001:db8:1::7")] {
        for header in [v1(client), v2(client)] {
            assert_eq!(ask(forwarded(&tidegate, &header).await, &[]).await, 200);
            assert_eq!(upstream.last().headers["x-forwarded-for"], client);
        }
        // What it had of the limit is used up, whichever version says so, and whatever it says itself.
        for header in [v1(client), v2(client)] {
            assert_eq!(ask(forwarded(&tidegate, &header).await, &[]).await, 429);
            let forged = format!("X-Forwarded-For: {other}");
            assert_eq!(ask(forwarded(&tidegate, &header).await, &[&forged]).await, 429);
        }
        assert_eq!(ask(forwarded(&tidegate, &v2(other)).await, &[]).await, 200);
        assert_eq!(upstream.last().headers["x-forwarded-for"], other);
    }
}

#[tokio::test]
async fn a_proxy_behind_the_balancer_may_be_believed_too() {
    let upstream = Upstream::start().await;
    let tidegate = started(&upstream, "client: { trusted_proxies: 203.0.113.7 }").await;
    let line = &["X-Forwarded-For: 198.51.100.3"][..];
    for status in [200, 200, 429] {
        assert_eq!(ask(forwarded(&tidegate, &v1("203.0.113.7")).await, line).await, status);
    }
    // The balancer itself is no such proxy, and neither is anybody else.
    assert_eq!(ask(forwarded(&tidegate, &v1("203.0.113.8")).await, line).await, 200);
    assert_eq!(upstream.last().headers["x-forwarded-for"], "203.0.113.8");
}

#[tokio::test]
async fn whoever_speaks_for_itself_is_the_peer() {
    let upstream = Upstream::start().await;
    let tidegate = started(&upstream, "").await;
    let local = [SIGNATURE, &[0x20, 0, 0, 0]].concat();
    // The addresses of a header that is for nobody mean nothing.
    let mut local_with_addresses = v2("203.0.113.7");
    local_with_addresses[12] = 0x20;
    for (header, status) in [
        (&b"PROXY UNKNOWN\r\n"[..], 200),
        (&local_with_addresses, 200),
        (b"PROXY UNKNOWN 203.0.113.7 192.0.2.1 1 2\r\n", 429),
        (&local, 429),
    ] {
        assert_eq!(ask(forwarded(&tidegate, header).await, &[]).await, status, "{header:?}");
        assert_eq!(upstream.last().headers["x-forwarded-for"], BALANCER);
    }
}

#[tokio::test]
async fn nobody_else_can_say_who_it_is() {
    let upstream = Upstream::start().await;
    let tidegate = started(&upstream, "").await;
    for header in [v1("203.0.113.7"), v2("203.0.113.7"), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut stream = from(STRANGER, &tidegate).await;
        stream.write_all(&header).await.unwrap();
        assert_eq!(ask(stream, &[]).await, 400, "{header:?}");
    }
    assert!(upstream.seen().is_empty());
    assert_eq!(ask(from(STRANGER, &tidegate).await, &[]).await, 200);
    assert_eq!(upstream.last().headers["x-forwarded-for"], STRANGER);
    // Two headers are one too many: the second is the client's own.
    let twice = [v1("203.0.113.7"), v1("203.0.113.8")].concat();
    assert_eq!(ask(forwarded(&tidegate, &twice).await, &[]).await, 400);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_balancer_that_says_nothing_is_not_served() {
    let upstream = Upstream::start().await;
    let tidegate = started(&upstream, "").await;
    for start in
        [&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"PROXY TCP4 a"]
    {
        let mut wire = Wire::over(from(BALANCER, &tidegate).await);
        wire.send(start).await;
        wire.finish().await;
        assert!(wire.is_closed().await, "{start:?}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn http2_comes_after_it() {
    let upstream = Upstream::start().await;
    let plain = started(&upstream, "").await;
    let mut sender = h2_over(forwarded(&plain, &v2("203.0.113.7")).await).await;
    for status in [200, 200, 429] {
        let request = Request::get("http://app.test/").body(full("")).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), status);
    }
    assert_eq!(upstream.last().headers["x-forwarded-for"], "203.0.113.7");
}

/// tidegate with a certificate of this authority, which is in the directory.
async fn secured(upstream: &Upstream, authority: &Authority) -> (Tidegate, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (pair, file) = (authority.sign("localhost"), directory.path().join("both.pem"));
    std::fs::write(&file, pair.certificate + &pair.key).unwrap();
    let file = file.display();
    let secure = started(upstream, &format!("tls: {{ cert_file: {file}, key_file: {file} }}")).await;
    (secure, directory)
}

#[tokio::test]
async fn tls_comes_after_it() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let (secure, _directory) = secured(&upstream, &authority).await;
    for (header, client) in [(v1("203.0.113.1"), "203.0.113.1"), (v2("203.0.113.2"), "203.0.113.2")] {
        let stream = forwarded(&secure, &header).await;
        let stream = authority.connect(stream, None, "http/1.1").await.unwrap();
        assert_eq!(Wire::over(stream).ask("GET /", &[]).await.status, 200);
        assert_eq!(upstream.last().headers["x-forwarded-for"], client);
        let stream = forwarded(&secure, &header).await;
        let mut sender = h2_over(authority.connect(stream, None, "h2").await.unwrap()).await;
        let request = Request::get("https://app.test/").body(full("")).unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
        assert_eq!(upstream.last().headers["x-forwarded-for"], client);
    }
}

#[tokio::test]
async fn within_tls_it_is_no_header_any_more() {
    let (upstream, authority) = (Upstream::start().await, Authority::new());
    let (secure, _directory) = secured(&upstream, &authority).await;
    let stream = authority.connect(from(STRANGER, &secure).await, None, "http/1.1").await.unwrap();
    let mut wire = Wire::over(stream);
    wire.send(v1("203.0.113.3")).await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 400);
}

#[tokio::test]
async fn connections_are_bounded_by_whom_they_are_for() {
    let upstream = Upstream::start().await;
    let tidegate = started(&upstream, "bounds: { connections_per_client: 2 }").await;
    let mut open = Vec::new();
    for client in ["203.0.113.1", "203.0.113.2"] {
        for _ in 0..2 {
            let mut wire = Wire::over(forwarded(&tidegate, &v1(client)).await);
            assert_eq!(wire.ask("GET /", &[]).await.status, 200, "{client}");
            open.push(wire);
        }
        let mut third = Wire::over(forwarded(&tidegate, &v1(client)).await);
        assert!(third.is_closed().await, "{client}");
    }
    eventually("both to be counted", async || {
        let series = "tidegate_bound_exceeded_total{bound=\"connections_per_client\"}";
        (tidegate.metric(series).await? == 2.0).then_some(())
    })
    .await;
}
