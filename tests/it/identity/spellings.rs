//! One client has one bucket, however it or the proxies before it write its address.

use crate::harness::h2_wire::{END_STREAM, Frames, Outcome};
use crate::harness::{Tidegate, Upstream, Wire, client_from};

/// Header lines that all name 203.0.113.9 behind 127.0.0.1 and 10.0.0.0/8.
#[rustfmt::skip]
const IPV4: &[&[&str]] = &[
    &["203.0.113.9"], &["  203.0.113.9\t"], &["203.0.113.9:4711"], &["203.0.113.9:1"],
    &["::ffff:203.0.113.9"], &["::FFFF:CB00:7109"], &["[::ffff:203.0.113.9]:443"], &["0:0:0:0:0:ffff:203.0.113.9"],
    &["198.51.100.1, 203.0.113.9"], &["unknown, 203.0.113.9"], &["2001:db8::1, 203.0.113.9:80"],
    &["203.0.113.9, 10.1.1.1"], &["203.0.113.9,10.1.1.1:80,10.2.2.2"], &["203.0.113.9 , ::ffff:10.1.1.1"],
    &[",203.0.113.9"], &["203.0.113.9,"], &["203.0.113.9, ,\t,,"], &[" , 203.0.113.9 , 10.1.1.1 , "],
    &["203.0.113.9", ""], &["", "203.0.113.9", ","], &["198.51.100.1", "203.0.113.9"],
    &["203.0.113.9", "10.1.1.1", "10.2.2.2"], &["203.0.113.9", "10.1.1.1", ", ,"],
];

/// Header lines that all name clients in 2001:db8:1:2::/64.
#[rustfmt::skip]
const IPV6: &[&[&str]] = &[
    &["2001:db8:1:2::1"], &["2001:0DB8:0001:0002:0000:0000:0000:0001"], &["2001:db8:1:2:ffff:ffff:ffff:ffff"],
    &["[2001:db8:1:2::1]"], &["[2001:DB8:1:2::9]:443"], &["2001:db8:1:2::1%eth0"], &["[2001:db8:1:2::1%25eth0]:80"],
    &["2001:db8:1:2::192.0.2.1"], &["::1, 2001:db8:1:2::, 10.1.1.1"], &["2001:db8:1:2::1", "", "10.1.1.1"],
];

/// Lines of Forwarded that all name 203.0.113.9.
#[rustfmt::skip]
const FORWARDED: &[&[&str]] = &[
    &["for=203.0.113.9"], &["FOR=203.0.113.9"], &["for=\"203.0.113.9\""], &["For=\"203.0.113.9:4711\""],
    &["for=\"[::ffff:203.0.113.9]:80\""], &["by=10.1.1.1;for=203.0.113.9;proto=https"],
    &["for=198.51.100.1, for=203.0.113.9, for=10.1.1.1"], &["for=_hidden, for=203.0.113.9"],
    &[", for=203.0.113.9, ,;,"], &["for=203.0.113.9", "for=10.1.1.1", ""], &["host=\"a,for=198.51.100.2\";for=203.0.113.9"],
];

/// What a peer that is not trusted may write about itself.
#[rustfmt::skip]
const CLAIMS: &[&str] = &[
    "203.0.113.9", "127.0.0.1", "10.1.1.1", "203.0.113.9, 10.1.1.1", "", ",", "unknown", "::1", "127.0.0.2:1",
];

async fn start(client: &str) -> (Upstream, Tidegate) {
    let upstream = Upstream::start().await;
    let config = format!(
        "store: {{ memory: {{}} }}\nclient: {{ trusted_proxies: [127.0.0.1, 10.0.0.0/8]{client} }}\n\
         rules: [{{ name: once, key: [client_ip], rate: 1/h }}]"
    );
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    (upstream, tidegate)
}

/// The first request spends the client's only one; all spellings must be refused, over HTTP/1.1 and HTTP/2.
async fn are_one_client(tidegate: &Tidegate, name: &str, first: &str, spellings: &[&[&str]]) {
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /", &[&format!("{name}: {first}")]).await.status, 200, "{first}");
    for lines in spellings {
        let fields: Vec<String> = lines.iter().map(|line| format!("{name}: {line}")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_eq!(wire.ask("GET /", &fields).await.status, 429, "{lines:?} is another client");
        let target = [(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", "/")];
        let name = name.to_ascii_lowercase();
        let fields = target.into_iter().chain(lines.iter().map(|line| (&*name, *line)));
        let mut frames = Frames::to(tidegate.address).await;
        frames.headers(1, &fields.collect::<Vec<_>>(), END_STREAM).await;
        assert_eq!(frames.outcome(1).await, Outcome::Status(429), "{lines:?} over HTTP/2 is another client");
    }
}

#[tokio::test]
async fn every_spelling_in_x_forwarded_for_is_one_client() {
    let (_upstream, tidegate) = start("").await;
    are_one_client(&tidegate, "X-Forwarded-For", "203.0.113.9", IPV4).await;
    are_one_client(&tidegate, "X-Forwarded-For", "2001:db8:1:2::42", IPV6).await;
    assert!(IPV4.len() + IPV6.len() + FORWARDED.len() >= 40);
}

#[tokio::test]
async fn every_spelling_in_forwarded_is_one_client() {
    let (_upstream, tidegate) = start(", header: forwarded").await;
    are_one_client(&tidegate, "Forwarded", "for=203.0.113.9", FORWARDED).await;
}

#[tokio::test]
async fn whatever_an_untrusted_peer_claims_it_is_one_client() {
    let (_upstream, tidegate) = start("").await;
    let client = client_from("127.0.0.2");
    assert_eq!(client.get(tidegate.url("/")).send().await.unwrap().status(), 200);
    for claim in CLAIMS {
        for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
            let response = client.get(tidegate.url("/")).header(name, *claim).send().await.unwrap();
            assert_eq!(response.status(), 429, "{name}: {claim} is another client");
        }
    }
}
