//! `tidegate explain` of tiers, trial limits, and paths that upstreams may read in two ways.

use serde_json::{Value, json};

use crate::harness::command;

const CONFIG: &str = r#"
upstream: http://127.0.0.1:9
store: { memory: {} }
bypass:
  - { name: short, paths: ["/{name}"] }
  - { name: public, paths: [/public/*] }
tiers:
  - { name: gold, match: { headers: { X-Plan: gold } } }
  - { name: partner, keys_file: partners }
  - { name: staff, match: { clients: [10.0.0.0/8] } }
rules:
  - name: api
    match: { path: /api/* }
    key: ["header:X-Api-Key"]
    rate: 30/min
    trial: { rate: 20/min, burst: 2 }
    tiers: { gold: { rate: 300/min, burst: 50 }, partner: { limits: [{ rate: 5/s }, { rate: 1000/h }] }, staff: unlimited }
  - { name: project, match: { path: "/projects/{id}" }, key: ["path:id"], rate: 10/min }
  - { name: below, match: { path: /projects/* }, rate: 50/min }
  - { name: plain, match: { path: /plain/* }, rate: 5/min, tiers: { staff: unlimited } }
"#;

fn explain(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.yaml");
    std::fs::write(&file, CONFIG).unwrap();
    std::fs::write(folder.path().join("partners"), "partner-key\n").unwrap();
    let output = command().arg("explain").arg("--config").arg(file).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn explained(arguments: &[&str]) -> Value {
    serde_json::from_str(&explain(&[arguments, &["--format=json"]].concat())).unwrap()
}

/// Of each rule that is charged: its name, the tier, and the limits as quota per window.
fn charged(explained: &Value) -> Vec<(String, Option<String>, Vec<String>)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let limit = |limit: &Value| format!("{}/{}", limit["quota"], limit["window_ms"]);
    let check = |check: &Value| {
        let limits = check["limits"].as_array().unwrap().iter().map(limit).collect();
        (text(&check["rule"]).unwrap(), text(&check["tier"]), limits)
    };
    explained["checks"].as_array().unwrap().iter().map(check).collect()
}

fn why(explained: &Value, name: &str) -> String {
    let others = explained["others"].as_array().unwrap();
    let other = others.iter().find(|other| other["name"] == name);
    other.map(|other| other["why"].as_str().unwrap().to_owned()).unwrap_or_default()
}

#[test]
fn the_limits_are_those_of_the_tier() {
    for (fields, tier, limits) in [
        (&["-H", "X-Api-Key: a"][..], None, &["30/60000"][..]),
        (&["-H", "X-Api-Key: a", "-H", "X-Plan: gold"], Some("gold"), &["300/60000"]),
        (&["-H", "X-Api-Key: a", "-H", "X-Plan: silver"], None, &["30/60000"]),
        (&["-H", "X-Api-Key: partner-key"], Some("partner"), &["5/1000", "1000/3600000"]),
        // Of two tiers the first.
        (&["-H", "X-Api-Key: partner-key", "-H", "X-Plan: gold"], Some("gold"), &["300/60000"]),
    ] {
        let found = explained(&[&["GET", "/api/a"], fields].concat());
        let want =
            ("api".to_owned(), tier.map(str::to_owned), limits.iter().map(ToString::to_string).collect());
        assert_eq!(charged(&found), [want], "{fields:?}");
    }
}

#[test]
fn a_tier_of_several_values_is_that_of_each_counter() {
    let found = explained(&["GET", "/api/a", "-H", "X-Api-Key: a", "-H", "X-Api-Key: partner-key"]);
    let tiers: Vec<Option<String>> = charged(&found).into_iter().map(|(_, tier, _)| tier).collect();
    assert_eq!(tiers, [None, Some("partner".to_owned())]);
}

#[test]
fn an_unlimited_tier_has_nothing_to_check() {
    let found = explained(&["GET", "/plain/a", "--peer=10.1.2.3"]);
    assert_eq!((charged(&found), &found["decision"]), (vec![], &json!("unlimited")));
    assert_eq!(why(&found, "plain"), "it matches, and the tier staff is unlimited");
}

/// The limits of an unlimited tier are none, and its trial limit counts all the same.
#[test]
fn the_trial_limit_is_the_same_for_all_tiers() {
    for (fields, limits) in
        [(&["--peer=192.0.2.1"][..], 1), (&["-H", "X-Plan: gold"], 1), (&["--peer=10.1.2.3"], 0)]
    {
        let found = explained(&[&["GET", "/api/a"], fields].concat());
        let check = &found["checks"][0];
        let trial = &check["trial"];
        let trial = ["name", "rate", "burst"].map(|key| trial[key].clone());
        assert_eq!(trial, [json!("api~trial"), json!("20/min"), json!(2)], "{fields:?}");
        assert_eq!(check["limits"].as_array().unwrap().len(), limits, "{fields:?}");
    }
    let found = explained(&["GET", "/projects/a"]);
    assert_eq!(found["checks"][0]["trial"], Value::Null);
}

#[test]
fn the_text_has_tier_and_trial() {
    let text = explain(&["GET", "/api/a", "-H", "X-Plan: gold"]);
    let (_, rule) = text.split_once("\n\n").unwrap();
    let want = "\
rule         api (mode: enforce, on_outage: local)
  key        header:x-api-key
  counter    @127.0.0.1
  tier       gold
  limit      300 per 60s, burst 50
  trial      20 per 60s, burst 2
";
    assert!(rule.starts_with(want), "{text}");
}

#[test]
fn an_encoded_slash_counts_against_the_rules_of_both_readings() {
    let found = explained(&["GET", "/projects/group%2Fapp"]);
    let counters: Vec<(&Value, &Value, &Value)> = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (&check["rule"], &check["counter"], &check["in_one_reading"]))
        .collect();
    assert_eq!((counters[0].0, counters[0].2), (&json!("project"), &json!(true)));
    assert_eq!(counters[1..], [(&json!("below"), &json!("127.0.0.1"), &json!(false))]);
    assert!(counters[0].1.as_str().unwrap().starts_with('~'), "the segment group%2Fapp, hashed: {found}");
    assert_eq!(found["seen"]["forwarded"], "/projects/group%2Fapp");
}

#[test]
fn one_reading_of_two_that_a_bypass_admits_is_no_bypass() {
    for (path, decision) in [
        ("/a", "bypassed"),
        ("/public%2Fa", "bypassed"),
        ("/private%2Fa", "unlimited"),
        ("/public%2Fa/b", "unlimited"),
    ] {
        let found = explained(&["GET", path]);
        assert_eq!(found["decision"], decision, "{path}");
    }
    let found = explained(&["GET", "/private%2Fa"]);
    assert_eq!(
        why(&found, "short"),
        "it matches the path as it is sent, but not with its separators decoded"
    );
}

#[test]
fn a_path_with_further_readings_is_refused() {
    for path in ["/projects/a%2F..%2Fb", "/projects/a%2Fb%5Cc", "/projects/a%2F%2Fb"] {
        let found = explained(&["GET", path]);
        assert_eq!((&found["decision"], &found["status"]), (&json!("rejected"), &json!(400)), "{path}");
    }
}
