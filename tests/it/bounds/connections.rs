//! How many connections there may be, in all and of one client.

use tokio::net::{TcpSocket, TcpStream};

use super::{bounded, is_counted, others_are_served};
use crate::harness::{Certificates, Tidegate, Upstream, Wire, client_from, eventually};

async fn open(tidegate: &Tidegate, count: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..count {
        let mut wire = Wire::to(tidegate.address).await;
        assert_eq!(wire.ask("GET /", &[]).await.status, 200);
        wires.push(wire);
    }
    wires
}

async fn from(address: &str, tidegate: &Tidegate) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(tidegate.address).await.unwrap()
}

async fn has_room(tidegate: &Tidegate) {
    eventually("room for another", async || {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n").await;
        wire.try_reply().await
    })
    .await;
}

/// As many connections as there may be, and three more that are closed at once.
async fn full(upstream: &Upstream) -> (Tidegate, Vec<Wire>) {
    let tidegate = bounded(upstream, "connections: 5, connections_per_client: 5").await;
    let wires = open(&tidegate, 5).await;
    for _ in 0..3 {
        assert!(Wire::to(tidegate.address).await.is_closed().await);
    }
    (tidegate, wires)
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_at_once() {
    let upstream = Upstream::start().await;
    let (tidegate, _wires) = full(&upstream).await;
    is_counted(&tidegate, "connections", 3.0).await;
}

#[tokio::test]
async fn connections_within_the_bound_are_still_served() {
    let upstream = Upstream::start().await;
    let (_tidegate, wires) = full(&upstream).await;
    for mut wire in wires {
        assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    }
}

#[tokio::test]
async fn a_connection_that_ends_makes_room_for_another() {
    let upstream = Upstream::start().await;
    let (tidegate, mut wires) = full(&upstream).await;
    wires.pop();
    has_room(&tidegate).await;
}

#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "connections_per_client: 5").await;
    let mut wires = open(&tidegate, 5).await;
    for _ in 0..3 {
        assert!(Wire::to(tidegate.address).await.is_closed().await);
    }
    is_counted(&tidegate, "connections_per_client", 3.0).await;
    let answer = client_from("127.0.0.2").get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 200, "another client");
    for wire in &mut wires {
        assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    }
    drop(wires);
    has_room(&tidegate).await;
    // The other's own number is its own.
    let others = [from("127.0.0.3", &tidegate).await, from("127.0.0.3", &tidegate).await];
    others_are_served(&tidegate).await;
    drop(others);
}

#[tokio::test]
async fn a_thousand_idle_connections_disturb_nobody() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "connections_per_client: 10000").await;
    others_are_served(&tidegate).await;
    let before = tidegate.rss();
    let mut wires = open(&tidegate, 1000).await;
    others_are_served(&tidegate).await;
    let growth = tidegate.rss().saturating_sub(before);
    assert!(growth < 1000 * 64 * 1024, "{growth} bytes for 1000 connections");
    assert_eq!(wires[500].ask("GET /", &[]).await.status, 200);
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_cut_off() {
    let (upstream, certificates) = (Upstream::start().await, Certificates::new());
    let (certificate, key) = (certificates.server_certificate(), certificates.server_key());
    let config = format!(
        "tls: {{ cert_file: {certificate}, key_file: {key} }}\nupstream: {}\n\
         bounds: {{ handshake_timeout: 3s }}\nstore: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1/s }}]",
        upstream.url()
    );
    let tidegate = Tidegate::described(&config).await;
    // A record that says it is longer than what follows.
    let mut wire = Wire::to(tidegate.address).await;
    wire.send([0x16, 3, 1, 1, 0, 1, 0, 0]).await;
    assert!(wire.is_closed().await);
    is_counted(&tidegate, "handshake", 1.0).await;
    let known = certificates.connect(tidegate.address, &["http/1.1"]).await.unwrap();
    assert_eq!(Wire::over(known).ask("GET /", &[]).await.status, 200);
}

#[tokio::test]
async fn a_proxy_header_that_does_not_end_is_cut_off() {
    let upstream = Upstream::start().await;
    let config = format!(
        "proxy_protocol: {{ trusted: [127.0.0.0/8] }}\nupstream: {}\n\
         bounds: {{ proxy_header_timeout: 2s }}\nstore: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1/s }}]",
        upstream.url()
    );
    let tidegate = Tidegate::described(&config).await;
    let mut wires = Vec::new();
    for start in ["", "PROXY TCP4 192.0.2.1", "\r\n\r\n\0\r\nQUIT\n"] {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(start).await;
        wires.push((start, wire));
    }
    for (start, mut wire) in wires {
        assert!(wire.is_closed().await, "{start:?}");
    }
    is_counted(&tidegate, "proxy_header", 3.0).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("PROXY TCP4 192.0.2.7 192.0.2.1 1234 80\r\n").await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    assert_eq!(upstream.last().headers["x-forwarded-for"], "192.0.2.7");
}
