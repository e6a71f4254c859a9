//! `tidegate explain`: the decision about a request, and the reasons.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Finished, Tidegate, Upstream, client, command, standing};

const CONFIG: &str = r#"
store: { memory: {} }
client: { trusted_proxies: [10.0.0.0/8, 127.0.0.1] }
bypass:
  - { name: probes, paths: [/healthz] }
  - { name: office, clients: [203.0.113.0/24] }
global:
  - { name: everyone, rate: 5000/s, mode: shadow }
  - { name: posts, match: { methods: [POST] }, rate: 100/s }
rules:
  - { name: dry-run, match: { path: /tasks, query: { dry_run: "true" } }, rate: 600/min, burst: 50 }
  - { name: anonymous, match: { path: /tasks, not: { headers: { X-Api-Key: "*" } } }, limits: [{ rate: 5/min }, { rate: 50/day }] }
  - { name: keyed, match: { path: [/tasks, "/tasks/{id}"] }, key: ["header:X-Api-Key"], on_missing: reject, rate: 100/min }
  - { name: paused, match: { path: /paused }, rate: 1/s, mode: off }
  - { name: sockets, match: { websocket: true }, rate: 10/min }
  - { name: skipped, match: { path: /skipped }, key: ["cookie:sid"], on_missing: skip, rate: 1/s }
"#;

fn file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.yaml");
    std::fs::write(&file, format!("upstream: http://127.0.0.1:9\n{CONFIG}")).unwrap();
    (folder, file)
}

fn explain(arguments: &[&str]) -> Finished {
    let (_folder, file) = file();
    let output = command().arg("explain").arg("--config").arg(file).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The explanation, on few lines: the name of each rule that is charged, and why each other one is not.
fn explained(arguments: &[&str]) -> Value {
    let Finished { status, stdout, stderr } = explain(&[arguments, &["--format", "json"]].concat());
    assert_eq!((status.code(), &*stderr), (Some(0), ""), "{arguments:?}");
    serde_json::from_str(&stdout).unwrap()
}

fn names(explained: &Value) -> Vec<&str> {
    explained["checks"].as_array().unwrap().iter().map(|check| check["rule"].as_str().unwrap()).collect()
}

fn why<'e>(explained: &'e Value, name: &str) -> &'e str {
    let others = explained["others"].as_array().unwrap();
    others.iter().find(|other| other["name"] == name).map_or("", |other| other["why"].as_str().unwrap())
}

#[test]
fn it_names_what_is_charged_and_why_the_others_are_not() {
    let found = explained(&["GET", "http://api.test/tasks?page=2"]);
    assert_eq!(found["decision"], "checked");
    assert_eq!(names(&found), ["everyone", "anonymous"]);
    let limits = json!([
        { "name": "anonymous:60s", "rate": "5/min", "quota": 5, "window_ms": 60_000, "burst": 0, "slices": 64 },
        { "name": "anonymous:86400s", "rate": "50/day", "quota": 50, "window_ms": 86_400_000, "burst": 0, "slices": 9 },
    ]);
    let check = &found["checks"][1];
    assert_eq!(
        (&check["limits"], &check["key"], &check["counter"]),
        (&limits, &json!(["client_ip"]), &json!("127.0.0.1"))
    );
    for (name, want) in [
        ("probes", "no match: path /healthz"),
        ("office", "no match: clients 203.0.113.0/24"),
        ("posts", "no match: methods POST"),
        ("dry-run", "no match: query dry_run: \"true\""),
        ("keyed", "it would match, but anonymous comes first"),
        ("sockets", "no match: websocket: true"),
    ] {
        assert_eq!(why(&found, name), want);
    }
}

#[test]
fn headers_select_rules_and_keys() {
    let found = explained(&["GET", "/tasks/7", "-H", "X-Api-Key: 0123"]);
    assert_eq!(names(&found), ["everyone", "keyed"]);
    let counter = found["checks"][1]["counter"].as_str().unwrap();
    assert!(counter.starts_with('~') && !counter.contains("0123"), "{counter}");
    let found = explained(&["GET", "/tasks", "-H", "X-Api-Key: 0123"]);
    assert_eq!(why(&found, "anonymous"), "excluded by not: headers x-api-key: \"*\"");
}

#[test]
fn a_request_that_can_be_read_in_two_ways_counts_against_both_rules() {
    let found = explained(&["GET", "/tasks?dry_run=true&dry_run=false"]);
    assert_eq!(names(&found), ["everyone", "dry-run", "anonymous"]);
    let readings: Vec<&Value> =
        found["checks"].as_array().unwrap().iter().map(|check| &check["in_one_reading"]).collect();
    assert_eq!(readings, [false, true, false]);
}

#[test]
fn the_client_is_the_one_that_a_trusted_proxy_names() {
    for (arguments, decision) in [
        (&["--peer", "10.0.0.1", "-H", "X-Forwarded-For: 203.0.113.9"][..], "bypassed"),
        (&["--peer", "192.0.2.1", "-H", "X-Forwarded-For: 203.0.113.9"], "checked"),
        (&["--peer", "203.0.113.9"], "bypassed"),
    ] {
        let found = explained(&[&["GET", "/tasks"], arguments].concat());
        assert_eq!(found["decision"], decision, "{arguments:?}");
    }
}

#[test]
fn refusals_without_a_check_have_their_reason() {
    for (arguments, reason) in [
        (&["GET", "/tasks/7"][..], "the key of rule keyed needs header:x-api-key, once and not empty"),
        (&["GET", "/a/%00"], "the path holds a control character"),
        (&["TRACE", "/"], "the method TRACE is not forwarded"),
    ] {
        let found = explained(arguments);
        assert_eq!(
            (&found["decision"], &found["reason"]),
            (&json!("rejected"), &json!(reason)),
            "{arguments:?}"
        );
    }
}

#[test]
fn rules_that_check_nothing_say_so() {
    let found = explained(&["GET", "/paused"]);
    assert_eq!(names(&found), ["everyone"]);
    assert_eq!(why(&found, "paused"), "it matches, and checks nothing (mode: off)");
    let found = explained(&["GET", "/skipped"]);
    assert_eq!(why(&found, "skipped"), "it matches, but a part of its key is missing (cookie:sid)");
}

#[test]
fn an_upgrade_to_websocket_is_one() {
    let found = explained(&["GET", "/x", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket"]);
    assert_eq!(names(&found), ["everyone", "sockets"]);
}

#[test]
fn the_text_fits_a_terminal() {
    let arguments = [
        "POST",
        "https://api.test/tasks//?dry_run=true",
        "--peer=10.0.0.1",
        "-H",
        "X-Forwarded-For: 198.51.100.1",
    ];
    let Finished { status, stdout, stderr } = explain(&arguments);
    assert_eq!((status.code(), &*stderr), (Some(0), ""));
    let want = "\
request      POST https://api.test/tasks//?dry_run=true
host         api.test
path         /tasks/
forwarded    /tasks/?dry_run=true
client       198.51.100.1, named by the trusted proxy 10.0.0.1
decision     counts against 3 rules, all or none

global rule  everyone (mode: shadow, on_outage: local)
  key        []: one bucket for all
  counter    *
  limit      5000 per 1s

global rule  posts (mode: enforce, on_outage: local)
  key        []: one bucket for all
  counter    *
  limit      100 per 1s

rule         dry-run (mode: enforce, on_outage: local)
  key        client_ip
  counter    198.51.100.1
  limit      600 per 60s, burst 50

not matched
  probes (bypass): no match: path /healthz
  office (bypass): no match: clients 203.0.113.0/24
  anonymous (rule): it would match, but dry-run comes first
  keyed (rule): it would match, but dry-run comes first
  paused (rule): no match: path /paused
  sockets (rule): no match: websocket: true
  skipped (rule): no match: path /skipped
";
    assert_eq!(stdout, want);
    assert!(stdout.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn wrong_arguments_are_wrong_usage() {
    for arguments in [
        &["GET"][..],
        &["G ET", "/"],
        &["GET", "/ x"],
        &["GET", "/", "-H", "nothing"],
        &["GET", "/", "--peer=x"],
    ] {
        assert_eq!(explain(arguments).status.code(), Some(64), "{arguments:?}");
    }
    let output = command().args(["explain", "GET", "/", "--upstream=nothing:"]).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
}

#[tokio::test]
async fn the_proxy_does_what_is_explained() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, CONFIG).await;
    for (target, headers) in [
        ("/tasks", &[][..]),
        ("/tasks?dry_run=true", &[]),
        ("/tasks?dry_run=true&dry_run=1", &[]),
        ("/tasks/7", &[("X-Api-Key", "a")]),
        ("/tasks/7", &[]),
        ("/healthz", &[]),
        ("/tasks", &[("X-Forwarded-For", "203.0.113.1")]),
    ] {
        let mut request = client().get(tidegate.url(target));
        let mut arguments = vec!["GET".to_owned(), target.to_owned()];
        for (name, value) in headers {
            request = request.header(*name, *value);
            arguments.extend(["-H".to_owned(), format!("{name}: {value}")]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let found = explained(&arguments);
        let response = request.send().await.unwrap();
        let reported = standing(response.headers()).map(|(limit, _)| limit);
        let charged = names(&found);
        let rule = reported.as_deref().map(|limit| limit.split(':').next().unwrap());
        assert_eq!(response.status() == 400, found["decision"] == "rejected", "{target} {headers:?}");
        match rule {
            Some(rule) => assert!(charged.contains(&rule), "{target} {headers:?}: {rule}"),
            None => {
                assert!(charged.iter().all(|rule| *rule == "everyone"), "{target} {headers:?}: {charged:?}")
            }
        }
    }
}
