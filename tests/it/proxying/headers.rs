//! What is taken off a message's header on its way, what is put on, and what stays.

use http::{HeaderMap, Response};

use super::GENEROUS;
use crate::harness::{Tidegate, Upstream, Wire, client, full, h2_client};

/// An application whose answers carry these header fields.
async fn answering(fields: &'static [(&'static str, &'static str)]) -> Upstream {
    Upstream::serving(move |_| async move {
        let mut answer = Response::builder();
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        answer.body(full("ok")).unwrap()
    })
    .await
}

fn all<'h>(headers: &'h HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[tokio::test]
async fn fields_of_one_hop_do_not_reach_the_application() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    let answer = wire.ask(
        "POST /",
        &[
            "Connection: keep-alive, X-Named , x-other, Host, Content-Length, X-Forwarded-For, X-Real-Thing",
            "X-Named: 1",
            "X-Other: 2",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "Proxy-Authorization: Basic eDp5",
            "TE: gzip",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABk",
            "X-Kept: 3",
            "Content-Length: 0",
            "X-Forwarded-For: 203.0.113.9",
        ],
    );
    assert_eq!(answer.await.status, 200);
    let headers = upstream.last().headers;
    for name in [
        "connection",
        "x-named",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "upgrade",
        "transfer-encoding",
    ] {
        assert_eq!(all(&headers, name), [""; 0], "{name} reached the application");
    }
    assert_eq!(all(&headers, "x-kept"), ["3"]);
    assert_eq!(all(&headers, "host"), ["app.test"], "Connection took the Host away");
    assert_eq!(all(&headers, "content-length"), ["0"], "Connection took the length away");
    assert_eq!(all(&headers, "x-forwarded-for"), ["127.0.0.1"], "Connection took our own field away");
}

#[tokio::test]
async fn a_body_keeps_its_length_whatever_connection_names() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.send(
        "POST / HTTP/1.1\r\nHost: app.test\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    assert_eq!(wire.reply().await.status, 200);
    assert_eq!(all(&upstream.last().headers, "content-length"), ["5"]);
    assert_eq!(wire.ask("GET /next", &[]).await.status, 200);
}

#[tokio::test]
async fn of_te_only_trailers_is_passed_on() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /", &["Connection: TE", "TE: deflate;q=0.5, Trailers"]).await.status, 200);
    assert_eq!(all(&upstream.last().headers, "te"), ["trailers"]);
    let request = h2_client().get(tidegate.url("/")).header("te", "trailers");
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(all(&upstream.last().headers, "te"), ["trailers"]);
}

#[tokio::test]
async fn fields_of_one_hop_do_not_reach_the_client() {
    let upstream = answering(&[
        ("connection", "x-named, content-length"),
        ("x-named", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authenticate", "Basic"),
        ("x-kept", "3"),
    ])
    .await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for client in [client(), h2_client()] {
        let answer = client.get(tidegate.url("/")).send().await.unwrap();
        for name in ["connection", "x-named", "keep-alive", "proxy-connection", "proxy-authenticate"] {
            assert_eq!(all(answer.headers(), name), [""; 0], "{name} reached the client");
        }
        assert_eq!(all(answer.headers(), "x-kept"), ["3"]);
        assert_eq!(all(answer.headers(), "content-length"), ["2"]);
        assert_eq!(answer.text().await.unwrap(), "ok");
    }
}

#[tokio::test]
async fn the_forwarding_fields_describe_how_the_client_came() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    for client in [client(), h2_client()] {
        assert_eq!(client.get(tidegate.url("/")).send().await.unwrap().status(), 200);
        let (headers, own) = (upstream.last().headers, tidegate.address.to_string());
        assert_eq!(all(&headers, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(all(&headers, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&headers, "x-forwarded-host"), [&*own]);
        assert_eq!(
            all(&headers, "host"),
            [&*own],
            "the application is asked for another host than the client named"
        );
    }
}

#[tokio::test]
async fn what_proxies_before_wrote_is_kept() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    let answer = wire.ask(
        "GET /",
        &[
            "X-Forwarded-For: 203.0.113.9, 10.1.1.1",
            "X-Forwarded-For: 10.2.2.2",
            "X-Forwarded-Proto: https",
            "X-Forwarded-Host: shop.test",
            "Forwarded: for=203.0.113.9",
            "Via: 1.1 edge",
        ],
    );
    assert_eq!(answer.await.status, 200);
    let headers = upstream.last().headers;
    assert_eq!(all(&headers, "x-forwarded-for"), ["203.0.113.9, 10.1.1.1, 10.2.2.2, 127.0.0.1"]);
    assert_eq!(all(&headers, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&headers, "x-forwarded-host"), ["shop.test"]);
    assert_eq!(all(&headers, "forwarded"), ["for=203.0.113.9"]);
    assert_eq!(all(&headers, "host"), ["app.test"]);
}

#[tokio::test]
async fn the_applications_own_rate_limit_fields_stand_beside_ours() {
    let upstream = answering(&[
        ("ratelimit", "\"theirs\";r=1;t=2"),
        ("ratelimit-policy", "\"theirs\";q=3;w=4"),
        ("retry-after", "7"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ])
    .await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/=5/min"]).await;
    let answer = client().get(tidegate.url("/")).send().await.unwrap();
    let ours = all(answer.headers(), "ratelimit");
    assert_eq!(ours[0], "\"theirs\";r=1;t=2");
    assert!(ours[1].starts_with("\"root\";r=4;t="), "{ours:?}");
    assert_eq!(all(answer.headers(), "ratelimit-policy"), ["\"theirs\";q=3;w=4", "\"root\";q=5;w=60"]);
    assert_eq!(all(answer.headers(), "retry-after"), ["7"]);
    assert_eq!(all(answer.headers(), "set-cookie"), ["a=1", "b=2"]);
}

#[tokio::test]
async fn compressed_bodies_pass_as_they_are() {
    let upstream = answering(&[("content-encoding", "gzip"), ("vary", "accept-encoding")]).await;
    let tidegate = Tidegate::start(upstream.address, GENEROUS).await;
    let mut wire = Wire::to(tidegate.address).await;
    let answer = wire.ask("GET /", &["Accept-Encoding: gzip, br"]).await;
    assert_eq!(all(&upstream.last().headers, "accept-encoding"), ["gzip, br"]);
    assert_eq!((all(&answer.headers, "content-encoding"), &*answer.body), (vec!["gzip"], &b"ok"[..]));
}
