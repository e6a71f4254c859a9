//! The file that ships.

use tidegate::policy::counter_key::KeyPart;
use tidegate::policy::{Mode, OnOutage};
use tidegate::settings::StoreSettings;

use super::{compile, limits, listed, right, servers};

pub const SHIPPED: &str = include_str!("../../../configs/rate_limits.yaml");

#[test]
fn it_holds_exactly_the_five_limits() {
    let config = right(SHIPPED);
    assert!(config.warnings.is_empty(), "{}", listed(&config.warnings));
    let rules: Vec<String> = config.policy.rules().iter().map(limits).collect();
    assert_eq!(
        rules,
        [
            "list-tasks 100/60000+10*7",
            "create-task 30/60000+5*13",
            "update-task 60/60000+10*7",
            "import-prd 5/60000+2*64",
            "suggest-tasks 10/60000+3*64",
        ]
    );
    let endpoints = [
        ("GET", "/api/v1/tasks"),
        ("POST", "/api/v1/tasks"),
        ("PATCH", "/api/v1/tasks/42"),
        ("POST", "/api/v1/prd/import"),
        ("POST", "/api/v1/tasks/suggest"),
    ];
    for (rule, (method, path)) in config.policy.rules().iter().zip(endpoints) {
        assert_eq!(format!("{:?}", rule.matches.methods), format!("[{method}]"));
        assert!(rule.matches.path.captures(path).is_some(), "{path}");
        assert_eq!((&*rule.key.parts, rule.mode), (&[KeyPart::ClientIp][..], Mode::Enforce));
        assert_eq!(rule.on_outage, OnOutage::Local);
    }
    assert!(config.policy.global().is_empty());
    let settings = config.settings;
    assert_eq!(
        (settings.listen.to_string(), settings.upstream.to_string()),
        ("0.0.0.0:8080".to_owned(), "http://127.0.0.1:9080".to_owned())
    );
    let StoreSettings::Redis(redis) = settings.store else { panic!("no Redis") };
    assert_eq!((&*servers(&redis), redis.tls.is_none()), ("127.0.0.1:6379/0", true));
}

/// Its commented-out examples: runs of lines with the marker.
fn examples() -> Vec<std::ops::Range<usize>> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    for (place, line) in SHIPPED.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("#~ "))
    {
        let starts_item = line.contains("#~ - ");
        match runs.last_mut() {
            Some(run) if run.end == place && !starts_item => run.end += 1,
            _ => runs.push(place..place + 1),
        }
    }
    runs
}

/// The file with the examples in these lines in use.
fn with(used: impl Fn(usize) -> bool) -> String {
    let line = |(place, line): (usize, &str)| {
        if used(place) { line.replacen("#~ ", "", 1) } else { line.to_owned() }
    };
    // The secret that the examples name lies elsewhere in this test.
    let text: Vec<String> = SHIPPED.lines().enumerate().map(line).collect();
    text.join("\n")
        .replace("redis-password", "secret")
        .replace("internal-token", "secret")
        .replace("admin-token", "secret")
}

#[test]
fn every_example_is_right_alone() {
    let examples = examples();
    assert_eq!(examples.len(), 17, "{examples:?}");
    for example in &examples {
        let text = with(|place| example.contains(&place));
        let config = compile(&text).unwrap_or_else(|diagnostics| panic!("{}\n{text}", listed(&diagnostics)));
        let mut warnings = config.warnings;
        // The comment above that example says so.
        warnings.retain(|warning| {
            !warning.message.contains("'reports' does not limit a client that sends another")
        });
        assert!(warnings.is_empty(), "{}", listed(&warnings));
    }
}

#[test]
fn all_examples_are_right_together() {
    let all = right(&with(|_| true));
    assert_eq!((all.policy.rules().len(), all.policy.global().len()), (8, 1));
    let settings = all.settings;
    assert!(settings.tls.is_some_and(|tls| tls.client_ca.is_some()) && settings.proxy_protocol.len() == 1);
}

/// Using one changes nothing by itself.
#[test]
fn examples_show_the_defaults() {
    let [used, shipped] = [&*with(|_| true), SHIPPED].map(|text| right(text).settings);
    assert_eq!((used.bounds, used.upstream), (shipped.bounds, shipped.upstream));
}

#[test]
fn each_marker_ends_in_a_blank() {
    let mentioned = SHIPPED.lines().filter(|line| line.trim_start().starts_with("#~")).count();
    assert_eq!(mentioned, examples().iter().map(ExactSizeIterator::len).sum::<usize>());
}
