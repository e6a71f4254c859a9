//! What the application may cost: connecting, answering, and how many requests wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{bounded, is_counted, others_are_served};
use crate::harness::{Tidegate, Upstream, Wire, client, eventually, full};

async fn started(upstream: &str) -> Tidegate {
    let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
    Tidegate::described(&format!("upstream: {{ {upstream} }}\n{rules}")).await
}

#[tokio::test]
async fn an_application_that_takes_no_connections_is_a_503() {
    // A queue of one place, which is taken: the kernel lets nobody else in.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _taken = tokio::net::TcpStream::connect(address).await.unwrap();
    let tidegate = started(&format!("url: 'http://{address}', connect_timeout: 200ms")).await;
    let answer = client().get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    is_counted(&tidegate, "upstream_connect", 1.0).await;
}

#[tokio::test]
async fn an_application_that_does_not_answer_is_a_504() {
    let upstream = Upstream::serving(async |request: http::Request<hyper::body::Incoming>| {
        if request.method() == "GET" {
            std::future::pending::<()>().await;
        }
        http::Response::new(full("ok"))
    })
    .await;
    let tidegate = started(&format!("url: '{}', response_timeout: 2s", upstream.url())).await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /", &[]).await.status, 504);
    is_counted(&tidegate, "upstream_response", 1.0).await;
    others_are_served(&tidegate).await;
    assert_eq!(wire.ask("POST /", &["Content-Length: 0"]).await.status, 200);
}

#[tokio::test]
async fn requests_beyond_those_that_may_wait_are_refused_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let key = Arc::clone(&gate);
    let upstream = Upstream::serving(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            http::Response::new(full("ok"))
        }
    })
    .await;
    let tidegate = started(&format!("url: '{}', connections: 2, pending: 3", upstream.url())).await;
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let request = client().get(tidegate.url("/"));
        waiting.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    // Two are with the application, three wait for them, and three are refused.
    for _ in 0..3 {
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), 503);
    }
    is_counted(&tidegate, "upstream_pending", 3.0).await;
    eventually("two at the application", async || (upstream.seen().len() >= 2).then_some(())).await;
    assert_eq!(upstream.seen().len(), 2);
    key.add_permits(5);
    while let Some(status) = waiting.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(upstream.connections(), 2);
}

/// An application that closes a connection after one answer, just as the next request arrives; and how many requests
/// with a body it has met so.
async fn closing() -> (Upstream, Arc<AtomicUsize>) {
    let posts: Arc<AtomicUsize> = Arc::default();
    let counted = Arc::clone(&posts);
    let upstream = Upstream::raw(move |stream| {
        let posts = Arc::clone(&counted);
        async move {
            let mut wire = Wire::over(stream);
            if wire.head().await.is_some_and(|head| head.starts_with("GET ")) {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                // It reads the next and closes without a word: as if it had not read it.
                let post = wire.head().await.is_some_and(|head| head.starts_with("POST "));
                posts.fetch_add(usize::from(post), Ordering::Relaxed);
            } else {
                posts.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (upstream.await, posts)
}

#[tokio::test]
async fn a_request_that_meets_the_end_of_an_idle_connection_is_sent_again_if_that_is_safe() {
    let (upstream, posts) = closing().await;
    let tidegate = started(&format!("url: '{}', retry: true", upstream.url())).await;
    let retries = async || tidegate.metric("tidegate_upstream_retries_total").await.unwrap_or_default();
    let mut wire = Wire::to(tidegate.address).await;
    for times in 1..=4 {
        // One whose connection is not idle yet has a new one, and meets no end.
        eventually("a request to be sent again", async || {
            assert_eq!(wire.ask("GET /", &[]).await.status, 200);
            (retries().await == f64::from(times)).then_some(())
        })
        .await;
    }
    // Nobody knows whether the application has acted on it.
    wire.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\n\r\nonce").await;
    assert_eq!(wire.reply().await.status, 502);
    // On the connection that the next GET opens, one without a body is as little sent again.
    assert_eq!(wire.ask("GET /", &[]).await.status, 200);
    assert_eq!(wire.ask("POST /", &["Content-Length: 0"]).await.status, 502);
    assert_eq!((retries().await, posts.load(Ordering::Relaxed)), (4.0, 2), "a request was sent twice");
}

#[tokio::test]
async fn no_request_is_sent_again_where_that_is_switched_off() {
    let (upstream, _) = closing().await;
    let tidegate = started(&format!("url: '{}', retry: false", upstream.url())).await;
    // The first has a connection of its own; a later one meets its end, as soon as it is idle.
    let mut statuses = Vec::new();
    eventually("a request that is not sent again", async || {
        statuses.push(Wire::to(tidegate.address).await.ask("GET /", &[]).await.status);
        (statuses.last() == Some(&502)).then_some(())
    })
    .await;
    assert!(statuses[..statuses.len() - 1].iter().all(|&status| status == 200), "{statuses:?}");
    assert!(statuses.len() > 1);
}

#[tokio::test]
async fn bounds_of_a_request_are_as_configured() {
    let upstream = Upstream::start().await;
    let tidegate = bounded(&upstream, "header_bytes: 8192, header_fields: 20, target_bytes: 100").await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask(&format!("GET /{}", "x".repeat(99)), &[]).await.status, 200);
    for (target, field, count, status, bound) in [
        (101, "X: y".to_owned(), 1, 414, "target_bytes"),
        (1, format!("X: {}", "y".repeat(8192)), 1, 431, "header_bytes"),
        (1, "X: y".to_owned(), 20, 431, "header_fields"),
    ] {
        let mut wire = Wire::to(tidegate.address).await;
        let fields = vec![&*field; count];
        let reply = wire.ask(&format!("GET /{}", "x".repeat(target)), &fields).await;
        assert_eq!(reply.status, status, "{bound}");
        is_counted(&tidegate, bound, 1.0).await;
    }
    others_are_served(&tidegate).await;
}
