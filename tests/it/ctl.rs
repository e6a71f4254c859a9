//! `tidegate ctl`, against a real instance.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::{Finished, ReservedPort, Tidegate, Upstream, client, command};

const RULES: &str = "
store: { memory: {} }
rules:
  - { name: tasks, match: { path: /tasks }, rate: 3/h, burst: 2 }
  - { name: shared, match: { path: /shared }, key: [], rate: 9/min }
  - { name: a-rule-with-a-name-that-is-as-long-as-one-can-be-64-characters-x, key: ['header:X-Api-Key', client_ip], rate: 9/min }
global:
  - { name: all, rate: 1000/s }
";

async fn instance() -> (Upstream, Tidegate) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, RULES).await;
    (upstream, tidegate)
}

/// Runs `ctl` with these arguments against an instance.
async fn ctl(tidegate: &Tidegate, arguments: &[&str]) -> Finished {
    let mut command = command();
    command.arg("ctl").args(arguments).env("TIDEGATE_ADMIN_SERVER", format!("http://{}", tidegate.admin));
    finished(command).await
}

/// The runtime of a test has one thread, which must go on meanwhile.
async fn finished(mut command: Command) -> Finished {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

fn succeeded(ended: &Finished) -> &str {
    assert_eq!((ended.status.code(), &*ended.stderr), (Some(0), ""), "{}", ended.stdout);
    &ended.stdout
}

fn failed<'a>(ended: &'a Finished, code: i32, parts: &[&str]) -> &'a str {
    assert_eq!((ended.status.code(), &*ended.stdout), (Some(code), ""), "{}", ended.stderr);
    for part in parts {
        assert!(ended.stderr.contains(part), "'{part}' is not in: {}", ended.stderr);
    }
    &ended.stderr
}

#[tokio::test]
async fn every_table_fits_a_terminal() {
    let (_upstream, tidegate) = instance().await;
    for arguments in [&["status"][..], &["rules"], &["rules", "tasks"], &["instances"], &["reload"]] {
        let ended = ctl(&tidegate, arguments).await;
        for line in succeeded(&ended).lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
}

#[tokio::test]
async fn the_status_shows_the_build_and_the_configuration() {
    let (_upstream, tidegate) = instance().await;
    let ended = ctl(&tidegate, &["status"]).await;
    let text = succeeded(&ended);
    for part in [env!("CARGO_PKG_VERSION"), "tidegate.yaml", "memory, up", "uptime", "hash"] {
        assert!(text.contains(part), "'{part}' is not in\n{text}");
    }
}

#[tokio::test]
async fn the_rules_show_their_limits() {
    let (_upstream, tidegate) = instance().await;
    let ended = ctl(&tidegate, &["rules"]).await;
    let text = succeeded(&ended);
    for part in ["RULE", "tasks", "3/h burst 2", "all (global)", "1000/s", "shared by all"] {
        assert!(text.contains(part), "'{part}' is not in\n{text}");
    }
    let one = ctl(&tidegate, &["rules", "tasks"]).await;
    assert!(succeeded(&one).contains("enforce: 3/h burst 2"), "{}", one.stdout);
}

#[tokio::test]
async fn json_is_the_response_of_the_api() {
    let (_upstream, tidegate) = instance().await;
    let ended = ctl(&tidegate, &["rules", "--output", "json"]).await;
    let value: Value = serde_json::from_str(succeeded(&ended)).unwrap();
    assert_eq!(value["rules"][0]["name"], "tasks");
}

#[tokio::test]
async fn flags_are_accepted_before_and_after_the_command() {
    let (_upstream, tidegate) = instance().await;
    let server = format!("--server={}", tidegate.admin);
    for arguments in
        [["ctl", &server, "--output=json", "instances"], ["ctl", "instances", &server, "--output=json"]]
    {
        let mut command = command();
        command.args(arguments);
        let ended = finished(command).await;
        assert!(serde_json::from_str::<Value>(succeeded(&ended)).is_ok(), "{arguments:?}: {}", ended.stdout);
    }
}

#[tokio::test]
async fn a_reload_of_a_faulty_file_prints_its_faults() {
    let (_upstream, tidegate) = instance().await;
    tidegate.rewrite(&RULES.replace("rate: 3/h", "rate: often"));
    let ended = ctl(&tidegate, &["reload"]).await;
    let parts =
        ["invalid rate 'often'", " --> ", "tidegate.yaml:4:", "help: expected N/s", "nothing was changed"];
    failed(&ended, 78, &parts);
    tidegate.rewrite(&RULES.replace("rate: 3/h", "rate: 4/h"));
    assert!(succeeded(&ctl(&tidegate, &["reload"]).await).contains("in force: "));
    assert!(succeeded(&ctl(&tidegate, &["rules", "tasks"]).await).contains("4/h"));
    let status = ctl(&tidegate, &["status"]).await;
    assert!(succeeded(&status).contains("last failure"), "{}", status.stdout);
}

#[tokio::test]
async fn a_rule_that_is_not_there_is_an_error() {
    let (_upstream, tidegate) = instance().await;
    failed(&ctl(&tidegate, &["rules", "no/such rule"]).await, 1, &["there is no rule of this name", "help:"]);
}

#[tokio::test]
async fn a_token_is_read_from_its_file() {
    let (upstream, files) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let token = files.path().join("token");
    std::fs::write(&token, "a-token-of-the-tests-0123456789\n").unwrap();
    let admin = format!("admin: {{ tokens: [{{ name: a, file: '{}' }}] }}\n", token.display());
    let tidegate = Tidegate::configured(upstream.address, &(admin + RULES)).await;
    let flag = format!("--token-file={}", token.display());
    succeeded(&ctl(&tidegate, &["status", &flag]).await);
    failed(&ctl(&tidegate, &["status"]).await, 1, &["no bearer token", "--token-file"]);
    failed(&ctl(&tidegate, &["reload", &flag]).await, 1, &["may only read", "role: write"]);
    std::fs::write(&token, "").unwrap();
    failed(&ctl(&tidegate, &["status", &flag]).await, 1, &["has no token"]);
    failed(
        &ctl(&tidegate, &["status", "--token-file=/no/such/file"]).await,
        1,
        &["/no/such/file", "cannot be read"],
    );
}

#[tokio::test]
async fn an_instance_that_cannot_be_reached_is_an_error_that_says_what_to_do() {
    let closed = ReservedPort::new();
    let mut command = command();
    command.args(["ctl", "status", &format!("--server=http://{}", closed.address())]);
    let address = closed.address().to_string();
    failed(&finished(command).await, 1, &["cannot connect to", &address, "--server", "kubectl port-forward"]);
}

#[tokio::test]
async fn another_server_than_the_api_is_an_error() {
    let (upstream, tidegate) = instance().await;
    let server = format!("--server=http://{}", upstream.address);
    failed(&ctl(&tidegate, &["status", &server]).await, 1, &["invalid response from"]);
}

#[tokio::test]
async fn a_server_that_is_not_a_url_is_an_error() {
    for (server, part) in [
        ("https://127.0.0.1:9901", "has no TLS"),
        ("ftp://a", "invalid server"),
        ("http://", "invalid server"),
    ] {
        let mut command = command();
        command.args(["ctl", "status", "--server", server]);
        failed(&finished(command).await, 1, &[part]);
    }
}

#[tokio::test]
async fn a_rule_is_set_and_unset() {
    let (_upstream, tidegate) = instance().await;
    let set = ["set", "tasks", "--rate", "9/h", "--burst=1", "--expires-in", "30m", "--reason", "a sale"];
    let ended = ctl(&tidegate, &set).await;
    for part in ["tasks: rate 9/h, burst 1", "for 30m", "on this instance"] {
        assert!(succeeded(&ended).contains(part), "'{part}' is not in\n{}", ended.stdout);
    }
    let listed = ctl(&tidegate, &["overrides"]).await;
    for part in ["tasks", "rate 9/h, burst 1", "in ", "anonymous", "a sale", "memory of this instance"] {
        assert!(succeeded(&listed).contains(part), "'{part}' is not in\n{}", listed.stdout);
    }
    let rule = ctl(&tidegate, &["rules", "tasks"]).await;
    assert!(
        succeeded(&rule).contains("enforce: 9/h burst 1") && rule.stdout.contains("enforce: 3/h burst 2")
    );
    assert!(succeeded(&ctl(&tidegate, &["status"]).await).contains("overrides"), "the status counts them");
    assert!(succeeded(&ctl(&tidegate, &["unset", "tasks"]).await).contains("no override any more"));
    assert!(succeeded(&ctl(&tidegate, &["overrides"]).await).starts_with("no overrides"));
}

#[tokio::test]
async fn the_kill_switch_puts_all_rules_into_shadow_mode() {
    let (_upstream, tidegate) = instance().await;
    let ended = ctl(&tidegate, &["set", "--all", "--mode", "shadow", "--expires-in", "30m"]).await;
    assert!(succeeded(&ended).contains("(all rules): mode shadow for 30m"), "{}", ended.stdout);
    let rules = ctl(&tidegate, &["rules"]).await;
    assert!(succeeded(&rules).contains("shadow") && !rules.stdout.contains("enforce"), "{}", rules.stdout);
    succeeded(&ctl(&tidegate, &["unset", "--all"]).await);
    assert!(succeeded(&ctl(&tidegate, &["rules"]).await).contains("enforce"));
}

#[tokio::test]
async fn a_client_is_shown_blocked_freed_and_reset() {
    let (_upstream, tidegate) = instance().await;
    for _ in 0..6 {
        client().get(tidegate.url("/tasks")).send().await.unwrap();
    }
    let shown = ctl(&tidegate, &["client", "show", "tasks", "127.0.0.1"]).await;
    for part in ["127.0.0.1", "3/h burst 2", "in ", "LIMIT", "REMAINING"] {
        assert!(succeeded(&shown).contains(part), "'{part}' is not in\n{}", shown.stdout);
    }
    assert!(shown.stdout.lines().all(|line| line.chars().count() <= 80), "{}", shown.stdout);
    succeeded(&ctl(&tidegate, &["client", "reset", "tasks", "127.0.0.1"]).await);
    assert_eq!(client().get(tidegate.url("/tasks")).send().await.unwrap().status(), 200);
    succeeded(&ctl(&tidegate, &["client", "set", "tasks", "127.0.0.1", "--blocked", "--reason=abuse"]).await);
    assert_eq!(client().get(tidegate.url("/tasks")).send().await.unwrap().status(), 403);
    let shown = ctl(&tidegate, &["client", "show", "tasks", "127.0.0.1"]).await;
    assert!(succeeded(&shown).contains("blocked, ends -, by anonymous: abuse"), "{}", shown.stdout);
    succeeded(&ctl(&tidegate, &["client", "unset", "tasks", "127.0.0.1"]).await);
    assert_eq!(client().get(tidegate.url("/tasks")).send().await.unwrap().status(), 200);
}

/// A rule whose key has two parts, one of which is a secret.
const KEYED: &str = "a-rule-with-a-name-that-is-as-long-as-one-can-be-64-characters-x";

#[tokio::test]
async fn a_client_is_named_by_its_values_or_its_id() {
    let (_upstream, tidegate) = instance().await;
    let set = ["client", "set", KEYED, "hunter2", "2001:db8::1", "--unlimited", "--output=json"];
    let ended = ctl(&tidegate, &set).await;
    let set: Value = serde_json::from_str(succeeded(&ended)).unwrap();
    let id = set["client"].as_str().unwrap();
    assert!(id.starts_with('~') && id.ends_with(",2001:db8::/64"), "{id}");
    let shown = ctl(&tidegate, &["client", "show", KEYED, id, "--output=json"]).await;
    let shown: Value = serde_json::from_str(succeeded(&shown)).unwrap();
    assert_eq!((&shown["id"], &shown["override"]["unlimited"]), (&set["client"], &Value::Bool(true)));
    let shared = ctl(&tidegate, &["client", "show", "shared", "--output=json"]).await;
    assert!(succeeded(&shared).contains("\"id\": \"*\""), "{}", shared.stdout);
    failed(
        &ctl(&tidegate, &["client", "show", KEYED, "a", "b", "c"]).await,
        1,
        &["expected 2 values", "found 3"],
    );
}

#[tokio::test]
async fn secrets_are_read_from_standard_input() {
    let (_upstream, tidegate) = instance().await;
    let mut command = command();
    command.args(["ctl", "client", "show", KEYED, "-", "--server", &tidegate.admin.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hunter2\n192.0.2.1\n").unwrap();
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && shown.contains(",192.0.2.1"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn the_override_of_a_client_whose_rule_is_gone_is_removed_by_its_id() {
    let (_upstream, tidegate) = instance().await;
    succeeded(&ctl(&tidegate, &["client", "set", "tasks", "192.0.2.1", "--blocked"]).await);
    tidegate.rewrite(&RULES.replace("name: tasks", "name: renamed"));
    succeeded(&ctl(&tidegate, &["reload"]).await);
    assert!(succeeded(&ctl(&tidegate, &["overrides"]).await).contains("no effect"), "it is marked");
    succeeded(&ctl(&tidegate, &["client", "unset", "tasks", "192.0.2.1"]).await);
    assert!(succeeded(&ctl(&tidegate, &["overrides"]).await).starts_with("no overrides"));
}

#[tokio::test]
async fn a_request_is_explained_with_the_overrides_in_force() {
    let (_upstream, tidegate) = instance().await;
    succeeded(&ctl(&tidegate, &["set", "tasks", "--rate=9/h"]).await);
    let ended =
        ctl(&tidegate, &["explain", "GET", "/tasks", "-H", "X-Api-Key: hunter2", "--peer=192.0.2.7"]).await;
    for part in ["decision", "checked", "tasks: enforce 9/h", "192.0.2.7", "not matched"] {
        assert!(succeeded(&ended).contains(part), "'{part}' is not in\n{}", ended.stdout);
    }
    assert!(!ended.stdout.contains("hunter2"), "{}", ended.stdout);
    assert!(ended.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
}

#[tokio::test]
async fn a_change_that_is_refused_is_an_error() {
    let (_upstream, tidegate) = instance().await;
    failed(
        &ctl(&tidegate, &["set", "tasks", "--rate=often"]).await,
        1,
        &["invalid rate 'often'", "help: expected N/s"],
    );
    failed(&ctl(&tidegate, &["set", "none", "--mode=off"]).await, 1, &["there is no rule of this name"]);
    failed(&ctl(&tidegate, &["set", "--all", "--mode=enforce"]).await, 1, &["mode shadow or off"]);
}

#[tokio::test]
async fn wrong_usage_ends_with_64() {
    for arguments in [
        &["ctl"][..],
        &["ctl", "stats"],
        &["ctl", "status", "--output=xml"],
        &["ctl", "rules", "a", "b"],
        &["ctl", "set", "tasks"],
        &["ctl", "set", "--mode=off"],
        &["ctl", "set", "tasks", "--all", "--mode=off"],
        &["ctl", "set", "tasks", "--mode=tarpit"],
        &["ctl", "unset"],
        &["ctl", "client", "set", "tasks", "a"],
        &["ctl", "client", "set", "tasks", "a", "--blocked", "--unlimited"],
        &["ctl", "client", "set", "tasks", "a", "--blocked", "--burst=1"],
    ] {
        let mut command = command();
        command.args(arguments);
        assert_eq!(finished(command).await.status.code(), Some(64), "{arguments:?}");
    }
}
