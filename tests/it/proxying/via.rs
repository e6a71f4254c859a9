//! What messages tell of their way: Via and Forwarded.

use crate::harness::{Tidegate, Upstream, Wire, h2_client};

async fn before(upstream: &Upstream, rest: &str) -> Tidegate {
    let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
    Tidegate::described(&format!("upstream: {}\n{rest}\n{rules}", upstream.url())).await
}

fn all(headers: &http::HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter().map(|value| value.to_str().unwrap());
    values.collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn via_names_each_proxy_with_the_protocol_it_received() {
    let upstream = Upstream::start().await;
    let tidegate = before(&upstream, "").await;
    let mut wire = Wire::to(tidegate.address).await;
    let reply = wire.ask("GET /", &[]).await;
    assert_eq!(all(&upstream.last().headers, "via"), "1.1 tidegate");
    assert_eq!(all(&reply.headers, "via"), "1.1 tidegate");
    wire.ask("GET /", &["Via: 1.0 fred, 1.1 p.example.net"]).await;
    assert_eq!(all(&upstream.last().headers, "via"), "1.0 fred, 1.1 p.example.net, 1.1 tidegate");
    wire.send("GET / HTTP/1.0\r\nHost: app.test\r\n\r\n").await;
    assert_eq!(wire.reply().await.status, 200);
    assert_eq!(all(&upstream.last().headers, "via"), "1.0 tidegate");
    let answer = h2_client().get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let via = all(&upstream.last().headers, "via");
    assert!(matches!(&*via, "2 tidegate" | "2.0 tidegate"), "{via}");
}

#[tokio::test]
async fn forwarded_is_written_by_option_only() {
    let upstream = Upstream::start().await;
    let tidegate = before(&upstream, "").await;
    Wire::to(tidegate.address).await.ask("GET /", &[]).await;
    assert!(!upstream.last().headers.contains_key("forwarded"));

    let tidegate = before(&upstream, "forwarded: true").await;
    let mut wire = Wire::to(tidegate.address).await;
    wire.ask("GET /", &[]).await;
    let headers = upstream.last().headers;
    let mut pairs: Vec<String> = all(&headers, "forwarded").split(';').map(str::to_ascii_lowercase).collect();
    pairs.sort_unstable();
    pairs.retain(|pair| !pair.starts_with("by="));
    assert_eq!(pairs, ["for=127.0.0.1", "host=app.test", "proto=http"]);
    assert_eq!(all(&headers, "x-forwarded-for"), "127.0.0.1");
    // What stands in a Host can end no quoted text: a port makes it one.
    wire.send("GET / HTTP/1.1\r\nHost: app.test:8080\r\n\r\n").await;
    wire.reply().await;
    let forwarded = all(&upstream.last().headers, "forwarded").to_ascii_lowercase();
    assert!(forwarded.contains("host=\"app.test:8080\""), "{forwarded}");
}

#[tokio::test]
async fn forwarded_keeps_only_what_trusted_proxies_wrote() {
    let upstream = Upstream::start().await;
    let trusting = "forwarded: true\nclient: { trusted_proxies: [127.0.0.0/8] }";
    let distrusting = "forwarded: true\nclient: { trusted_proxies: [192.0.2.0/24] }";
    for (rest, kept) in [(trusting, true), (distrusting, false)] {
        let tidegate = before(&upstream, rest).await;
        let mut wire = Wire::to(tidegate.address).await;
        wire.ask("GET /", &["Forwarded: for=203.0.113.9;proto=https"]).await;
        let forwarded = all(&upstream.last().headers, "forwarded").to_ascii_lowercase();
        let (before, own) = forwarded.rsplit_once(',').unwrap_or(("", &forwarded));
        assert_eq!(before.contains("for=203.0.113.9"), kept, "{rest}: {forwarded}");
        assert!(own.contains("for=127.0.0.1"), "{rest}: {forwarded}");
    }
}
