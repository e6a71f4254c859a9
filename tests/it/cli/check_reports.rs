//! `tidegate check` for other programs: standard input, JSON, and machines without the secrets.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{Finished, command};

fn check(arguments: &[&str], stdin: &str) -> Finished {
    let mut command = command();
    command.arg("check").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended already: then its output says why.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The document that it prints, and the exit code. Nothing else is printed.
fn json(arguments: &[&str], stdin: &str) -> (Option<i32>, Value) {
    let Finished { status, stdout, stderr } = check(&[&["--format=json"], arguments].concat(), stdin);
    assert_eq!(stderr, "", "{arguments:?}");
    (status.code(), serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}")))
}

const VALID: &str = "upstream: http://127.0.0.1:9\nrules: [{ name: a, rate: 30/min, burst: 5 }]";
const INVALID: &str = "upstream: http://127.0.0.1:9\nrules: [{ name: a, rate: 30/fortnight }]";

#[test]
fn a_dash_is_standard_input() {
    let Finished { status, stdout, stderr } = check(&["-"], VALID);
    assert_eq!((status.code(), &*stdout, &*stderr), (Some(0), "-: ok, 1 rule\n", ""));
}

#[test]
fn a_fault_in_standard_input_has_its_line() {
    let Finished { status, stderr, .. } = check(&["-"], INVALID);
    assert_eq!(status.code(), Some(78));
    assert!(stderr.contains("\n --> <stdin>:2:26: rules[0].rate\n"), "{stderr}");
}

#[test]
fn json_of_a_valid_file() {
    let (code, report) = json(&["-"], VALID);
    let file = json!({ "file": "-", "valid": true, "diagnostics": [], "rules": 1 });
    assert_eq!((code, report), (Some(0), json!({ "valid": true, "files": [file] })));
}

#[test]
fn json_of_faults() {
    let (code, report) = json(&["-"], INVALID);
    assert_eq!(
        (code, &report["valid"], &report["files"][0]["valid"]),
        (Some(78), &json!(false), &json!(false))
    );
    let fault = json!({
        "severity": "error",
        "file": "<stdin>",
        "line": 2,
        "column": 26,
        "path": "rules[0].rate",
        "message": "invalid rate '30/fortnight'",
        "help": "expected N/s, N/min, N/h, N/day or N/DURATION, such as 30/min or 100/90s",
    });
    assert_eq!(report["files"][0]["diagnostics"], json!([fault]));
}

#[test]
fn json_has_warnings_of_a_valid_file() {
    let (code, report) = json(&["-"], "upstream: http://127.0.0.1:9");
    assert_eq!(code, Some(0));
    let diagnostics = report["files"][0]["diagnostics"].as_array().unwrap();
    assert_eq!((diagnostics.len(), &diagnostics[0]["severity"]), (1, &json!("warning")));
}

#[test]
fn json_of_several_files_has_each() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [("valid", VALID), ("invalid", INVALID)].map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let (code, report) = json(&[&paths[0], &paths[1], "/no/such/file"], "");
    assert_eq!(code, Some(78));
    let files = report["files"].as_array().unwrap();
    let found: Vec<_> =
        files.iter().map(|file| (file["file"].as_str().unwrap(), file["valid"].clone())).collect();
    assert_eq!(
        found,
        [(&*paths[0], json!(true)), (&*paths[1], json!(false)), ("/no/such/file", json!(false))]
    );
}

#[test]
fn verbose_json_has_the_guarantees() {
    let (_, report) = json(&["--verbose", "-"], VALID);
    let guarantees = report["files"][0]["guarantees"].to_string();
    assert!(guarantees.contains("never more than 35 requests of one key"), "{guarantees}");
}

#[test]
fn another_format_is_wrong_usage() {
    let Finished { status, stderr, .. } = check(&["--format=xml", "-"], VALID);
    assert_eq!(status.code(), Some(64));
    assert!(stderr.contains("text") && stderr.contains("json"), "{stderr}");
}

/// A file that names all kinds of files and variables, none of which exists.
const SECRETS: &str = "
upstream: { url: https://app.internal, tls: { ca_file: no-ca.pem, cert_file: no-cert.pem, key_file: no-key.pem } }
tls: { cert_file: no-cert.pem, key_file: no-key.pem, client_ca_file: no-ca.pem }
store: { redis: { url: 'rediss://redis:6380', password_file: no-password, tls: { ca_file: no-ca.pem } } }
client: { hash_secret_file: no-hash }
bypass:
  - { name: by-file, header: X-Token, secret_file: no-token }
  - { name: by-variable, header: X-Other-Token, secret_env: NO_SUCH_TOKEN }
tiers: [{ name: partner, keys_file: no-keys }]
rules: [{ name: a, rate: 1/s, tiers: { partner: unlimited } }]
";

#[test]
fn without_secrets_files_and_variables_may_be_absent() {
    let with = check(&["-"], SECRETS);
    assert_eq!(with.status.code(), Some(78));
    assert_eq!(with.stderr.matches("error: ").count(), 12, "{}", with.stderr);
    let Finished { status, stdout, stderr } = check(&["--without-secrets", "-"], SECRETS);
    assert_eq!((status.code(), &*stdout, &*stderr), (Some(0), "-: ok, 1 rule\n", ""));
}

#[test]
fn without_secrets_other_faults_are_reported() {
    let faulty = SECRETS.replace("rate: 1/s", "rate: 1/fortnight");
    let Finished { status, stderr, .. } = check(&["--without-secrets", "-"], &faulty);
    assert_eq!((status.code(), stderr.matches("error: ").count()), (Some(78), 1), "{stderr}");
}

#[test]
fn without_secrets_those_that_exist_are_checked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidegate.yaml");
    std::fs::write(&path, SECRETS).unwrap();
    std::fs::write(folder.path().join("no-key.pem"), "not PEM").unwrap();
    std::fs::write(folder.path().join("no-token"), "\n").unwrap();
    let path = path.to_str().unwrap();
    let Finished { status, stderr, .. } = check(&["--without-secrets", path], "");
    assert_eq!(status.code(), Some(78), "{stderr}");
    assert!(stderr.contains("the secret file 'no-token' is empty"), "{stderr}");
    assert!(stderr.contains("the file 'no-key.pem' cannot be used"), "{stderr}");
}
