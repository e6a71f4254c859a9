//! Redis stores in every shape: what they compile to, what of them is fixed, and that no secret shows.

use std::time::Duration;

use tidegate::config::{Config, Overrides, SecretSource, compile_text};
use tidegate::settings::{Credentials, RedisSettings, RedisTopology, ServerAddress, StoreSettings};

use super::{compile_with, file, listed, pem, right};

fn store(redis: &str) -> String {
    file(&format!("store: {{ redis: {{ {redis} }} }}\nrules: [{{ name: a, rate: 1/s }}]"))
}

fn settings(config: Config) -> RedisSettings {
    assert!(config.warnings.is_empty(), "{}", listed(&config.warnings));
    match config.settings.store {
        StoreSettings::Redis(redis) => *redis,
        StoreSettings::Memory { .. } => panic!("no Redis"),
    }
}

fn redis(text: &str) -> RedisSettings {
    settings(right(&store(text)))
}

/// The same with these secrets, by the name of the file or of the variable.
fn with_secrets(text: &str, secrets: &[(&str, &str)]) -> RedisSettings {
    let found = |name: &str| secrets.iter().find(|(known, _)| *known == name);
    let bytes = |name: &str| found(name).map(|(_, secret)| secret.as_bytes().to_vec());
    let config = compile_text("test.yaml", store(text).as_bytes(), &Overrides::default(), &|source| {
        Ok(match source {
            SecretSource::File(path) | SecretSource::Keys(path) => bytes(path.to_str().unwrap()),
            SecretSource::Pem(path) => pem(path),
            SecretSource::Env(name) => bytes(name),
        })
    });
    settings(config.unwrap_or_else(|diagnostics| panic!("{}\n{text}", listed(&diagnostics))))
}

fn credentials(credentials: &Credentials) -> (Option<&str>, Option<&str>) {
    let password = credentials.password.as_ref();
    (credentials.username.as_deref(), password.map(|password| password.expose().as_str()))
}

fn server(host: &str, port: u16) -> ServerAddress {
    ServerAddress { host: host.to_owned(), port }
}

#[test]
fn one_server() {
    for (url, host, port, database, tls) in [
        ("redis://redis", "redis", 6379, 0, false),
        ("redis://redis_1.internal.:7000/", "redis_1.internal.", 7000, 0, false),
        ("valkey://10.0.0.1/3", "10.0.0.1", 6379, 3, false),
        ("rediss://redis:6380/15", "redis", 6380, 15, true),
        ("valkeys://[fd00::1]:1", "fd00::1", 1, 0, true),
    ] {
        let redis = redis(&format!("url: '{url}'"));
        let want = RedisTopology::Standalone(server(host, port));
        assert_eq!((redis.topology, redis.database, redis.tls.is_some()), (want, database, tls), "{url}");
    }
    let defaults = redis("url: redis://a");
    assert_eq!(
        (defaults.timeout, &*defaults.key_prefix, defaults.connections, credentials(&defaults.credentials)),
        (Duration::from_millis(20), "tidegate", 4, (None, None))
    );
    assert_eq!(defaults.instances, 1);
    let given =
        redis("url: redis://a, timeout: 1s, key_prefix: tg, connections: 2, username: me, instances: 10000");
    assert_eq!(
        (given.timeout, &*given.key_prefix, given.connections, credentials(&given.credentials)),
        (Duration::from_secs(1), "tg", 2, (Some("me"), None))
    );
    assert_eq!(given.instances, 10_000);
}

#[test]
fn sentinels() {
    let found = redis("sentinel: { urls: redis://s, master: mymaster }");
    let want =
        RedisTopology::Sentinel { sentinels: vec![server("s", 26379)], primary: "mymaster".to_owned() };
    assert_eq!((found.topology, found.database, found.tls), (want, 0, None));
    assert_eq!(found.sentinel_credentials, Credentials::default());

    let text = "username: data, password_file: one, tls: { ca_file: ca.pem }, sentinel: { master: 'a b', database: 2, \
                urls: [rediss://s:1, 'rediss://[::1]/'], username: watch, password_file: two }";
    let found = with_secrets(text, &[("one", "for the data"), ("two", "for the sentinels")]);
    assert_eq!(credentials(&found.credentials), (Some("data"), Some("for the data")));
    let RedisTopology::Sentinel { sentinels, primary } = found.topology else { panic!("no sentinels") };
    assert_eq!(sentinels, [server("s", 1), server("::1", 26379)]);
    assert_eq!((&*primary, found.database), ("a b", 2));
    assert_eq!(credentials(&found.sentinel_credentials), (Some("watch"), Some("for the sentinels")));
    assert!(found.tls.is_some());
}

#[test]
fn clusters() {
    let found = redis("cluster: redis://a");
    assert_eq!((found.topology, found.tls), (RedisTopology::Cluster(vec![server("a", 6379)]), None));
    let found = redis("cluster: [rediss://a:7000, 'valkeys://[::1]:7001/0'], username: me");
    let seeds = vec![server("a", 7000), server("::1", 7001)];
    assert_eq!((found.topology, found.tls), (RedisTopology::Cluster(seeds), Some(Default::default())));
    assert_eq!(found.credentials.username.as_deref(), Some("me"));
}

#[test]
fn passwords_come_from_the_file_else_the_environment_else_the_url() {
    const FILE: (&str, &str) = ("pw", "of the file");
    const ENV: (&str, &str) = ("TIDEGATE_REDIS_PASSWORD", "of the environment");
    let url = right(&store("url: 'redis://me:p%40ss@[::1]/3'")).settings.store;
    let StoreSettings::Redis(url) = url else { panic!("no Redis") };
    assert_eq!(credentials(&url.credentials), (Some("me"), Some("p@ss")));
    let both = "url: redis://me@a, username: you, password_file: pw";
    let found = with_secrets(both, &[FILE, ENV]);
    assert_eq!(credentials(&found.credentials), (Some("you"), Some("of the file")));
    let found = with_secrets("url: redis://me@a", &[ENV]);
    assert_eq!(credentials(&found.credentials), (Some("me"), Some("of the environment")));

    let sentinel = |login: &str, secrets: &[(&str, &str)]| {
        let found = with_secrets(&format!("sentinel: {{ urls: redis://s, master: m {login} }}"), secrets);
        [&found.credentials, &found.sentinel_credentials]
            .map(|both| both.password.as_ref().map(|text| text.expose().to_owned()))
    };
    let own = ("TIDEGATE_REDIS_SENTINEL_PASSWORD", "of the sentinels");
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(sentinel("", &[ENV]), [some(ENV.1), None], "the sentinels have a password of their own");
    assert_eq!(sentinel("", &[own]), [None, some(own.1)]);
    assert_eq!(sentinel(", password_file: pw", &[ENV, own, FILE]), [some(ENV.1), some(FILE.1)]);
}

#[test]
fn tls_without_files_trusts_the_roots_of_the_system() {
    for none in ["", ", tls: {}", ", tls:"] {
        let tls = redis(&format!("url: rediss://a{none}")).tls.unwrap();
        assert_eq!((tls.ca, tls.identity, tls.server_name), (None, None, None), "the system's roots");
    }
}

#[test]
fn mutual_tls() {
    let all = "ca_file: /etc/ca.pem, cert_file: cert.pem, key_file: key.pem, server_name: redis.internal";
    let tls = redis(&format!("cluster: [rediss://10.0.0.1], tls: {{ {all} }}")).tls.unwrap();
    let text = |name: &str| String::from_utf8(pem(name.as_ref()).unwrap()).unwrap();
    let identity = tls.identity.unwrap();
    assert_eq!(tls.server_name.as_deref(), Some("redis.internal"));
    assert_eq!(tls.ca.unwrap().expose(), text("ca.pem").trim_end().as_bytes());
    assert_eq!(identity.certificate.expose(), text("cert.pem").trim_end().as_bytes());
    assert_eq!(identity.key.expose(), text("key.pem").trim_end().as_bytes());
}

#[test]
fn the_name_of_a_server_may_be_an_address() {
    for name in ["10.0.0.1", "fd00::1"] {
        let tls = redis(&format!("url: rediss://a, tls: {{ server_name: '{name}' }}")).tls.unwrap();
        assert_eq!(tls.server_name.as_deref(), Some(name));
    }
}

#[test]
fn the_flag_replaces_the_servers_alone() {
    let rest = "timeout: 7ms, key_prefix: tg, connections: 9, instances: 3, username: me";
    let flag = Overrides { redis: Some("rediss://b:5/1".to_owned()), ..Overrides::default() };
    for servers in [
        "url: 'redis://x:y@a', ",
        "url: rediss://a, tls: { ca_file: ca.pem }, ",
        "sentinel: { urls: rediss://s, master: m, password_file: secret }, tls: { ca_file: ca.pem }, ",
        "cluster: [rediss://a, rediss://c], tls: { ca_file: ca.pem }, ",
        "tls: { ca_file: ca.pem }, ",
        "",
    ] {
        let config = compile_with(&store(&format!("{servers}{rest}")), &flag).unwrap();
        let StoreSettings::Redis(redis) = config.settings.store else { panic!("no Redis") };
        assert_eq!((&*super::servers(&redis), redis.timeout), ("b:5/1", Duration::from_millis(7)));
        assert_eq!((&*redis.key_prefix, redis.connections, redis.instances), ("tg", 9, 3));
        assert_eq!(credentials(&redis.credentials), (Some("me"), None), "{servers}");
        assert_eq!(redis.tls.unwrap().ca.is_some(), servers.contains("ca_file"), "{servers}");
    }
}

fn sentinel(rest: &str) -> String {
    format!("sentinel: {{ master: m, urls: rediss://s{rest} }}")
}

/// What a reload cannot change.
fn fixed(redis: &RedisSettings) -> StoreSettings {
    StoreSettings::Redis(Box::new(redis.clone())).fixed()
}

#[test]
fn what_proves_identities_may_change() {
    let pair = |which: &str| format!("cert_file: {which}cert.pem, key_file: {which}key.pem");
    let text = |which: &str| {
        format!(
            "{}, username: u, password_file: pw, tls: {{ ca_file: {which}ca.pem, {}, server_name: r }}",
            sentinel(", username: s, password_file: pw"),
            pair(which)
        )
    };
    let running = with_secrets(&text(""), &[("pw", "old")]);
    for live in [
        with_secrets(&text(""), &[("pw", "new")]),
        with_secrets(&text("other-"), &[("pw", "old")]),
        with_secrets(&format!("{}, tls: {{ server_name: r }}", sentinel(", username: t")), &[]),
    ] {
        assert_ne!(running, live);
        assert_eq!(fixed(&running), fixed(&live));
    }
}

#[test]
fn all_else_of_a_store_is_fixed() {
    let running = "url: rediss://a";
    for other in [
        "url: redis://a",
        "url: rediss://b",
        "url: rediss://a/1",
        "url: rediss://a:1",
        "cluster: rediss://a",
        "sentinel: { urls: rediss://a, master: m }",
        "url: rediss://a, tls: { server_name: b }",
        "url: rediss://a, timeout: 21ms",
        "url: rediss://a, key_prefix: b",
        "url: rediss://a, connections: 5",
        "url: rediss://a, instances: 2",
    ] {
        assert_ne!(fixed(&redis(running)), fixed(&redis(other)), "{other}");
    }
    for [one, other] in [
        [sentinel(""), sentinel(", database: 1")],
        [sentinel(""), sentinel("").replace("master: m", "master: n")],
        [sentinel(""), sentinel("").replace("rediss://s", "[rediss://s, rediss://t]")],
        ["cluster: redis://a".to_owned(), "cluster: [redis://a, redis://b]".to_owned()],
    ] {
        assert_ne!(fixed(&redis(&one)), fixed(&redis(&other)), "{other}");
    }
    let memory = StoreSettings::Memory { max_keys: 1 };
    assert_eq!(memory.fixed(), memory);
}

#[test]
fn no_secret_shows_in_debug() {
    let both = pem("both.pem".as_ref()).unwrap();
    for (certificate, key) in [("cert.pem", "key.pem"), ("both.pem", "both.pem")] {
        let text = format!(
            "password_file: one, sentinel: {{ urls: rediss://s, master: m, password_file: two }}, \
             tls: {{ ca_file: {certificate}, cert_file: {certificate}, key_file: {key} }}"
        );
        let shown = format!("{:?}", with_secrets(&text, &[("one", "hunter2"), ("two", "hunter3")]));
        let bytes = format!("{:?}", &both[both.len() - 90..both.len() - 70]);
        for secret in ["hunter", "BEGIN", bytes.trim_matches(['[', ']'])] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("Redacted(..)"), "{shown}");
    }
    let shown = format!("{:?}", right(&store("url: 'redis://me:hunter2@a'")).settings);
    assert!(!shown.contains("hunter"), "{shown}");
}
