//! What is left when one of the two sides does not do its part: connections, half answers, sockets, forged fields.

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::GENEROUS;
use crate::harness::{Tidegate, Upstream, Wire, client, eventually, h2_client, zeros};

/// An application that says this to each request.
async fn saying(answer: &'static str) -> Upstream {
    Upstream::raw(move |stream| async move {
        let mut wire = Wire::over(stream);
        while wire.head().await.is_some() {
            wire.send(answer).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_application_that_reads_nothing_keeps_no_connection_of_a_client_that_has_left() {
    // It neither reads nor answers: what is written to it stays in the kernel.
    let upstream = Upstream::raw(async |stream| {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let config = format!(
        "upstream: {{ url: 'http://{}', response_timeout: 500ms }}\nstore: {{ memory: {{}} }}\nrules: [{{ name: all, rate: 1000000/s }}]",
        upstream.address
    );
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    let body = vec![b'x'; 30_000_000];
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(tidegate.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n").await.unwrap();
        // As much of it as goes out.
        let _ = tokio::time::timeout(super::SHORT, stream.write_all(&body)).await;
    }
    assert!(upstream.connections() > 0);
    eventually("the connections to be gone", async || {
        (tidegate.metric("tidegate_upstream_connections").await == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_still_being_read_is_not_cut_by_the_end_of_the_process() {
    const LENGTH: usize = 8 << 20;
    let upstream = Upstream::serving(async |_: Request<Incoming>| Response::new(zeros(LENGTH))).await;
    let config =
        "shutdown: { settle: 0s, grace: 60s }\nstore: { memory: {} }\nrules: [{ name: a, rate: 1000/s }]\n";
    let mut tidegate = Tidegate::configured(upstream.address, config).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    assert!(wire.head().await.unwrap().contains(" 200 "));
    tidegate.signal("TERM");
    // All of it has left the application long before; only this client is slow, slower than any goodbye.
    let mut read = 0;
    for _ in 0..8 {
        // A client's own slowness, longer in all than any goodbye: no clock of ours is in it.
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        read += wire.exactly(LENGTH / 8).await.expect("the answer was cut").len();
    }
    assert_eq!(read, LENGTH);
    assert!(tidegate.ended().await.success());
}

#[tokio::test]
async fn codings_that_nobody_would_undo_are_the_applications_fault() {
    for coding in ["gzip, chunked", "gzip"] {
        let text = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n1\r\nx\r\n0\r\n\r\n");
        let upstream = saying(text.leak()).await;
        let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
        assert_eq!(client().get(tidegate.url("/")).send().await.unwrap().status(), 502, "{coding}");
    }
}

#[tokio::test]
async fn an_upstream_that_closes_each_connection_is_tried_at_most_three_times() {
    let upstream = Upstream::raw(async |stream| drop(stream)).await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let status = client().get(tidegate.url("/")).send().await.unwrap().status();
    assert!(matches!(status.as_u16(), 502 | 503), "{status}");
    assert!(upstream.connections() <= 3, "{} connections", upstream.connections());
}

#[tokio::test]
async fn cookies_in_crumbs_are_one_field_however_many() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut request = h2_client().get(tidegate.url("/"));
    for number in 0..150 {
        request = request.header("cookie", format!("c{number}=1"));
    }
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(upstream.last().headers.get_all("cookie").iter().count(), 1);
}

#[tokio::test]
async fn fields_about_the_client_are_taken_from_trusted_peers_only() {
    let upstream = Upstream::start().await;
    let rules = "store: { memory: {} }\nrules: [{ name: a, rate: 1000/s }]\n";
    let config = format!("client: {{ trusted_proxies: [192.0.2.0/24] }}\n{rules}");
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    let mut wire = Wire::to(tidegate.address).await;
    let forged = ["X-Real-IP: 192.0.2.9", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /admin"];
    assert_eq!(wire.ask("GET /", &forged).await.status, 200);
    let seen = upstream.last().headers;
    for name in ["x-real-ip", "x-forwarded-port", "x-forwarded-prefix"] {
        assert!(!seen.contains_key(name), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn what_stands_for_an_unreadable_request_cannot_be_forged() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for before in ["", "\r\n", "\r\n\r\n"] {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send(format!("{before}- / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert_eq!(wire.reply().await.status, 400, "{before:?}");
        assert!(wire.is_closed().await);
    }
    assert!(upstream.seen().is_empty());
}

const NO_URIS: [&str; 3] = ["/x?q=<a>", "/x?q=\"a\"", "/x<>"];

#[tokio::test]
async fn a_target_that_is_no_uri_is_counted() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for target in NO_URIS {
        Wire::to(tidegate.address).await.ask(&format!("GET {target}"), &[]).await;
    }
    assert_eq!(tidegate.counted("", "rejected").await, 3.0);
}

#[tokio::test]
async fn a_target_that_is_no_uri_gets_a_problem() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for target in NO_URIS {
        let mut wire = Wire::to(tidegate.address).await;
        let reply = wire.ask(&format!("GET {target}"), &[]).await;
        assert_eq!(
            (reply.status, reply.headers["content-type"].as_bytes()),
            (400, &b"application/problem+json"[..])
        );
    }
}

#[tokio::test]
async fn a_process_that_ends_leaves_the_socket_of_its_successor() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("s");
    let config = format!(
        "listen: unix:{}\nupstream: http://{}\nstore: {{ memory: {{}} }}\nshutdown: {{ settle: 0s, grace: 1s }}\nrules: [{{ name: a, rate: 1000/s }}]\n",
        socket.display(),
        upstream.address
    );
    let mut first = Tidegate::described(&config).await;
    std::fs::remove_file(&socket).unwrap();
    let _second = Tidegate::described(&config).await;
    first.signal("TERM");
    assert!(first.ended().await.success());
    let stream = tokio::net::UnixStream::connect(&socket).await.expect("the socket is gone");
    assert_eq!(Wire::over(stream).ask("GET /", &[]).await.status, 200);
}

#[tokio::test]
async fn one_client_does_not_get_all_of_the_application() {
    let upstream = Upstream::serving(async |request: Request<Incoming>| {
        if request.uri().path() == "/hang" {
            std::future::pending::<()>().await;
        }
        Response::new(crate::harness::full("ok"))
    })
    .await;
    let config =
        "bounds: { requests_per_client: 2 }\nstore: { memory: {} }\nrules: [{ name: a, rate: 1000/s }]\n";
    let tidegate = Tidegate::configured(upstream.address, config).await;
    let mut hanging = Vec::new();
    for number in 1..=2 {
        let mut wire = Wire::to(tidegate.address).await;
        wire.send("GET /hang HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
        hanging.push(wire);
        eventually("the request at the application", async || {
            (upstream.seen().len() == number).then_some(())
        })
        .await;
    }
    let mut wire = Wire::to(tidegate.address).await;
    let refused = wire.ask("GET /", &[]).await;
    assert_eq!((refused.status, refused.headers.contains_key("retry-after")), (429, true));
    let series = "tidegate_bound_exceeded_total{bound=\"requests_per_client\"}";
    assert_eq!(tidegate.metric(series).await, Some(1.0));
    hanging.pop();
    eventually("room again", async || (wire.ask("GET /", &[]).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn an_answer_to_http_1_0_that_breaks_off_does_not_end_as_if_it_were_whole() {
    let upstream = Upstream::raw(async |stream| {
        let mut wire = Wire::over(stream);
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n").await;
    })
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut stream = tokio::net::TcpStream::connect(tidegate.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").await.unwrap();
    let read = stream.read_to_end(&mut Vec::new()).await;
    assert_eq!(read.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
}
