//! What tidegate reports about each class of faults: a fixture with the cases of the class, and the expected report.
//!
//! `INSTA_UPDATE=always cargo test --test it config::faults` writes the reports anew: review the difference.

use std::fmt::Write as _;
use std::path::Path;

use tidegate::config::Overrides;

use super::compile_named;

/// Between the cases of a fixture. It is a comment to YAML.
const SEPARATOR: &str = "# ---";

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/config/faults")
}

/// Each case of a fixture, with the number of lines before it.
fn cases(fixture: &str) -> Vec<(usize, String)> {
    let mut cases: Vec<(usize, String)> = Vec::new();
    for (index, line) in fixture.split_inclusive('\n').enumerate() {
        match cases.last_mut() {
            _ if line.trim_end() == SEPARATOR => cases.push((index + 1, String::new())),
            Some((_, text)) => text.push_str(line),
            None => assert!(line.starts_with('#'), "the fixture begins with what it is about"),
        }
    }
    cases
}

/// Each case, and what is reported about it, with the lines of the fixture.
fn report(name: &str) -> String {
    let file = format!("{name}.yaml");
    let mut report = String::new();
    for (before, text) in cases(&std::fs::read_to_string(folder().join(&file)).unwrap()) {
        let needs_upstream = name != "upstream_missing" && !text.contains("upstream:");
        let flags = Overrides {
            upstream: needs_upstream.then(|| "http://127.0.0.1:9080".to_owned()),
            ..Overrides::default()
        };
        let found = match compile_named(&file, &format!("{}{text}", "\n".repeat(before)), &flags) {
            Ok(config) => config.warnings,
            Err(errors) => errors,
        };
        assert!(!found.is_empty(), "nothing is reported about\n{text}");
        writeln!(report, "{SEPARATOR}\n{text}").unwrap();
        for diagnostic in found {
            writeln!(report, "{diagnostic}").unwrap();
        }
        report.push('\n');
    }
    report
}

macro_rules! fixtures {
    ($($name:ident)*) => {
        const FIXTURES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                let mut settings = insta::Settings::clone_current();
                settings.set_snapshot_path("faults");
                settings.set_prepend_module_to_snapshot(false);
                settings.set_omit_expression(true);
                let name = stringify!($name);
                settings.bind(|| insta::assert_snapshot!(name, report(name)));
            }
        )*
    };
}

fixtures! {
    admin
    all_at_once
    bounds_that_contradict
    bypass_client_san
    bypass_condition
    bypass_secret
    counter_key
    hidden_headers
    keys_given_twice
    keys_with_another_place_or_name
    listen_address
    listen_mode
    match_clients
    match_headers
    match_hosts
    match_methods
    match_not
    match_path
    match_query
    names
    networks
    numbers_out_of_range
    proxy_protocol
    rates_and_limits
    redis_cluster
    redis_sentinel
    redis_tls
    redis_topology_twice
    redis_url
    refusal
    secrets
    shutdown
    store
    syntax
    tiers
    tls_towards_clients
    trial
    unknown_keys
    unknown_words
    unreachable_rules
    upstream_missing
    upstream_that_is_tidegate_itself
    upstream_tls
    upstream_url
    values_of_another_type
    warnings
}

#[test]
fn every_fixture_is_tested() {
    let names = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    let mut fixtures: Vec<_> =
        names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
    fixtures.sort();
    assert_eq!(fixtures, FIXTURES);
}
