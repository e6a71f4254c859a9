//! Ways around a rule that are none.

use crate::harness::h2_wire::{END_STREAM, Frames, Outcome};
use crate::harness::{Redis, Tidegate, Upstream, Wire, client, h2_client};

const RULES: &str = "
store: { memory: {} }
rules:
  - { name: batch, match: { methods: [GET], path: '/v1/things:batch' }, rate: 1/h }
  - { name: plan, match: { path: /plan, headers: { X-Plan: free } }, rate: 1/h }
  - { name: user, match: { path: '/users/{id}' }, key: ['path:id'], rate: 1/h }
  - { name: keyed, match: { path: /keyed }, key: ['header:X-Api-Key'], on_missing: reject, rate: 1/h }
  - { name: session, match: { path: /session }, key: ['cookie:sid'], on_missing: skip, rate: 1/h }
  - { name: trial, match: { path: /trial }, key: ['header:X-Api-Key'], on_missing: reject, mode: shadow, rate: 1/h }
";

#[tokio::test]
async fn no_spelling_of_method_or_path_escapes() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /v1/things:batch", &[]).await.status, 200);
    for line in [
        "GET /v1/things%3Abatch",
        "GET /v1/things%3abatch;v=1",
        "GET /v1;x/things:batch;",
        "get /v1/things:batch",
    ] {
        assert_eq!(wire.ask(line, &[]).await.status, 429, "{line}");
    }
    assert_eq!(wire.ask("GET /users/a@b", &[]).await.status, 200);
    assert_eq!(upstream.last().target, "/users/a@b");
    assert_eq!(wire.ask("GET /users/a%40b", &[]).await.status, 429, "one user has two quotas");
    for line in [
        "GET /users/a/..;/b",
        "GET /v1/;/things:batch",
        "GET /;x=1/v1/things:batch",
        "GET /v1/things:batch/;/",
    ] {
        assert_eq!(wire.ask(line, &[]).await.status, 400, "{line}");
    }
    assert_eq!(wire.ask("GET /plan;v=2", &[]).await.status, 200);
    assert_eq!(upstream.last().target, "/plan;v=2", "what is forwarded is not what was sent");
}

#[tokio::test]
async fn a_field_that_connection_takes_away_neither_matches_nor_keys() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let mut wire = Wire::to(tidegate.address).await;
    for number in 0..3 {
        let key = format!("X-Api-Key: {number}");
        let answer = wire.ask("GET /keyed", &[&key, "Connection: X-Api-Key"]).await;
        assert_eq!(answer.status, 400, "a key that the application never sees chose a counter");
        let answer = wire.ask("GET /plan", &["X-Plan: free", "Connection: x-plan"]).await;
        assert_eq!((answer.status, answer.headers.contains_key("ratelimit")), (200, false));
        assert!(!upstream.last().headers.contains_key("x-plan"));
    }
}

const VALUES: &str = "
store: { memory: {} }
rules:
  - { name: token, match: { path: /token, headers: { Authorization: 'Bearer *' } }, rate: 1/h }
  - { name: start, match: { path: /start, headers: { X-Plan: 'free*' } }, rate: 1/h }
  - { name: exact, match: { path: /exact, headers: { X-Plan: free } }, rate: 1/h }
";

/// A path, header fields, and whether the rule of the path takes the request.
type Valued = (&'static str, &'static [(&'static str, &'static str)], bool);

const VALUED: &[Valued] = &[
    ("/token", &[("authorization", "Bearer b")], true),
    ("/token", &[("authorization", "Bearer  b c")], true),
    ("/token", &[("authorization", "bEARER b")], true),
    ("/token", &[("authorization", "Bearer\tb")], true),
    ("/token", &[("authorization", "Basic YTpi"), ("authorization", "Bearer b")], true),
    ("/token", &[("authorization", "Bearer b"), ("authorization", "Basic YTpi")], true),
    ("/token", &[("authorization", "Bearer")], false),
    ("/token", &[("authorization", "Bearers b")], false),
    ("/token", &[("authorization", "Basic Bearer b")], false),
    ("/token", &[("x-authorization", "Bearer b")], false),
    ("/token", &[], false),
    ("/start", &[("x-plan", "free")], true),
    ("/start", &[("x-plan", "freemium")], true),
    ("/start", &[("x-plan", "free*")], true),
    ("/start", &[("x-plan", "paid"), ("x-plan", "free-2")], true),
    ("/start", &[("x-plan", "fre")], false),
    ("/start", &[("x-plan", "Free")], false),
    ("/start", &[("x-plan", "not free")], false),
    ("/exact", &[("x-plan", "paid"), ("x-plan", "free")], true),
    ("/exact", &[("x-plan", "free*")], false),
    ("/exact", &[("x-plan", "Free")], false),
];

/// Spends the one request that each rule of [`VALUES`] has room for.
async fn with_spent_values(upstream: &Upstream) -> Tidegate {
    let tidegate = Tidegate::configured(upstream.address, VALUES).await;
    let mut wire = Wire::to(tidegate.address).await;
    for (path, field) in
        [("/token", "Authorization: Bearer a"), ("/start", "X-Plan: free"), ("/exact", "X-Plan: free")]
    {
        assert_eq!(wire.ask(&format!("GET {path}"), &[field]).await.status, 200, "{path}");
    }
    tidegate
}

#[tokio::test]
async fn no_spelling_of_a_header_value_escapes() {
    let upstream = Upstream::start().await;
    let tidegate = with_spent_values(&upstream).await;
    let mut wire = Wire::to(tidegate.address).await;
    for (path, fields, taken) in VALUED {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}: \t{value} ")).collect();
        let lines: Vec<&str> = fields.iter().map(String::as_str).collect();
        let status = wire.ask(&format!("GET {path}"), &lines).await.status;
        assert_eq!(status == 429, *taken, "{path} {lines:?}: {status}");
    }
}

#[tokio::test]
async fn no_spelling_of_a_header_value_escapes_over_http2() {
    let upstream = Upstream::start().await;
    let tidegate = with_spent_values(&upstream).await;
    for (path, fields, taken) in VALUED {
        let target = [(":method", "GET"), (":scheme", "http"), (":authority", "app.test"), (":path", *path)];
        // Blanks at the ends of a value are not cut off on the way, as they are over HTTP/1.
        for (before, after) in [("", ""), (" ", "\t"), ("\t ", "")] {
            let fields: Vec<(&str, String)> =
                fields.iter().map(|(name, value)| (*name, format!("{before}{value}{after}"))).collect();
            let fields = fields.iter().map(|(name, value)| (*name, &**value));
            let all: Vec<(&str, &str)> = target.into_iter().chain(fields).collect();
            let mut frames = Frames::to(tidegate.address).await;
            frames.headers(1, &all, END_STREAM).await;
            let outcome = frames.outcome(1).await;
            assert_eq!(outcome == Outcome::Status(429), *taken, "{all:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_cookie_is_one_however_it_is_spelled() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let ask = async |client: reqwest::Client, cookies: &[&str]| {
        let request = client.get(tidegate.url("/session"));
        let request = cookies.iter().fold(request, |request, cookie| request.header("Cookie", *cookie));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask(client(), &["sid=real"]).await, 200);
    for cookies in
        [&["sid=\"real\""][..], &["a=1; sid = real"], &["sid=real; sid=real"], &["a=1", "sid=real"]]
    {
        assert_eq!(ask(client(), cookies).await, 429, "{cookies:?}");
    }
    assert_eq!(ask(h2_client(), &["a=1", "sid=other"]).await, 200);
    let cookies: Vec<_> = upstream.last().headers.get_all("cookie").iter().cloned().collect();
    assert_eq!(cookies, ["a=1; sid=other"], "HTTP/1 knows one Cookie field");
}

#[tokio::test]
async fn a_rule_on_trial_refuses_nobody_for_lack_of_a_key() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    for _ in 0..3 {
        assert_eq!(client().get(tidegate.url("/trial")).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn many_checks_at_once_share_round_trips() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let config = format!(
        "store: {{ redis: {{ url: '{}', timeout: 10s, connections: 2 }} }}\nrules: [{{ name: x, rate: 1000000/h }}]",
        redis.url()
    );
    let tidegate = Tidegate::configured(upstream.address, &config).await;
    let client = client();
    // A Redis that stands still for a moment collects what arrives meanwhile.
    redis.signal("STOP");
    let asking: Vec<_> = (0..200).map(|_| tokio::spawn(client.get(tidegate.url("/")).send())).collect();
    let arrived = async || (tidegate.metric("tidegate_connections").await? >= 200.0).then_some(());
    crate::harness::eventually("the requests to arrive", arrived).await;
    redis.signal("CONT");
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap().status(), 200);
    }
    let info: String = redis.command(&["INFO", "stats"]).await;
    let figure = |name: &str| -> u64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().parse().unwrap()
    };
    let (reads, commands) = (figure("total_reads_processed"), figure("total_commands_processed"));
    assert!(commands >= 200 && reads < 100, "{commands} commands in {reads} reads");
}

const FIELDS: &str = "
store: { memory: {} }
bypass: [{ name: inside, header: X-Internal-Token, secret_env: PATH }]
rules:
  - { name: plan, match: { path: /plan, headers: { X-Plan: free } }, rate: 1/h }
  - { name: keyed, match: { path: /keyed }, key: ['header:X-Api-Key'], on_missing: reject, rate: 1/h }
  - { name: odd, match: { path: /odd }, key: ['header:X_User'], rate: 1/h }
";

#[tokio::test]
async fn a_field_that_cgi_takes_for_one_that_counts_never_arrives() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, FIELDS).await;
    let mut wire = Wire::to(tidegate.address).await;
    assert_eq!(wire.ask("GET /keyed", &["X_Api_Key: a"]).await.status, 400, "a key under another name");
    let forged = [
        "X_Api_Key: a",
        "X.Api.Key: a",
        "x-api_key: a",
        "X_Plan: free",
        "X_Internal_Token: a",
        "X-User: a",
        "X_Forwarded_For: 203.0.113.9",
        "X_Forwarded-Proto: https",
        "X.Forwarded.Host: evil.test",
        "X_Real_IP: 203.0.113.9",
        "X_RateLimit_Exceeded: no",
        "Content_Length: 5",
        "Transfer_Encoding: chunked",
        "Proxy_Connection: close",
    ];
    let kept = ["X_User: me", "X-Api-Key: mine", "X_Trace_Id: 7", "Accept: */*"];
    let headers: Vec<&str> = forged.into_iter().chain(kept).collect();
    assert_eq!(wire.ask("GET /free", &headers).await.status, 200);
    let seen = upstream.last().headers;
    for field in forged {
        let name = field.split(':').next().unwrap();
        assert!(!seen.contains_key(name), "{name} reached the application");
    }
    for (name, value) in kept.iter().map(|field| field.split_once(": ").unwrap()) {
        assert_eq!(seen[name], value, "{name} was lost");
    }
}
