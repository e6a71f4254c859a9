//! The request for a tunnel, byte by byte.

use tokio::sync::mpsc;

use super::{RULES, before};
use crate::harness::{Upstream, Wire, eventually};

const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[tokio::test]
async fn bytes_sent_early_reach_the_application_only_when_it_agrees() {
    let (told, mut tells) = mpsc::channel::<String>(8);
    let (agree, agreed) = tokio::sync::watch::channel(false);
    let upstream = Upstream::raw(move |stream| {
        let (told, mut agreed) = (told.clone(), agreed.clone());
        async move {
            let mut wire = Wire::over(stream);
            let Some(head) = wire.head().await else { return };
            told.send(head).await.unwrap();
            // Had they been sent along, they would be here by now.
            agreed.wait_for(|agreed| *agreed).await.unwrap();
            told.send(format!("{} early", wire.surplus().await)).await.unwrap();
            wire.send(ACCEPTED).await;
            let early = wire.exactly(5).await.unwrap();
            told.send(String::from_utf8(early).unwrap()).await.unwrap();
            wire.send("and back").await;
        }
    })
    .await;
    let tidegate = before(&upstream, RULES).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send(format!("{UPGRADE}early")).await;
    let head = eventually("the request at the application", async || tells.try_recv().ok()).await;
    assert!(head.starts_with("GET /socket HTTP/1.1\r\n"), "{head}");
    // By the time of another answer they would have come.
    tidegate.metrics().await;
    agree.send_replace(true);
    let mut told = async || eventually("more at the application", async || tells.try_recv().ok()).await;
    assert_eq!(told().await, "0 early");
    assert_eq!(wire.reply().await.status, 101);
    assert_eq!(told().await, "early");
    assert_eq!(wire.exactly(8).await.unwrap(), b"and back");
}

/// An application that reads the head of a request, says this, and then whatever comes it keeps.
async fn saying(answer: &'static str) -> (Upstream, mpsc::Receiver<String>) {
    let (told, tells) = mpsc::channel(8);
    let upstream = Upstream::raw(move |stream| {
        let told = told.clone();
        async move {
            let mut wire = Wire::over(stream);
            while let Some(head) = wire.head().await {
                told.send(head).await.unwrap();
                wire.send(answer).await;
            }
        }
    });
    (upstream.await, tells)
}

#[tokio::test]
async fn an_application_may_decline() {
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403),
        (
            "HTTP/1.1 426 Upgrade Required\r\nUpgrade: other\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
            426,
        ),
    ] {
        let (upstream, mut tells) = saying(answer).await;
        let tidegate = before(&upstream, RULES).await;
        let mut wire = Wire::to(tidegate.address).await;
        // What was sent for the tunnel must not become a request of its own.
        wire.send(format!("{UPGRADE}GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n")).await;
        assert_eq!(wire.reply().await.status, status);
        assert!(tells.recv().await.unwrap().starts_with("GET /socket "));
        if let Some(reply) = wire.try_reply().await {
            // Nobody agreed to another protocol: what follows is HTTP, and a request like others, counted like others.
            assert_eq!((reply.status, tidegate.counted("x", "allowed").await), (status, 2.0));
        } else {
            assert!(tells.try_recv().is_err(), "it reached the application");
        }
        assert_eq!(tidegate.metric("tidegate_tunnels").await.unwrap_or_default(), 0.0);
    }
}

#[tokio::test]
async fn a_tunnel_that_nobody_asked_for_is_a_502() {
    for (request, answer) in [
        ("GET /socket HTTP/1.1\r\nHost: app.test\r\n\r\n", ACCEPTED),
        ("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n", ACCEPTED),
        (UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n"),
        (UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n"),
        (UPGRADE, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
    ] {
        let (upstream, _tells) = saying(answer).await;
        let tidegate = before(&upstream, RULES).await;
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(request).await;
        assert_eq!(wire.reply().await.status, 502, "{request:?} {answer:?}");
        assert_eq!(tidegate.metric("tidegate_tunnels").await.unwrap_or_default(), 0.0);
    }
}

#[tokio::test]
async fn other_upgrades_are_not_passed_on() {
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\n",
    ] {
        let (upstream, mut tells) = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let tidegate = before(&upstream, RULES).await;
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(format!("GET / HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n")).await;
        let reply = wire.reply().await;
        assert!(matches!(reply.status, 200 | 400), "{fields:?}: {}", reply.status);
        if reply.status == 200 {
            let head = tells.recv().await.unwrap().to_ascii_lowercase();
            assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{fields:?}: {head}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_with_a_body_or_of_http10_is_no_upgrade() {
    for request in [
        UPGRADE.replace("GET", "POST").replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello"),
        UPGRADE.replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        let (upstream, mut tells) = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let tidegate = before(&upstream, RULES).await;
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(&request).await;
        let reply = wire.reply().await;
        assert!(matches!(reply.status, 200 | 400), "{request:?}: {}", reply.status);
        if reply.status == 200 {
            let head = tells.recv().await.unwrap().to_ascii_lowercase();
            assert!(!head.contains("\r\nupgrade:"), "{head}");
        }
    }
}
