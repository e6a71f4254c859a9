//! The environment variables of flags.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Output;

use crate::harness::{Tidegate, Upstream, client, command};

const VARIABLES: [&str; 7] = [
    "TIDEGATE_CONFIG",
    "TIDEGATE_LISTEN",
    "TIDEGATE_UPSTREAM",
    "TIDEGATE_REDIS",
    "TIDEGATE_LIMIT",
    "TIDEGATE_OPS_LISTEN",
    "TIDEGATE_LOG",
];

fn output(variables: &[(&str, &OsStr)], arguments: &[&str]) -> Output {
    command().args(arguments).envs(variables.iter().copied()).output().unwrap()
}

/// Its exit code, and what it writes to standard error.
fn failed(variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let variables: Vec<(&str, &OsStr)> =
        variables.iter().map(|(name, value)| (*name, OsStr::new(value))).collect();
    let output = output(&variables, arguments);
    assert!(output.stdout.is_empty(), "{variables:?} {arguments:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// The location of the only error that it reports.
fn located(stderr: &str) -> &str {
    let [error, location, help] = stderr.lines().collect::<Vec<_>>()[..] else { panic!("{stderr}") };
    assert!(error.starts_with("error: ") && help.starts_with("    help: "), "{stderr}");
    location.strip_prefix(" --> ").unwrap()
}

#[tokio::test]
async fn empty_variables_count_as_unset() {
    let upstream = Upstream::start().await;
    let mut command = command();
    command.args(["--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--limit=/a=1/h"]);
    command.arg(format!("--upstream=http://{}", upstream.address));
    command.envs(VARIABLES.map(|name| (name, ""))).env("TIDEGATE_REDIS_PASSWORD", "");
    let tidegate = Tidegate::spawn(command).await;
    for want in [200, 429] {
        assert_eq!(client().get(tidegate.url("/a")).send().await.unwrap().status(), want);
    }
}

#[test]
fn a_flag_whose_variable_is_empty_has_its_default() {
    let empty = VARIABLES.map(|name| (name, ""));
    // Nothing but the upstream is missing.
    for arguments in [&["run"][..], &[]] {
        let (code, said) = failed(&empty, arguments);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.starts_with("error: the upstream is missing\n --> upstream\n"), "{said}");
    }
}

#[test]
fn an_invalid_value_names_its_variable() {
    for (name, value) in
        [("TIDEGATE_LISTEN", "nowhere"), ("TIDEGATE_OPS_LISTEN", "9902"), ("TIDEGATE_LOG", "inof")]
    {
        for command in ["run", "demo"] {
            let (code, said) = failed(&[(name, value)], &[command]);
            assert_eq!(code, Some(64), "{said}");
            assert!(said.starts_with(&format!("error: invalid value '{value}' for '{name}': ")), "{said}");
        }
    }
}

#[test]
fn an_invalid_value_of_a_variable_says_what_is_expected() {
    for (command, name, value, expected) in [
        ("run", "TIDEGATE_LISTEN", "foo", "expected IP:PORT"),
        ("run", "TIDEGATE_OPS_LISTEN", "foo", "invalid listen address 'foo'; expected IP:PORT, such as"),
        (
            "demo",
            "TIDEGATE_LISTEN",
            "127.0.0.1",
            "'127.0.0.1'; expected IP:PORT, such as 0.0.0.0:8080 or [::]:8080",
        ),
        (
            "demo",
            "TIDEGATE_OPS_LISTEN",
            "localhost:9902",
            "expected IP:PORT, such as 0.0.0.0:9902 or [::]:9902",
        ),
        ("run", "TIDEGATE_LOG", "loud", "expected off, error, warn"),
    ] {
        let (code, said) = failed(&[(name, value)], &[command]);
        assert_eq!(code, Some(64), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    let upstream = ("TIDEGATE_UPSTREAM", "http://127.0.0.1:9");
    for (variable, expected) in [
        (("TIDEGATE_UPSTREAM", "foo"), "expected http://HOST:PORT"),
        (("TIDEGATE_REDIS", "foo"), "expected redis://HOST:PORT"),
        (("TIDEGATE_LIMIT", "foo"), "PATH=RATE"),
        (("TIDEGATE_CONFIG", "/no/such/file"), "name a file"),
    ] {
        let (code, said) = failed(&[upstream, variable], &["run"]);
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn an_invalid_flag_is_named_by_itself_whatever_the_variables_are() {
    for variable in ["", "nowhere", "127.0.0.1:1"] {
        let (code, said) = failed(&[("TIDEGATE_LISTEN", variable)], &["run", "--listen=here"]);
        assert_eq!(code, Some(64), "{said}");
        assert!(
            said.starts_with("error: invalid value 'here' for '--listen <IP:PORT|unix:PATH>': "),
            "{said}"
        );
    }
}

#[test]
fn a_conflict_names_the_variables_in_it() {
    let (config, limit) = (("TIDEGATE_CONFIG", "x.yaml"), ("TIDEGATE_LIMIT", "/=1/s"));
    for (variables, arguments, names) in [
        (&[config][..], &["--limit=/=1/s"][..], ["'--limit <LIMIT>'", "'TIDEGATE_CONFIG'"]),
        (&[limit], &["--config=x.yaml"], ["'--config <FILE>'", "'TIDEGATE_LIMIT'"]),
        (&[config, limit], &[], ["'TIDEGATE_CONFIG'", "'TIDEGATE_LIMIT'"]),
    ] {
        let (code, said) = failed(variables, arguments);
        assert_eq!(code, Some(64), "{said}");
        let first = said.lines().next().unwrap();
        assert!(names.iter().all(|name| first.contains(name)), "{said}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_the_name_of_the_variable() {
    let bytes = OsStr::from_bytes(b"unix:/run/hunter2\xff");
    for name in VARIABLES.into_iter().filter(|name| *name != "TIDEGATE_CONFIG") {
        let found = output(&[(name, bytes)], &["run"]);
        let said = String::from_utf8(found.stderr).unwrap();
        assert_eq!(found.status.code(), Some(64), "{said}");
        assert!(said.starts_with(&format!("error: the value of {name} is not UTF-8")), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_faulty_setting_names_its_variable() {
    let upstream = ("TIDEGATE_UPSTREAM", "http://127.0.0.1:9");
    for (variable, location) in [
        (("TIDEGATE_UPSTREAM", "ftp://x"), "TIDEGATE_UPSTREAM"),
        (("TIDEGATE_REDIS", "127.0.0.1:6379"), "TIDEGATE_REDIS"),
        (("TIDEGATE_LIMIT", "/a=1/s;/b"), "TIDEGATE_LIMIT '/b'"),
        (("TIDEGATE_OPS_LISTEN", "127.0.0.1:8080"), "TIDEGATE_OPS_LISTEN"),
        (("TIDEGATE_CONFIG", "/no/such/file.yaml"), "/no/such/file.yaml: TIDEGATE_CONFIG"),
    ] {
        let (code, found) = failed(&[upstream, variable], &["run"]);
        assert_eq!(code, Some(78), "{found}");
        assert_eq!(located(&found), location, "{found}");
    }
}

#[test]
fn a_flag_that_wins_is_named_by_itself() {
    let (code, said) = failed(&[("TIDEGATE_UPSTREAM", "http://127.0.0.1:9")], &["--upstream=ftp://x"]);
    assert_eq!(code, Some(78), "{said}");
    assert_eq!(located(&said), "--upstream", "{said}");
}

#[test]
fn the_password_of_a_redis_in_a_variable_never_shows() {
    for url in ["redis://user:hunter2@127.0.0.1:x/0", "redis://:hunter2@/0"] {
        let (code, said) =
            failed(&[("TIDEGATE_UPSTREAM", "http://127.0.0.1:9"), ("TIDEGATE_REDIS", url)], &["run"]);
        assert_eq!(code, Some(78), "{said}");
        assert!(located(&said) == "TIDEGATE_REDIS" && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn the_help_shows_all_variables() {
    for value in [None, Some(""), Some("127.0.0.1:1")] {
        let set: Vec<(&str, &OsStr)> =
            value.iter().flat_map(|value| VARIABLES.map(|name| (name, OsStr::new(value)))).collect();
        for arguments in [&["run", "--help"][..], &["help", "run"]] {
            let help = String::from_utf8(output(&set, arguments).stdout).unwrap();
            for name in VARIABLES {
                assert!(help.contains(&format!("[env: {name}")), "{name}: {help}");
            }
        }
    }
}

#[test]
fn an_empty_limit_of_the_flag_is_a_fault() {
    let (code, said) = failed(&[], &["--upstream=http://127.0.0.1:9", "--limit="]);
    assert_eq!(code, Some(78), "{said}");
    assert_eq!(located(&said), "--limit ''", "{said}");
}

#[test]
fn an_empty_limit_ends_the_variable() {
    let variable = ("TIDEGATE_LIMIT", "/a=1/s;/b;");
    let (code, said) = failed(&[variable], &["--upstream=http://127.0.0.1:9"]);
    assert_eq!((code, said.matches("TIDEGATE_LIMIT").count()), (Some(78), 1), "{said}");
}
