//! The names in clients' certificates: as a key, and as a way past the rules.

use http::{HeaderMap, Method};
use tidegate::policy::client::Client;
use tidegate::policy::counter_key::KeyPart;
use tidegate::policy::query::Query;
use tidegate::policy::{Facts, Plan, Policy};

use super::{file, right};

/// What is done with a request of a peer whose certificate has these names.
fn plan<'p>(policy: &'p Policy, names: &[&str], direct: bool) -> Plan<'p> {
    let peer = "192.0.2.1".parse().unwrap();
    let address = if direct { peer } else { "203.0.113.9".parse().unwrap() };
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let (method, headers) = (Method::GET, HeaderMap::new());
    let facts = Facts {
        method: &method,
        host: "",
        path: "/x",
        decoded_path: None,
        query: Query::new(""),
        headers: &headers,
        websocket: false,
        client: Client { peer, address, direct, trusted_peer: true },
        names: &names,
    };
    policy.plan(&facts)
}

fn passes(policy: &Policy, names: &[&str], direct: bool) -> bool {
    matches!(plan(policy, names, direct), Plan::Bypass(_))
}

#[test]
fn a_bypass_by_name_takes_the_name_or_its_start() {
    let config = right(&file(
        "bypass: [{ name: mesh, client_san: ['spiffe://prod/ns/jobs/*', 'spiffe://prod/sa/one', Batch.example.com] }]
rules: [{ name: all, rate: 1/s }]",
    ));
    for (names, want) in [
        (&["spiffe://prod/ns/jobs/sa/nightly"][..], true),
        (&["spiffe://prod/sa/one"], true),
        (&["spiffe://prod/sa/other", "batch.EXAMPLE.com"], true),
        (&["spiffe://prod/ns/jobs/"], false),
        (&["spiffe://prod/ns/jobs"], false),
        (&["spiffe://prod/ns/Jobs/x"], false),
        (&["spiffe://prod/sa/one/more"], false),
        (&["spiffe://prod/sa/One"], false),
        (&["evil.test/spiffe://prod/ns/jobs/x"], false),
        (&["a.batch.example.com"], false),
        (&["*.example.com"], false),
        (&[""], false),
        (&[], false),
    ] {
        assert_eq!(passes(&config.policy, names, true), want, "{names:?}");
        assert!(!passes(&config.policy, names, false), "{names:?}, which is the proxy's own");
    }
}

#[test]
fn a_key_by_name_counts_by_the_first_one() {
    let key = |on_missing: &str, names: &[&str], direct: bool| {
        let text = format!("rules: [{{ name: all, key: tls:san, on_missing: {on_missing}, rate: 1/s }}]");
        let config = right(&file(&text));
        assert_eq!(*config.policy.rules()[0].key.parts, [KeyPart::TlsSan]);
        match plan(&config.policy, names, direct) {
            Plan::Blocked { rule } => panic!("{} blocks", rule.name),
            Plan::Check { checks, .. } => {
                checks.first().map_or("free".to_owned(), |check| check.client.clone())
            }
            Plan::Reject { missing, .. } => format!("lacks {missing}"),
            Plan::TooManyValues { .. } => panic!("a request has one name"),
            Plan::Bypass(_) | Plan::TooManyReadings { .. } => panic!("no check"),
        }
    };
    let one = key("client_ip", &["spiffe://prod/a", "a.test"], true);
    assert_eq!(one, key("reject", &["spiffe://prod/a"], true), "the other names matter");
    assert_ne!(one, key("client_ip", &["spiffe://prod/b", "a.test"], true));
    assert_eq!(key("client_ip", &["a.test"], true), "a.test");
    for (names, direct, address) in
        [(&[][..], true, "@192.0.2.1"), (&["spiffe://proxy"], false, "@203.0.113.9")]
    {
        assert_eq!(key("client_ip", names, direct), address);
        assert_eq!(key("shared", names, direct), "!");
        assert_eq!(key("skip", names, direct), "free");
        assert_eq!(key("reject", names, direct), "lacks tls:san");
    }
}

/// The warnings, but for the one that no client is asked for a certificate.
fn warnings(rest: &str) -> Vec<String> {
    let warnings = right(&file(rest)).warnings.into_iter().map(|warning| warning.to_string());
    let (expected, others): (Vec<_>, Vec<_>) =
        warnings.partition(|warning| warning.contains("client_ca_file"));
    assert!(expected.iter().all(|warning| warning.contains("not asked for certificates")), "{expected:?}");
    assert_eq!(expected.len(), rest.matches("san").count(), "{expected:?}");
    others
}

#[test]
fn a_pattern_for_strangers_is_a_warning() {
    for (pattern, part) in [
        ("*", "every client with a certificate"),
        ("spiffe://*", "before the trust domain does"),
        ("spiffe://prod*", "before the trust domain does"),
    ] {
        let rest =
            format!("rules: [{{ name: a, rate: 1/s }}]\nbypass: [{{ name: b, client_san: '{pattern}' }}]");
        let [warning] = &*warnings(&rest) else { panic!("{pattern}") };
        assert!(warning.contains(part) && warning.contains(":3:"), "{warning}");
        assert!(passes(&right(&file(&rest)).policy, &["spiffe://production/x"], true), "{pattern}");
    }
    for usual in ["spiffe://prod/*", "api.*", "api-*", "urn:uuid:1", "spiffe://prod/%41"] {
        let rest =
            format!("rules: [{{ name: a, rate: 1/s }}]\nbypass: [{{ name: b, client_san: '{usual}' }}]");
        assert!(warnings(&rest).is_empty(), "{usual}");
    }
}

#[test]
fn names_that_no_client_can_have_are_a_warning() {
    assert!(warnings("rules: [{ name: a, key: 'tls:san', rate: 1/s }]").is_empty());
    assert!(warnings("global: [{ name: a, key: 'tls:san', rate: 1/s }]").is_empty());
    assert!(warnings("rules: [{ name: a, rate: 1/s }]").is_empty());
}
