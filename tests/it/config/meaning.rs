//! Right files: what they compile to.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, Method};
use tidegate::bounds::Bounds;
use tidegate::config::Overrides;
use tidegate::policy::client::{Client, ForwardedHeader};
use tidegate::policy::counter_key::{KeyPart, OnMissing};
use tidegate::policy::query::Query;
use tidegate::policy::{Facts, Mode, OnOutage, Plan, Policy, Rule};
use tidegate::settings::{AdminListen, AdminSettings, Listen, Role, StoreSettings};

use super::{compile_with, file, limits, right, servers};

fn facts<'a>(
    method: &'a Method,
    target: (&'a str, &'a str),
    headers: &'a HeaderMap,
    peer: &str,
) -> Facts<'a> {
    let peer = peer.parse().unwrap();
    Facts {
        method,
        host: target.0,
        path: target.1,
        decoded_path: None,
        query: Query::new(""),
        headers,
        websocket: false,
        client: Client { peer, address: peer, direct: true, trusted_peer: true },
        names: &[],
    }
}

/// The rule's name, or what else is done.
fn decision(
    policy: &Policy,
    method: &str,
    host: &str,
    path: &str,
    headers: &[(&'static str, &str)],
) -> String {
    let method: Method = method.parse().unwrap();
    let headers =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    match policy.plan(&facts(&method, (host, path), &headers, "192.0.2.1")) {
        Plan::Bypass(bypass) => format!("past {}", bypass.name),
        Plan::Reject { rule, missing } => format!("{} lacks {missing}", rule.name),
        Plan::TooManyValues { rule, part } => format!("{} has too many of {part}", rule.name),
        Plan::TooManyReadings { rule } => format!("{} and too many others", rule.name),
        Plan::Blocked { rule } => format!("{} blocks", rule.name),
        Plan::Check { rule, .. } => rule.map_or("free".to_owned(), |rule| rule.name.to_string()),
    }
}

#[test]
fn the_least_file_has_the_defaults() {
    let settings = right("upstream: http://app.internal/").settings;
    assert_eq!(settings.listen, Listen::Tcp(SocketAddr::from(([0, 0, 0, 0], 8080))));
    assert_eq!(settings.ops_listen, SocketAddr::from(([0, 0, 0, 0], 9902)));
    assert_eq!(settings.admin, AdminSettings::default());
    assert_eq!(settings.admin.listen.address(), Some(SocketAddr::from(([127, 0, 0, 1], 9901))));
    assert_eq!(settings.upstream.to_string(), "http://app.internal:80");
    assert_eq!((settings.tls, settings.proxy_protocol, settings.bounds), (None, vec![], Bounds::default()));
    assert_eq!(settings.store, StoreSettings::Memory { max_keys: 1_000_000 });
    assert_eq!(
        (settings.shutdown.settle, settings.shutdown.grace),
        (Duration::from_secs(3), Duration::from_secs(25))
    );
}

#[test]
fn the_admin_section_with_everything() {
    let admin = |listen| {
        let token = "{ name: a, file: secret }, { name: b, file: short, role: write }";
        right(&file(&format!("admin: {{ listen: {listen}, hosts: [Admin.Example], tokens: [{token}] }}")))
            .settings
            .admin
    };
    let settings = admin("0.0.0.0:7");
    assert_eq!(settings.listen, AdminListen::At(SocketAddr::from(([0, 0, 0, 0], 7))));
    assert_eq!(settings.hosts, ["admin.example"]);
    let tokens: Vec<_> = settings.tokens.iter().map(|token| (&*token.name, token.role)).collect();
    assert_eq!(tokens, [("a", Role::Read), ("b", Role::Write)]);
    assert_eq!(settings.tokens[1].hash.expose(), blake3::hash(b"abc").as_bytes());
    assert_eq!(admin("off").listen, AdminListen::Off);
}

#[test]
fn flags_win_over_the_file() {
    let text = file(
        "listen: 0.0.0.0:1\nadmin: { listen: 127.0.0.1:5 }\nstore: { redis: { url: redis://a, timeout: 7ms } }\n\
         rules: [{ name: a, rate: 1/s }]",
    );
    let flags = Overrides {
        listen: Some(Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 2)))),
        ops_listen: Some(SocketAddr::from(([127, 0, 0, 1], 3))),
        admin_listen: Some(AdminListen::Off),
        upstream: Some("http://other:4".to_owned()),
        redis: Some("redis://b:5".to_owned()),
        ..Overrides::default()
    };
    let settings = compile_with(&text, &flags).unwrap().settings;
    assert_eq!((&*settings.listen.to_string(), settings.ops_listen.port()), ("127.0.0.1:2", 3));
    assert_eq!(settings.admin.listen, AdminListen::Off);
    assert_eq!(settings.upstream.to_string(), "http://other:4");
    let StoreSettings::Redis(redis) = settings.store else { panic!("no Redis") };
    assert_eq!((&*servers(&redis), redis.timeout), ("b:5/0", Duration::from_millis(7)));
    let memory = Overrides { memory: true, ..Overrides::default() };
    let settings = compile_with(&text, &memory).unwrap().settings;
    assert_eq!(settings.store, StoreSettings::Memory { max_keys: 1_000_000 });
}

#[test]
fn limited_memory_changes_the_default_of_connections_alone() {
    let limited = Overrides { default_connections: Some(512), ..Overrides::default() };
    let connections = |bounds: &str| {
        let text = file(&format!("bounds: {bounds}\nrules: [{{ name: a, rate: 1/s }}]"));
        let bounds = compile_with(&text, &limited).unwrap().settings.bounds;
        (bounds.connections, bounds.connections_per_client)
    };
    assert_eq!(connections("{ streams: 10 }"), (512, 256));
    assert_eq!(connections(""), (512, 256));
    assert_eq!(connections("{ connections_per_client: 100 }"), (512, 100));
    assert_eq!(connections("{ connections: 2000 }"), (2000, 1000));
}

#[test]
fn a_rule_with_everything() {
    let config = right(&file(
        "store: { on_outage: closed }
rules:
  - name: all
    match:
      methods: [POST, PUT]
      path: /api/{tenant}/items/*
      hosts: [API.example.com, '*.example.org']
      headers: { X-Plan: free, X-Trace: '*' }
    key: [client_ip, 'header:X-Api-Key', 'cookie:sid', 'query:q', 'path:tenant', host, method]
    on_missing: reject
    limits: [{ rate: 5/s, burst: 2 }, { rate: 50/day, slices: 24 }, { rate: 3/2ms }]
    mode: enforce
    on_outage: open
  - { name: bare, rate: 1/m }
",
    ));
    let [all, bare] = config.policy.rules() else { panic!("two rules") };
    assert_eq!(limits(all), "all:1s 5/1000+2*64; all:86400s 50/86400000+0*24; all:2ms 3/2+0*2");
    assert_eq!(
        (all.mode, all.on_outage, all.key.on_missing),
        (Mode::Enforce, OnOutage::Open, OnMissing::Reject)
    );
    let key: Vec<String> = all.key.parts.iter().map(ToString::to_string).collect();
    assert_eq!(key.join(" "), "client_ip header:x-api-key cookie:sid query:q path:tenant host method");
    assert_eq!(
        (bare.mode, bare.on_outage, bare.key.on_missing),
        (Mode::Enforce, OnOutage::Closed, OnMissing::ClientIp)
    );
    assert_eq!((limits(bare), &*bare.key.parts), ("bare 1/60000+0*64".to_owned(), &[KeyPart::ClientIp][..]));
    let plan = [("x-plan", "free"), ("x-trace", "1")];
    let keyed = [("x-plan", "free"), ("x-trace", "1"), ("x-api-key", "k")];
    for (method, host, path, headers, want) in [
        ("POST", "api.example.com", "/api/t/items", &plan[..], "all lacks header:x-api-key"),
        ("PUT", "a.b.example.org", "/api/t/items/9/x", &keyed, "all lacks cookie:sid"),
        ("GET", "api.example.com", "/api/t/items", &plan, "bare"),
        ("POST", "example.org", "/api/t/items", &plan, "bare"),
        ("POST", "api.example.com", "/api/t", &plan, "bare"),
        ("POST", "api.example.com", "/api/t/items", &plan[..1], "bare"),
    ] {
        assert_eq!(decision(&config.policy, method, host, path, headers), want, "{method} {host}{path}");
    }
}

#[test]
fn an_outage_is_decided_as_the_rule_says_else_as_the_store_says_else_locally() {
    use OnOutage::{Closed, Local, Open};
    for (store, inherited) in [
        ("", Local),
        ("store: { redis: { url: redis://a } }", Local),
        ("store: { redis: { url: redis://a }, on_outage: local }", Local),
        ("store: { redis: { url: redis://a }, on_outage: open }", Open),
        ("store: { redis: { url: redis://a }, on_outage: closed }", Closed),
        // Without effect, but no error: the store may change and the rules stay.
        ("store: { memory: {}, on_outage: open }", Open),
    ] {
        let rules = "global: [{ name: all, rate: 9/s }]
rules:
  - { name: local, match: { path: /local }, rate: 1/s, on_outage: local }
  - { name: open, match: { path: /open }, rate: 1/s, on_outage: open }
  - { name: closed, match: { path: /closed }, rate: 1/s, on_outage: closed }
  - { name: unsaid, rate: 1/s }
";
        let flag = Overrides { limits: vec!["/flag=1/s".to_owned()], ..Overrides::default() };
        let policy = compile_with(&file(&format!("{store}\n{rules}")), &flag).unwrap().policy;
        let of = |rules: &[Rule]| rules.iter().map(|rule| rule.on_outage).collect::<Vec<_>>();
        assert_eq!(of(policy.rules()), [inherited, Local, Open, Closed, inherited], "{store}");
        assert_eq!(of(policy.global()), [inherited], "{store}");
    }
}

#[test]
fn global_rules_share_one_bucket_unless_told_otherwise() {
    let config = right(&file(
        "global:
  - { name: everyone, rate: 5000/s, mode: shadow }
  - { name: posts, match: { methods: POST }, key: client_ip, rate: 1/s }
",
    ));
    assert!(config.warnings.is_empty());
    let [everyone, posts] = config.policy.global() else { panic!("two global rules") };
    assert_eq!((everyone.key.parts.len(), everyone.mode), (0, Mode::Shadow));
    assert_eq!((&*posts.key.parts, &*posts.matches.methods), (&[KeyPart::ClientIp][..], &[Method::POST][..]));
    let headers = HeaderMap::new();
    let Plan::Check { checks, .. } =
        config.policy.plan(&facts(&Method::GET, ("", "/x"), &headers, "192.0.2.1"))
    else {
        panic!("no check")
    };
    assert_eq!(checks.iter().map(|check| &*check.rule.name).collect::<Vec<_>>(), ["everyone"]);
}

#[test]
fn a_key_of_nothing_is_one_bucket() {
    let config = right(&file("rules: [{ name: a, key: [], rate: 1/s }]"));
    assert!(config.policy.rules()[0].key.parts.is_empty());
}

#[test]
fn a_key_of_one_value_needs_no_list() {
    let config = right(&file("rules: [{ name: b, key: host, rate: 1/s }]"));
    assert_eq!(&*config.policy.rules()[0].key.parts, [KeyPart::Host]);
}

#[test]
fn bypasses_let_through() {
    let config = right(&file(
        "bypass:
  - { name: probes, paths: [/healthz, /static/*] }
  - { name: token, header: X-Token, secret_env: A_TOKEN }
  - { name: filed, header: X-Filed, secret_file: /etc/secret }
  - { name: net, cidrs: [10.0.0.0/8, '2001:db8::/32', 192.0.2.7] }
rules: [{ name: all, rate: 1/s }]
client: { hash_secret_file: secret }
",
    ));
    for (path, headers, want) in [
        ("/healthz", &[][..], "past probes"),
        ("/static/a/b", &[], "past probes"),
        ("/x", &[("x-token", "0123456789abcdef0123")], "past token"),
        ("/x", &[("x-filed", "0123456789abcdef0123")], "past filed"),
        ("/x", &[("x-token", "0123456789abcdef0123\t")], "all"),
        ("/x", &[], "all"),
    ] {
        assert_eq!(decision(&config.policy, "GET", "", path, headers), want, "{path} {headers:?}");
    }
    let headers = HeaderMap::new();
    for (peer, past) in
        [("10.255.0.1", true), ("11.0.0.1", false), ("2001:db8::1", true), ("192.0.2.7", true)]
    {
        let plan = config.policy.plan(&facts(&Method::GET, ("", "/x"), &headers, peer));
        assert_eq!(matches!(plan, Plan::Bypass(_)), past, "{peer}");
    }
}

#[test]
fn clients_behind_proxies() {
    let config = right(&file(
        "rules: [{ name: all, rate: 1/s }]
client: { trusted_proxies: [10.0.0.0/8, 'fd00::1'], header: forwarded, ipv6_prefix: 56 }",
    ));
    let client = config.policy.client();
    let networks: Vec<String> = client.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "fd00::1/128"]);
    assert_eq!((client.header, client.ipv6_prefix), (ForwardedHeader::Forwarded, 56));
}

#[test]
fn what_is_told_beside_the_standard_fields() {
    let told = |text: &str| {
        let policy = right(&file(text)).policy;
        (policy.x_ratelimit_headers(), policy.forwarded())
    };
    assert_eq!(told(""), (false, false));
    assert_eq!(told("forwarded: true"), (false, true));
    assert_eq!(told("x_ratelimit_headers: true\nforwarded: false"), (true, false));
}

#[test]
fn aliases_stand_for_what_they_name() {
    let config = right(&file(
        "rules:
  - { name: a, match: &m { path: /a, hosts: &h [x.org] }, rate: &r 5/s }
  - { name: b, match: { path: /b, hosts: *h }, rate: *r }
",
    ));
    let [_, b] = config.policy.rules() else { panic!("two rules") };
    assert_eq!((limits(b), b.matches.hosts.len()), ("b 5/1000+0*64".to_owned(), 1));
}

#[test]
fn a_section_without_lines_is_not_there() {
    let config = right(&file("bounds:\nstore:\nclient:\nbypass:\nglobal:\nrules:\nshutdown:\n"));
    assert_eq!(config.settings, right(&file("")).settings);
}

#[test]
fn a_host_may_be_an_address() {
    let config = right(&file("rules: [{ name: a, match: { hosts: ['[0:0::1]', 192.0.2.1] }, rate: 1/s }]"));
    for (host, want) in [("::1", "a"), ("192.0.2.1", "a"), ("192.0.2.2", "free")] {
        assert_eq!(decision(&config.policy, "GET", host, "/", &[]), want, "{host}");
    }
}
