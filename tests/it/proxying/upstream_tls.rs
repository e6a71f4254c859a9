//! An application behind TLS: whom tidegate believes, and how often it says that it does not.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Certificates, Dialect, Tidegate, Upstream, client, eventually};

/// tidegate before it, with a new connection for every request.
async fn before(upstream: &Upstream, ca: &Path, more: &str) -> Tidegate {
    let config = format!(
        "upstream: {{ url: '{}', idle_timeout: 0s, tls: {{ ca_file: '{}'{more} }} }}\n\
         store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1000000/s }}]",
        upstream.url(),
        ca.display()
    );
    Tidegate::described(&config).await
}

async fn status(tidegate: &Tidegate) -> u16 {
    let answer = client().get(tidegate.url("/")).send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(status == 503, answer.headers().contains_key("retry-after"));
    status
}

async fn becomes(tidegate: &Tidegate, want: u16) {
    eventually(&format!("a {want}"), async || (status(tidegate).await == want).then_some(())).await;
}

const LOST: &str = "the upstream cannot be reached";
const BACK: &str = "the upstream can be reached again";

/// Waits for the newest line, and looks that there are no more than so many.
async fn told(tidegate: &Tidegate, what: &str, times: usize) -> serde_json::Value {
    let enough = async || (tidegate.logged(what).len() >= times).then(|| tidegate.logged(what));
    let mut lines = eventually(what, enough).await;
    assert_eq!(lines.len(), times, "{lines:#?}");
    lines.pop().unwrap()
}

#[tokio::test]
async fn a_renewed_authority_is_believed_from_the_next_connection_on() {
    let (own, other) = (Certificates::new(), Certificates::new());
    let upstream = Upstream::start_as(Dialect::Tls(own.clone(), &["http/1.1"])).await;
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::copy(own.ca(), &ca).unwrap();
    let tidegate = before(&upstream, &ca, "").await;
    for _ in 0..3 {
        assert_eq!(status(&tidegate).await, 200);
    }
    for round in 1..=2 {
        std::fs::copy(other.ca(), &ca).unwrap();
        becomes(&tidegate, 503).await;
        for _ in 0..20 {
            assert_eq!(status(&tidegate).await, 503);
        }
        let line = told(&tidegate, LOST, round).await;
        assert_eq!(line["level"], "WARN");
        let reached = upstream.seen().len();
        std::fs::copy(own.ca(), &ca).unwrap();
        becomes(&tidegate, 200).await;
        assert_eq!(upstream.seen().len(), reached + 1, "a request went to somebody who was not believed");
        for _ in 0..5 {
            assert_eq!(status(&tidegate).await, 200);
        }
        told(&tidegate, BACK, round).await;
        told(&tidegate, LOST, round).await;
    }
}

const PROTOCOLS: [&[&str]; 2] = [&["http/1.1"], &["h2"]];

#[tokio::test]
async fn one_of_another_name_is_not_trusted() {
    let certificates = Certificates::new();
    for protocols in PROTOCOLS {
        let upstream = Upstream::start_as(Dialect::Tls(certificates.clone(), protocols)).await;
        let ca = certificates.ca();
        let tidegate = before(&upstream, ca.as_ref(), ", server_name: elsewhere.test").await;
        assert_eq!(status(&tidegate).await, 503);
        assert!(upstream.seen().is_empty());
        let tidegate = before(&upstream, ca.as_ref(), ", server_name: localhost").await;
        becomes(&tidegate, 200).await;
    }
}

#[tokio::test]
async fn one_of_another_name_is_reported_once() {
    let certificates = Certificates::new();
    for protocols in PROTOCOLS {
        let upstream = Upstream::start_as(Dialect::Tls(certificates.clone(), protocols)).await;
        let ca = certificates.ca();
        let tidegate = before(&upstream, ca.as_ref(), ", server_name: elsewhere.test").await;
        for _ in 0..10 {
            assert_eq!(status(&tidegate).await, 503);
        }
        let line = told(&tidegate, LOST, 1).await;
        assert_eq!(line["level"], "WARN");
        assert!(line["error"].as_str().is_some_and(|error| error.contains("elsewhere.test")), "{line}");
        assert!(upstream.seen().is_empty());
    }
}

/// The `Proxy-Status` and the detail of a 503.
async fn refusal(tidegate: &Tidegate) -> (String, String) {
    let answer = client().get(tidegate.url("/")).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    let status = answer.headers()["proxy-status"].to_str().unwrap().to_owned();
    let problem: Value = answer.json().await.unwrap();
    (status, problem["detail"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_tls_is_reported_as_that() {
    let certificates = Certificates::new();
    let ca = certificates.ca();
    for dialect in [Dialect::Http1, Dialect::H2c] {
        let upstream = Upstream::start_as(dialect).await;
        let config = format!(
            "upstream: {{ url: 'https://{}', tls: {{ ca_file: '{ca}' }} }}\n\
             store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1000000/s }}]",
            upstream.address
        );
        let tidegate = Tidegate::described(&config).await;
        let (status, detail) = refusal(&tidegate).await;
        assert_eq!(status, "tidegate; error=tls_protocol_error");
        assert_eq!(detail, "the upstream does not speak TLS");
        let line = told(&tidegate, LOST, 1).await;
        assert!(line["error"].as_str().unwrap().starts_with("the upstream does not speak TLS: "), "{line}");
        let unreachable = "tidegate_upstream_errors_total{error=\"unreachable\"}";
        assert_eq!(tidegate.metric(unreachable).await, Some(1.0));
    }
}

#[tokio::test]
async fn an_upstream_that_stays_silent_in_the_tls_handshake_is_reported_as_that() {
    let upstream = Upstream::raw(async |_stream| std::future::pending::<()>().await).await;
    let config = format!(
        "upstream: {{ url: 'https://{}', connect_timeout: 100ms }}\n\
         store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1000000/s }}]",
        upstream.address
    );
    let tidegate = Tidegate::described(&config).await;
    let want = "the upstream did not complete the TLS handshake in time: it may not speak TLS";
    let (status, detail) = refusal(&tidegate).await;
    assert_eq!((&*status, &*detail), ("tidegate; error=connection_timeout", want));
    assert_eq!(told(&tidegate, LOST, 1).await["error"], want);
    let bound = "tidegate_bound_exceeded_total{bound=\"upstream_connect\"}";
    assert_eq!(tidegate.metric(bound).await, Some(1.0));
}

#[tokio::test]
async fn a_certificate_of_the_upstream_that_is_not_valid_now_is_reported_with_its_date() {
    for (from, until, want) in [
        (2020, 2021, "the upstream's certificate expired on 2021-01-01T00:00:00Z"),
        (4000, 4001, "the upstream's certificate is not valid before 4000-01-01T00:00:00Z"),
        (2021, 2020, "the upstream's certificate is never valid: it ends before it begins"),
    ] {
        let certificates = Certificates::between(from, until);
        let upstream = Upstream::start_as(Dialect::Tls(certificates.clone(), &["http/1.1"])).await;
        let tidegate = before(&upstream, certificates.ca().as_ref(), "").await;
        let (status, detail) = refusal(&tidegate).await;
        assert_eq!((&*status, &*detail), ("tidegate; error=tls_certificate_error", want));
        let line = told(&tidegate, LOST, 1).await;
        assert!(line["error"].as_str().unwrap().starts_with(want), "{line}");
    }
}

#[tokio::test]
async fn an_untrusted_certificate_of_the_upstream_is_reported_as_that() {
    let (own, other) = (Certificates::new(), Certificates::new());
    let upstream = Upstream::start_as(Dialect::Tls(own, &["http/1.1"])).await;
    let tidegate = before(&upstream, other.ca().as_ref(), "").await;
    let (status, detail) = refusal(&tidegate).await;
    assert_eq!(status, "tidegate; error=tls_certificate_error");
    assert_eq!(detail, "the upstream's certificate is not accepted");
}
