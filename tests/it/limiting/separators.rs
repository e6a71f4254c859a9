//! Encoded slashes and backslashes: forwarded as they are, and counted as whatever an upstream may take them for.

use crate::harness::h2_wire::{END_STREAM, Frames, Outcome};
use crate::harness::{Tidegate, Upstream, Wire};
use crate::lenient::readings;

const STRICT: &str = "/admin/users";

/// A strict rule, which the first request exhausts, and a laxer one for everything else.
const RULES: &str = "
store: { memory: {} }
rules:
  - { name: strict, match: { path: /admin/users }, key: [], rate: 1/h }
  - { name: lax, match: { path: '/*' }, key: [], rate: 100000/h }
";

/// Spellings that some server takes for the path of the strict rule.
#[rustfmt::skip]
const COUNTED: &[&str] = &[
    "/admin%2Fusers", "/admin%2fusers", "/admin%5Cusers", "/admin%5cusers", "/admin%2Fusers%2F", "/admin%2Fusers/",
    "/admin%5Cusers%5C", "/admin/users%2F", "/admin/users%5C", "/admin%2Fusers;v=1",
    "/%61dmin%2F%75sers", "//admin%2Fusers", "/./admin%2Fusers", "/x/../admin%2Fusers", "/admin%2Fusers/.",
    "/admin%2Fusers/x/..", "/admin%2Fusers?a=b", "/%2e/admin%5Cusers/",
];

/// Spellings with further readings, of which a server may take one or another.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "/admin%2F..%2Fadmin%2Fusers", "/x%2F..%2Fadmin%2Fusers", "/x%5C..%5Cadmin%5Cusers", "/x/..%2Fadmin%2Fusers",
    "/admin%2F.%2Fusers", "/admin%2F%2e%2Fusers", "/admin%2F%2Fusers", "/admin/%2Fusers", "/admin%2F/users",
    "/%2Fadmin/users", "/admin%5C%5Cusers", "/admin%2F%5Cusers", "/x%5Cy/..%2Fadmin%2Fusers",
    "/admin%2Fusers%2F.", "/admin%2Fusers%2Fx%2F..", "/..%2Fadmin%2Fusers", "/%2e%2e%5Cadmin%5Cusers",
    "/admin%2Fusers%2F%2F", "/admin%2Fusers;%2Fx",
];

/// Paths of applications in wide use, which the laxer rule admits.
#[rustfmt::skip]
const NEEDED: &[&str] = &[
    // GitLab, npm, Artifactory, S3 and GCS, Elasticsearch, Kubernetes, a name of a file of Windows, Jira, CouchDB.
    "/api/v4/projects/group%2Fproject/issues", "/api/v4/projects/a%2Fb%2Fc/repository/files/src%2Fmain.rs/raw",
    "/@scope%2fname", "/@scope%2Fname/-/name-1.0.0.tgz", "/api/storage/repo/a%2Fb.jar", "/bucket/a%2Fb%2Fc.txt",
    "/storage/v1/b/bucket/o/dir%2Ffile.txt", "/%3Clogstash-%7Bnow%2Fd%7D%3E/_search",
    "/files/C%3A%5CUsers%5Cx.txt", "/rest/api/issue/ABC-1%2F2", "/db/_design%2Fviews/_view/all",
    "/static/.well-known%2Fx", "/a%2Fb.c/..d%2F...", "/date/28%2F11%2F2026", "/dir%2F", "/a%252Fb",
];

async fn with_strict_rule_exhausted(upstream: &Upstream) -> Tidegate {
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    assert_eq!(Wire::to(tidegate.address).await.ask(&format!("GET {STRICT}"), &[]).await.status, 200);
    tidegate
}

async fn status(tidegate: &Tidegate, path: &str) -> u16 {
    Wire::to(tidegate.address).await.ask(&format!("GET {path}"), &[]).await.status
}

async fn status_over_http2(tidegate: &Tidegate, path: &str) -> Outcome {
    let mut frames = Frames::to(tidegate.address).await;
    let target = [(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", path)];
    frames.headers(1, &target, END_STREAM).await;
    frames.outcome(1).await
}

#[tokio::test]
async fn no_spelling_escapes_the_strict_rule() {
    let upstream = Upstream::start().await;
    let tidegate = with_strict_rule_exhausted(&upstream).await;
    for (paths, want) in [(COUNTED, 429), (REFUSED, 400)] {
        for path in paths {
            assert!(readings(path).contains(STRICT.as_bytes()), "no server takes {path} for {STRICT}");
            assert_eq!(status(&tidegate, path).await, want, "{path}");
            assert_eq!(status_over_http2(&tidegate, path).await, Outcome::Status(want), "{path} over HTTP/2");
        }
    }
    for path in ["/admin\\users", "/admin\\users\\", "/admin;a=1%2Fusers", "/x%2Fy/../admin%2Fusers"] {
        assert_eq!(status(&tidegate, path).await, 429, "{path}");
    }
    assert_eq!(upstream.seen().len(), 1, "a refused request was forwarded");
    assert!(COUNTED.len() + REFUSED.len() >= 30);
}

#[tokio::test]
async fn no_path_that_applications_need_is_refused_or_changed() {
    let upstream = Upstream::start().await;
    let tidegate = with_strict_rule_exhausted(&upstream).await;
    for path in NEEDED {
        let upper = path.replace("%2f", "%2F");
        assert_eq!(status(&tidegate, path).await, 200, "{path}");
        assert_eq!(upstream.last().target, upper, "{path}");
        assert_eq!(status_over_http2(&tidegate, path).await, Outcome::Status(200), "{path} over HTTP/2");
        assert_eq!(upstream.last().target, upper, "{path} over HTTP/2");
    }
}

#[tokio::test]
async fn a_bypass_must_admit_both_readings() {
    let upstream = Upstream::start().await;
    let config = "
store: { memory: {} }
bypass:
  - { name: public, paths: ['/public/*'] }
  - { name: one-segment, paths: ['/{name}'] }
rules: [{ name: rest, key: [], rate: 1/h }]";
    let tidegate = Tidegate::configured(upstream.address, config).await;
    assert_eq!(status(&tidegate, "/a/b").await, 200, "the one request of the rule");
    for (path, want) in [
        ("/public/a%2Fb", 200),
        // One reading passes by one bypass, and the other by the other.
        ("/public%2Fa", 200),
        // Decoded it is below /private.
        ("/private%2Fa", 429),
        // As it is sent it is not below /public.
        ("/public%2Fa/b", 429),
    ] {
        assert_eq!(status(&tidegate, path).await, want, "{path}");
    }
}

/// The rules of both readings of `/p/a%2Fb` and `/k/a%2Fb/c`.
const TWO: &str = "
store: { memory: {} }
rules:
  - { name: as-sent, match: { path: '/p/{id}' }, key: [], rate: 3/h }
  - { name: decoded, match: { path: /p/a/b }, key: [], rate: 2/h }
  - { name: keyed, match: { path: '/k/{id}/*' }, key: ['path:id'], rate: 1/h }
  - { name: trial, match: { path: '/t/{id}' }, key: [], mode: shadow, rate: 1/h }
";

#[tokio::test]
async fn the_rules_of_both_readings_are_charged_together_or_not_at_all() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, TWO).await;
    let mut statuses = Vec::new();
    for path in ["/p/a%2Fb", "/p/a%2Fb", "/p/a%2Fb", "/p/a/b", "/p/x", "/p/x"] {
        statuses.push(status(&tidegate, path).await);
    }
    // The third request is refused by `decoded` alone: `as-sent` keeps its last unit for another path.
    assert_eq!(statuses, [200, 200, 429, 429, 200, 429]);
}

#[tokio::test]
async fn the_keys_of_both_readings_are_charged() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, TWO).await;
    assert_eq!(status(&tidegate, "/k/a%2Fb/c").await, 200);
    for path in ["/k/a/x", "/k/a%2Fb/x", "/k/a%2Fother/x"] {
        assert_eq!(status(&tidegate, path).await, 429, "{path}");
    }
    assert_eq!(status(&tidegate, "/k/b/x").await, 200);
}

#[tokio::test]
async fn a_rule_that_both_readings_find_is_charged_once() {
    let upstream = Upstream::start().await;
    let config = "store: { memory: {} }\nrules: [{ name: all, key: [], rate: 3/h }]\nglobal: [{ name: total, rate: 4/h }]";
    let tidegate = Tidegate::configured(upstream.address, config).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(status(&tidegate, "/a%2Fb").await);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
}

#[tokio::test]
async fn a_rule_on_trial_refuses_neither_reading() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, TWO).await;
    for _ in 0..3 {
        assert_eq!(status(&tidegate, "/t/a%2Fb").await, 200);
    }
    assert_eq!(upstream.last().headers["x-ratelimit-exceeded"], "trial");
}
