//! Wrong Redis stores: each fault at its line and column, with its path and what would be right.

use super::{Wrong, assert_wrong, compile_with, diagnostics, file, listed};
use tidegate::config::Overrides;

/// What stands between the braces of `store: { redis: {  } }`.
#[rustfmt::skip]
const SERVERS: &[Wrong] = &[
    ("", "2:17", "store.redis.url", "the url is missing", "sentinel: or cluster:, or give --redis"),
    ("url: 5", "2:24", "store.redis.url", "found the number 5", "redis://HOST:PORT"),
    ("url: http://a", "2:24", "store.redis.url", "no Redis URL", "redis://HOST:PORT"),
    ("url: redis:a", "2:24", "store.redis.url", "no Redis URL", "redis://HOST:PORT"),
    ("url: 'redis://'", "2:24", "store.redis.url", "no host", "redis://HOST:PORT"),
    ("url: redis://:1", "2:24", "store.redis.url", "no host", "redis://HOST:PORT"),
    ("url: redis://caf\u{e9}", "2:24", "store.redis.url", "no valid host", "redis://HOST:PORT"),
    ("url: 'redis://[::g]'", "2:24", "store.redis.url", "no valid host", "redis://HOST:PORT"),
    ("url: redis://a:0", "2:24", "store.redis.url", "no valid port", "redis://HOST:PORT"),
    ("url: redis://a:65536", "2:24", "store.redis.url", "no valid port", "redis://HOST:PORT"),
    ("url: redis://a/b", "2:24", "store.redis.url", "not a number", "redis://HOST:PORT"),
    ("url: redis://a/-1", "2:24", "store.redis.url", "negative", "redis://HOST:PORT"),
    ("url: redis://0.0.0.0", "2:24", "store.redis.url", "listen on", "redis://HOST:PORT"),
    ("url: 'rediss://[::]'", "2:24", "store.redis.url", "listen on", "redis://HOST:PORT"),
    ("url: redis://a?x=1", "2:24", "store.redis.url", "no '?'", "redis://HOST:PORT"),
    ("url: rediss://a#insecure", "2:24", "store.redis.url", "no '#'", "redis://HOST:PORT"),
    ("url: redis://%ff@a", "2:24", "store.redis.url", "not UTF-8", "redis://HOST:PORT"),
    ("url: redis://a, sentinel: { urls: redis://s, master: m }", "2:35", "store.redis.sentinel", "two ways (line 2)", "keep one of url, sentinel and cluster"),
    ("url: redis://a, cluster: [redis://c]", "2:35", "store.redis.cluster", "two ways (line 2)", "keep one of"),
    ("sentinel: { urls: redis://s, master: m }, cluster: redis://c", "2:61", "store.redis.cluster", "two ways (line 2)", "keep one of"),
    ("url: redis://a, urls: [redis://c]", "2:35", "store.redis.urls", "stand in cluster", "write cluster:"),
    ("url: redis://a, database: 1", "2:35", "store.redis.database", "in the url", "redis://HOST:PORT/DATABASE"),
    ("url: redis://a, password: x", "2:35", "store.redis.password", "not stand in this file", "TIDEGATE_REDIS_PASSWORD"),
    ("url: redis://a, timeout: 20", "2:44", "store.redis.timeout", "the number 20", "unit"),
    ("url: redis://a, timeout: 11s", "2:44", "store.redis.timeout", "out of range", "1ms to 10s"),
    ("url: redis://a, timeout: 20mm", "2:44", "store.redis.timeout", "'20mm' is no duration", "20ms"),
    ("url: redis://a, key_prefix: 'a b'", "2:47", "store.redis.key_prefix", "cannot start", "1 to 32"),
    ("url: redis://a, connections: 257", "2:48", "store.redis.connections", "257 is out", "1 to 256"),
    ("url: redis://a, instances: 0", "2:46", "store.redis.instances", "0 is out of range", "from 1 to 10000"),
    ("url: redis://a, instances: 10001", "2:46", "store.redis.instances", "10001 is out of range", "from 1 to 10000"),
    ("url: redis://a, instances: '3'", "2:46", "store.redis.instances", "found the text '3'", "whole number"),
    ("url: redis://a, instance: 3", "2:35", "store.redis.instance", "no key 'instance'", "did you mean 'instances'?"),
    ("url: redis://a, password_file: none", "2:50", "store.redis.password_file", "'none' cannot be read: there is none", "may read"),
    ("url: redis://a, password_file: blank", "2:50", "store.redis.password_file", "is empty", "put the secret"),
];

#[rustfmt::skip]
const SENTINEL: &[Wrong] = &[
    ("sentinel: redis://s", "2:29", "store.redis.sentinel", "expected a mapping, found a text", "urls, master"),
    ("sentinel: { master: m }", "2:29", "store.redis.sentinel.urls", "urls of the sentinels are missing", "redis://a:26379"),
    ("sentinel: { urls: redis://s }", "2:29", "store.redis.sentinel.master", "name of the master is missing", "mymaster"),
    ("sentinel: { master: m, urls: [] }", "2:48", "store.redis.sentinel.urls", "the list is empty", "redis://a:26379"),
    ("sentinel: { master: m, urls: [5] }", "2:49", "store.redis.sentinel.urls[0]", "found the number 5", "redis://a:26379"),
    ("sentinel: { urls: redis://s, master: 5 }", "2:56", "store.redis.sentinel.master", "found the number 5", "master:"),
    ("sentinel: { urls: redis://s, master: '' }", "2:56", "store.redis.sentinel.master", "the text is empty", "master:"),
    ("sentinel: { urls: redis://s, master: m, primary: m }", "2:59", "store.redis.sentinel.primary", "goes by the name", "write master: NAME"),
    ("sentinel: { urls: redis://s, master: m, database: -1 }", "2:69", "store.redis.sentinel.database", "-1 is out of range", "from 0 to"),
    ("sentinel: { urls: redis://s, master: m, password: x }", "2:59", "store.redis.sentinel.password", "not stand in this file", "TIDEGATE_REDIS_SENTINEL_PASSWORD"),
    ("sentinel: { urls: redis://s, master: m, password_file: none }", "2:74", "store.redis.sentinel.password_file", "'none' cannot be read", "may read"),
    ("sentinel: { master: m, urls: [redis://s, 's:26379'] }", "2:60", "store.redis.sentinel.urls[1]", "no Redis URL", "redis://10.0.0.1:26379"),
    ("sentinel: { master: m, urls: redis://s/0 }", "2:48", "store.redis.sentinel.urls", "takes no database", "database: NUMBER beside urls"),
    ("sentinel: { master: m, urls: ['redis://u@s'] }", "2:49", "store.redis.sentinel.urls[0]", "no user or password", "beside urls"),
    ("sentinel: { master: m, urls: ['redis://:p@s'] }", "2:49", "store.redis.sentinel.urls[0]", "no user or password", "beside urls"),
    ("sentinel: { master: m, urls: [redis://s, rediss://t, redis://u] }", "2:60", "store.redis.sentinel.urls[1]", "some of the sentinels are reached by TLS", "in all of them"),
];

#[rustfmt::skip]
const CLUSTER: &[Wrong] = &[
    ("cluster: []", "2:28", "store.redis.cluster", "the list is empty", "[redis://a:6379, redis://b:6379]"),
    ("cluster: { urls: [redis://a] }", "2:28", "store.redis.cluster", "expected a list, found a mapping", "[redis://a:6379"),
    ("cluster: [redis://a, 7]", "2:40", "store.redis.cluster[1]", "found the number 7", "[redis://a:6379"),
    ("cluster: [redis://a, b]", "2:40", "store.redis.cluster[1]", "no Redis URL", "redis://10.0.0.1:6379"),
    ("cluster: [redis://a/0, redis://b/1]", "2:42", "store.redis.cluster[1]", "only database 0", "leave the number out"),
    ("cluster: ['redis://u:p@a']", "2:29", "store.redis.cluster[0]", "no user or password", "beside cluster"),
    ("cluster: [rediss://a, redis://b]", "2:41", "store.redis.cluster[1]", "some of the servers are reached by TLS", "in all of them"),
];

#[rustfmt::skip]
const TLS: &[Wrong] = &[
    ("url: redis://a, tls: {}", "2:35", "store.redis.tls", "reached without it", "write rediss://"),
    ("cluster: [redis://a], tls: { ca_file: ca.pem }", "2:41", "store.redis.tls", "reached without it", "or remove tls"),
    ("sentinel: { urls: valkey://s, master: m }, tls:", "2:62", "store.redis.tls", "reached without it", "write rediss://"),
    ("url: rediss://a, tls: true", "2:41", "store.redis.tls", "found the boolean true", "ca_file, cert_file, key_file, server_name"),
    ("url: rediss://a, tls: { insecure: true }", "2:43", "store.redis.tls.insecure", "always checked", "ca_file"),
    ("url: rediss://a, tls: { ca: x }", "2:43", "store.redis.tls.ca", "no key 'ca'", "ca_file"),
    ("url: rediss://a, tls: { ca_file: 1 }", "2:52", "store.redis.tls.ca_file", "found the number 1", "a file in PEM"),
    ("url: rediss://a, tls: { ca_file: none }", "2:52", "store.redis.tls.ca_file", "the file 'none' cannot be read: there is none", "in PEM"),
    ("url: rediss://a, tls: { ca_file: blank.pem }", "2:52", "store.redis.tls.ca_file", "the file 'blank.pem' is empty", "in PEM"),
    ("url: rediss://a, tls: { ca_file: cut.pem }", "2:52", "store.redis.tls.ca_file", "'cut.pem' cannot be used: the PEM is damaged: an END line is missing", "complete"),
    ("url: rediss://a, tls: { ca_file: key.pem }", "2:52", "store.redis.tls.ca_file", "there is no certificate in it", "BEGIN CERTIFICATE"),
    ("url: rediss://a, tls: { cert_file: cert.pem }", "2:43", "store.redis.tls.cert_file", "has no key", "give key_file"),
    ("url: rediss://a, tls: { key_file: key.pem }", "2:43", "store.redis.tls.key_file", "has no certificate", "give cert_file"),
    ("url: rediss://a, tls: { cert_file: 5, key_file: key.pem }", "2:54", "store.redis.tls.cert_file", "found the number 5", "a file in PEM"),
    ("url: rediss://a, tls: { cert_file: cut.pem, key_file: key.pem }", "2:54", "store.redis.tls.cert_file", "the PEM is damaged", "complete"),
    ("url: rediss://a, tls: { cert_file: key.pem, key_file: key.pem }", "2:54", "store.redis.tls.cert_file", "no certificate in it", "BEGIN CERTIFICATE"),
    ("url: rediss://a, tls: { cert_file: cert.pem, key_file: none }", "2:74", "store.redis.tls.key_file", "cannot be read", "may read"),
    ("url: rediss://a, tls: { cert_file: cert.pem, key_file: cert.pem }", "2:74", "store.redis.tls.key_file", "no private key in it", "BEGIN PRIVATE KEY"),
    ("url: rediss://a, tls: { cert_file: cert.pem, key_file: encrypted.pem }", "2:74", "store.redis.tls.key_file", "key is encrypted", "passphrase"),
    ("url: rediss://a, tls: { cert_file: cert.pem, key_file: other-key.pem }", "2:74", "store.redis.tls.key_file", "'other-key.pem' cannot be used: the private key does not belong", "first certificate in cert_file"),
    ("url: rediss://a, tls: { server_name: 'a b' }", "2:56", "store.redis.tls.server_name", "'a b' is no DNS name and no IP address", "redis.internal"),
    ("url: rediss://a, tls: { server_name: 'a:1' }", "2:56", "store.redis.tls.server_name", "'a:1' is no DNS name", "without a port"),
];

fn store(redis: &str) -> String {
    file(&format!("store: {{ redis: {{ {redis} }} }}"))
}

#[test]
fn servers() {
    assert_wrong(SERVERS, store);
}

#[test]
fn sentinels() {
    assert_wrong(SENTINEL, store);
}

#[test]
fn clusters() {
    assert_wrong(CLUSTER, store);
}

#[test]
fn certificates() {
    assert_wrong(TLS, store);
}

#[test]
fn everything_about_it_is_told_at_once() {
    let found = diagnostics(&store(
        "url: http://a, sentinel: { urls: [s], password_file: none }, cluster: [c, redis://u@d],
         tls: { ca_file: none, cert_file: cut.pem, key_file: encrypted.pem, server_name: '' }, password_file: none",
    ));
    let paths: Vec<_> =
        found.iter().map(|diagnostic| diagnostic.path.trim_start_matches("store.redis.")).collect();
    let want = [
        "url",
        "sentinel",
        "sentinel.master",
        "sentinel.urls[0]",
        "sentinel.password_file",
        "cluster",
        "cluster[0]",
        "cluster[1]",
        "tls.ca_file",
        "tls.cert_file",
        "tls.key_file",
        "tls.server_name",
        "password_file",
    ];
    assert_eq!(paths, want, "\n{}", listed(&found));
}

#[test]
fn the_file_must_be_right_where_the_flag_wins() {
    let flag = |redis: &str, text: &str| {
        let overrides = Overrides { redis: Some(redis.to_owned()), ..Overrides::default() };
        let done = compile_with(&store(text), &overrides);
        done.map_or_else(|diagnostics| listed(&diagnostics), |config| listed(&config.warnings))
    };
    for (redis, text, want) in [
        ("redis://b", "url: http://a", "2:24: store.redis.url: this is no Redis URL"),
        ("redis://b", "cluster: []", "2:28: store.redis.cluster: the list is empty"),
        (
            "redis://b",
            "url: redis://a, cluster: redis://c",
            "2:35: store.redis.cluster: Redis is reached in two",
        ),
        ("rediss://b", "url: redis://a, tls: {}", "2:35: store.redis.tls: tls is set, but"),
        ("redis://b", "tls: {}", "2:19: store.redis.tls: tls is set, but"),
        (
            "rediss://b",
            "tls: { ca_file: none }",
            "2:35: store.redis.tls.ca_file: the file 'none' cannot be read",
        ),
        ("rediss://b/x", "url: redis://a", "--redis: the database in the Redis URL is not a number"),
        ("redis://b", "url: rediss://a, tls: {}", "--redis: the server is reached without the TLS"),
    ] {
        let said = flag(redis, text);
        assert!(said.contains(want), "{redis} over {text}: {said}");
    }
}

#[test]
fn no_message_holds_a_secret() {
    for text in [
        "url: 'redis://u:hunter2@a/b'",
        "url: 'rediss://u:hunter2@a#b'",
        "url: 'redis://u:hunter2@'",
        "sentinel: { master: m, urls: ['redis://u:hunter2@s'] }",
        "sentinel: 'redis://u:hunter2@s'",
        "sentinel: { master: m, urls: redis://s, password: hunter2 }",
        "cluster: ['redis://u:hunter2@s', 'redis://u:hunter2@s/2', 'hunter2://a']",
        "cluster: { a: 'redis://u:hunter2@s' }",
    ] {
        let said = listed(&diagnostics(&store(text)));
        assert!(!said.contains("hunter2"), "{said}");
    }
}
