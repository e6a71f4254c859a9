//! Secrets of bypasses: none reaches the upstream, and wrong ones are reported.

use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{
    Dialect, Tidegate, Upstream, Wire, client_from, eventually, frames, full, h2_client, h2_over,
};

const SECRET: &str = "correct-horse-battery";
const OTHER: &str = "staple-of-the-other-team";
const RIGHT: &str = "X-Internal-Token: correct-horse-battery";
const WRONG: &str = "X-Internal-Token: correct-horse-batterx";

/// tidegate before this upstream, and the files with its secrets.
async fn start(upstream: &Upstream) -> (Tidegate, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, secret: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, secret).unwrap();
        path.display().to_string()
    };
    let config = format!(
        "upstream: {}
store: {{ memory: {{}} }}
bypass:
  - {{ name: probes, paths: [/healthz] }}
  - {{ name: batch, cidrs: [127.0.0.2] }}
  - {{ name: internal, header: X-Internal-Token, secret_file: '{}' }}
  - {{ name: partner, header: X-Internal-Token, secret_file: '{}' }}
  - {{ name: ops, header: X-Ops, secret_file: '{}' }}
rules: [{{ name: limited, match: {{ path: /limited }}, rate: 1000/s }}]
",
        upstream.url(),
        file("internal", SECRET),
        file("partner", OTHER),
        file("ops", "an-operator-comes-along")
    );
    (Tidegate::described(&config).await, directory)
}

/// The upstream's values of the header, after a request with these lines.
async fn forwarded(line: &str, headers: &[&str]) -> Vec<String> {
    let upstream = Upstream::start().await;
    let (tidegate, _secrets) = start(&upstream).await;
    let reply = Wire::to(tidegate.address).await.ask(line, headers).await;
    assert_eq!(reply.status, 200);
    tokens(&upstream.last().headers)
}

fn tokens(headers: &HeaderMap) -> Vec<String> {
    headers.get_all("x-internal-token").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

const NONE: [&str; 0] = [];

#[tokio::test]
async fn the_secret_that_lets_a_request_through_is_not_forwarded() {
    assert_eq!(forwarded("GET /limited", &[RIGHT]).await, NONE);
}

#[tokio::test]
async fn the_secret_is_not_forwarded_where_a_path_lets_the_request_through() {
    assert_eq!(forwarded("GET /healthz", &[RIGHT]).await, NONE);
}

#[tokio::test]
async fn the_secret_is_not_forwarded_where_a_network_lets_the_request_through() {
    let upstream = Upstream::start().await;
    let (tidegate, _secrets) = start(&upstream).await;
    let request = client_from("127.0.0.2").get(tidegate.url("/limited")).header("X-Internal-Token", SECRET);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(tidegate.counted("batch", "bypassed").await, 1.0);
    assert_eq!(tokens(&upstream.last().headers), NONE);
}

#[tokio::test]
async fn the_secret_of_another_bypass_is_not_forwarded() {
    let other = format!("X-Internal-Token: {OTHER}");
    assert_eq!(forwarded("GET /limited", &[&other]).await, NONE);
}

#[tokio::test]
async fn a_secret_that_comes_twice_is_not_forwarded() {
    assert_eq!(forwarded("GET /limited", &[RIGHT, RIGHT]).await, NONE);
}

#[tokio::test]
async fn beside_the_secret_another_value_is_forwarded() {
    for lines in [[RIGHT, WRONG], [WRONG, RIGHT]] {
        assert_eq!(forwarded("GET /limited", &lines).await, ["correct-horse-batterx"]);
    }
}

#[tokio::test]
async fn another_value_of_the_field_is_the_upstreams() {
    assert_eq!(forwarded("GET /limited", &[WRONG]).await, ["correct-horse-batterx"]);
}

#[tokio::test]
async fn the_secret_is_not_forwarded_over_http2() {
    let upstream = Upstream::start().await;
    let (tidegate, _secrets) = start(&upstream).await;
    let request = h2_client().get(tidegate.url("/limited")).header("X-Internal-Token", SECRET);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(tokens(&upstream.last().headers), NONE);
    assert_eq!(tidegate.counted("internal", "bypassed").await, 1.0);
}

#[tokio::test]
async fn a_secret_with_blanks_around_it_is_not_forwarded() {
    let upstream = Upstream::start().await;
    let (tidegate, _secrets) = start(&upstream).await;
    let padded = format!(" {SECRET}\t");
    let request = h2_client().get(tidegate.url("/limited")).header("X-Internal-Token", padded);
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(tokens(&upstream.last().headers), NONE);
    assert_eq!(tidegate.counted("internal", "bypassed").await, 0.0);
    assert_eq!(rejected(&tidegate, "internal").await, Some(1.0));
}

#[tokio::test]
async fn the_secret_of_a_grpc_call_is_not_forwarded() {
    let upstream = Upstream::start_as(Dialect::H2c).await;
    let (tidegate, _secrets) = start(&upstream).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let call = Request::post("http://app.test/limited")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-internal-token", SECRET)
        .body(full("x"))
        .unwrap();
    let response = client.send_request(call).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert_eq!(tokens(&upstream.last().headers), NONE);
    assert_eq!(tidegate.counted("internal", "bypassed").await, 1.0);
}

#[tokio::test]
async fn the_secret_of_an_upgrade_is_not_forwarded() {
    let upgrade = ["Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"];
    let key = ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", RIGHT];
    // The upstream answers 200, which is no upgrade.
    assert_eq!(forwarded("GET /limited", &[&upgrade[..], &key[..]].concat()).await, NONE);
}

/// The trailer section that reaches the upstream of a request with `x-sum` and these in it.
async fn forwarded_trailers(fields: &[(&str, &str)]) -> HeaderMap {
    let (arrived, mut arrivals) = tokio::sync::mpsc::channel(1);
    let upstream = Upstream::speaking(Dialect::H2c, move |request: Request<hyper::body::Incoming>| {
        let arrived = arrived.clone();
        async move {
            let body = request.into_body().collect().await.unwrap();
            arrived.send(body.trailers().cloned()).await.unwrap();
            http::Response::new(full("ok"))
        }
    })
    .await;
    let (tidegate, _secrets) = start(&upstream).await;
    let mut client = h2_over(TcpStream::connect(tidegate.address).await.unwrap()).await;
    let (sender, body) = frames();
    sender.send(Frame::data("hello".into())).await.unwrap();
    let fields = fields.iter().chain(&[("x-sum", "1")]);
    let trailers = fields.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    sender.send(Frame::trailers(trailers)).await.unwrap();
    drop(sender);
    let request = Request::post("http://app.test/limited").header("te", "trailers").body(body).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
    arrivals.recv().await.unwrap().expect("the trailers are lost")
}

#[tokio::test]
async fn the_field_of_a_secret_is_not_forwarded_in_a_trailer_section() {
    for value in [SECRET, "correct-horse-batterx"] {
        let trailers =
            forwarded_trailers(&[("x-internal-token", value), ("x_internal_token", value), ("x-ops", value)])
                .await;
        assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
    }
}

async fn rejected(tidegate: &Tidegate, bypass: &str) -> Option<f64> {
    tidegate.metric(&format!("tidegate_bypass_rejected_total{{bypass=\"{bypass}\"}}")).await
}

#[tokio::test]
async fn each_request_with_a_wrong_secret_is_counted_once() {
    let upstream = Upstream::start().await;
    let (tidegate, _secrets) = start(&upstream).await;
    let mut wire = Wire::to(tidegate.address).await;
    let empty = "X-Internal-Token:";
    // Whatever lets them through, or refuses them.
    for (line, headers) in [
        ("GET /limited", &[WRONG][..]),
        ("GET /healthz", &[WRONG]),
        ("GET /elsewhere", &[empty]),
        ("GET /limited", &[RIGHT, RIGHT]),
        ("GET /limited", &[RIGHT, WRONG]),
    ] {
        wire.ask(line, headers).await;
    }
    assert_eq!(rejected(&tidegate, "internal").await, Some(5.0));
    assert_eq!(rejected(&tidegate, "partner").await, Some(5.0), "it is of the same field");
    assert_eq!(rejected(&tidegate, "ops").await, Some(0.0));
}

#[tokio::test]
async fn a_request_with_a_right_secret_or_none_is_not_counted_as_rejected() {
    let upstream = Upstream::start().await;
    let (tidegate, _secrets) = start(&upstream).await;
    let mut wire = Wire::to(tidegate.address).await;
    let other = format!("X-Internal-Token: {OTHER}");
    for headers in [&[RIGHT][..], &[&other], &[]] {
        wire.ask("GET /limited", headers).await;
    }
    for bypass in ["internal", "partner", "ops"] {
        assert_eq!(rejected(&tidegate, bypass).await, Some(0.0), "{bypass}");
    }
    assert_eq!(rejected(&tidegate, "probes").await, None, "it has no secret");
}

#[tokio::test]
async fn many_wrong_secrets_are_one_line_in_the_log() {
    let upstream = Upstream::start().await;
    let (tidegate, _secrets) = start(&upstream).await;
    let mut wire = Wire::to(tidegate.address).await;
    for _ in 0..50 {
        wire.ask("GET /limited", &["X-Ops: an-operator-comes-alone"]).await;
    }
    let line = eventually("a line in the log", async || tidegate.logged("wrong secret").pop()).await;
    assert_eq!((line["bypass"].as_str(), line["client"].as_str()), (Some("ops"), Some("127.0.0.1")));
    assert!((1..=50).contains(&line["requests"].as_u64().unwrap()), "{line}");
    assert_eq!(tidegate.logged("wrong secret").len(), 1);
    let log = format!("{:?}", tidegate.logged(""));
    assert!(!log.contains("an-operator"), "a value is in the log: {log}");
}
