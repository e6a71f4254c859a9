//! Who shares a counter with whom.

use crate::harness::{Tidegate, Upstream, client, client_from};

/// One rule per kind of key, each of one request an hour.
const RULES: &str = "
store: { memory: {} }
rules:
  - { name: header, match: { path: /header }, key: ['header:X-Api-Key'], rate: 1/h }
  - { name: cookie, match: { path: /cookie }, key: ['cookie:session'], rate: 1/h }
  - { name: query, match: { path: /query }, key: ['query:user'], rate: 1/h }
  - { name: path, match: { path: '/path/{id}' }, key: ['path:id'], rate: 1/h }
  - { name: host, match: { path: /host }, key: [host], rate: 1/h }
  - { name: method, match: { path: /method }, key: [method], rate: 1/h }
  - { name: several, match: { path: '/several/{id}' }, key: ['path:id', 'header:X-Api-Key'], rate: 1/h }
  - { name: shared, match: { path: '/shared/*' }, key: [], rate: 1/h }
  - { name: client, match: { path: /client }, key: [client_ip], rate: 1/h }
";

type Request<'r> = (&'r str, &'r [(&'r str, &'r str)]);

async fn status(tidegate: &Tidegate, client: &reqwest::Client, (line, headers): Request<'_>) -> u16 {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = client.request(method.parse().unwrap(), tidegate.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn requests_share_a_counter_only_if_their_keys_are_equal() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    let (here, there) = (client(), client_from("127.0.0.2"));
    // The first passes; the second has the same key and is refused; the third has another and passes.
    let cases: [[Request<'_>; 3]; 10] = [
        [
            ("GET /header", &[("x-api-key", "a")]),
            ("POST /header", &[("X-API-KEY", " a ")]),
            ("GET /header", &[("x-api-key", "A")]),
        ],
        [
            ("GET /cookie", &[("cookie", "session=a; theme=dark")]),
            ("GET /cookie", &[("cookie", "theme=light;session=a")]),
            ("GET /cookie", &[("cookie", "session=b; xsession=a")]),
        ],
        [("GET /query?user=a", &[]), ("GET /query?page=2&user=%61", &[]), ("GET /query?user=b&users=a", &[])],
        [("GET /path/1", &[]), ("PUT /path/%31/", &[]), ("GET /path/2", &[])],
        [("GET /path/caf%C3%A9", &[]), ("GET //path/caf%c3%a9", &[]), ("GET /path/cafe", &[])],
        [
            ("GET /host", &[("host", "a.test")]),
            ("GET /host", &[("host", "A.test:81")]),
            ("GET /host", &[("host", "b.test")]),
        ],
        [("GET /method", &[]), ("HEAD /method", &[]), ("POST /method", &[])],
        [
            ("GET /several/1", &[("x-api-key", "a")]),
            ("GET /several/1", &[("x-api-key", "a")]),
            ("GET /several/1", &[("x-api-key", "b")]),
        ],
        [
            ("GET /several/3", &[("x-api-key", "a")]),
            ("GET /several/3", &[("x-api-key", "a")]),
            ("GET /several/4", &[("x-api-key", "a")]),
        ],
        [
            ("GET /client", &[]),
            ("POST /client", &[("x-forwarded-for", "203.0.113.9")]),
            ("GET /without-a-rule", &[]),
        ],
    ];
    for [first, same, other] in cases {
        assert_eq!(status(&tidegate, &here, first).await, 200, "{first:?}");
        assert_eq!(status(&tidegate, &here, same).await, 429, "{same:?} has another counter than {first:?}");
        assert_eq!(status(&tidegate, &here, other).await, 200, "{other:?} shares the counter of {first:?}");
    }
    // Of these keys the client's address is no part ...
    for same in [("GET /header", &[("x-api-key", "a")][..]), ("GET /path/1", &[])] {
        assert_eq!(status(&tidegate, &there, same).await, 429, "{same:?} from another address");
    }
    assert_eq!(status(&tidegate, &here, ("GET /shared/a", &[])).await, 200);
    assert_eq!(
        status(&tidegate, &there, ("POST /shared/b", &[])).await,
        429,
        "an empty key is one bucket for all"
    );
    // ... and of this one it is.
    assert_eq!(status(&tidegate, &there, ("GET /client", &[])).await, 200);
}

/// What a rule says where its header is missing.
const MISSING: &str = "
store: { memory: {} }
rules:
  - { name: default, match: { path: /default }, key: ['header:x-api-key'], rate: 1/h }
  - { name: address, match: { path: /address }, key: ['header:x-api-key'], rate: 1/h, on_missing: client_ip }
  - { name: shared, match: { path: /shared }, key: ['header:x-api-key'], rate: 1/h, on_missing: shared }
  - { name: skip, match: { path: /skip }, key: ['header:x-api-key'], rate: 1/h, on_missing: skip }
  - { name: reject, match: { path: /reject }, key: ['header:x-api-key'], rate: 1/h, on_missing: reject }
";

/// Ways to send a key that is none.
const KEYLESS: [&[(&str, &str)]; 3] = [&[], &[("x-api-key", "")], &[("x-api-key", "  ")]];

#[tokio::test]
async fn who_sends_no_key_is_counted_by_address_by_default() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, MISSING).await;
    for line in ["GET /default", "GET /address"] {
        for address in ["127.0.0.1", "127.0.0.2"] {
            let client = client_from(address);
            let mut statuses = Vec::new();
            for headers in KEYLESS {
                statuses.push(status(&tidegate, &client, (line, headers)).await);
            }
            assert_eq!(statuses, [200, 429, 429], "{line} from {address}");
        }
        // A key that spells the address is not the address.
        let forged = [("x-api-key", "127.0.0.1")];
        assert_eq!(status(&tidegate, &client(), (line, &forged)).await, 200);
    }
}

#[tokio::test]
async fn all_who_send_no_key_share_one_counter_if_the_rule_says_so() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, MISSING).await;
    let mut statuses = Vec::new();
    for (number, headers) in KEYLESS.into_iter().enumerate() {
        let client = client_from(["127.0.0.1", "127.0.0.2"][number % 2]);
        statuses.push(status(&tidegate, &client, ("GET /shared", headers)).await);
    }
    assert_eq!(statuses, [200, 429, 429]);
}

#[tokio::test]
async fn a_key_sent_twice_is_one() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, MISSING).await;
    let client = client();
    for line in ["GET /skip", "GET /shared"] {
        let twice = [("x-api-key", "same"), ("x-api-key", "same")];
        assert_eq!(status(&tidegate, &client, (line, &twice)).await, 200);
        assert_eq!(
            status(&tidegate, &client, (line, &twice[..1])).await,
            429,
            "{line}: one key has two counters"
        );
    }
}

#[tokio::test]
async fn a_rule_may_skip_or_reject_who_sends_no_key() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, MISSING).await;
    let client = client();
    for headers in KEYLESS {
        assert_eq!(status(&tidegate, &client, ("GET /skip", headers)).await, 200, "{headers:?}");
        assert_eq!(status(&tidegate, &client, ("GET /reject", headers)).await, 400, "{headers:?}");
    }
    for line in ["GET /skip", "GET /reject"] {
        let key = [("x-api-key", "a")];
        assert_eq!(status(&tidegate, &client, (line, &key)).await, 200);
        assert_eq!(status(&tidegate, &client, (line, &key)).await, 429, "{line}: the rule holds nobody");
    }
    let refused = client.get(tidegate.url("/reject")).send().await.unwrap().text().await.unwrap();
    assert!(refused.contains("x-api-key"), "the client is not told what is missing: {refused}");
    assert_eq!(tidegate.counted("reject", "rejected").await, 4.0);
    assert_eq!(upstream.seen().len(), 5, "the application saw requests that were refused");
}

#[tokio::test]
async fn secrets_in_keys_do_not_reach_redis() {
    let (redis, upstream) = (crate::harness::Redis::start().await, Upstream::start().await);
    let rules = RULES.replace("memory: {}", &format!("redis: {{ url: '{}', timeout: 10s }}", redis.url()));
    let tidegate = Tidegate::configured(upstream.address, &rules).await;
    let long = "s3cret".repeat(600);
    let requests: [Request<'_>; 4] = [
        ("GET /header", &[("x-api-key", "s3cret")]),
        ("GET /header", &[("x-api-key", &long)]),
        ("GET /cookie", &[("cookie", "session=s3cret")]),
        ("GET /query?user=s3cret", &[]),
    ];
    for request in requests {
        assert_eq!(status(&tidegate, &client(), request).await, 200);
    }
    assert_eq!(redis.counters().await.len(), 4);
    let keys: Vec<String> = redis.command(&["KEYS", "*"]).await;
    let plain = keys.iter().filter(|key| key.contains("s3cret") || key.len() > 100);
    assert_eq!(plain.count(), 0, "keys in Redis hold what clients sent: {keys:?}");
}
