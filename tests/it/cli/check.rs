//! `tidegate check` with the flags and the environment of `run`.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::{Finished, Tidegate, command};

const UPSTREAM: &str = "--upstream=http://127.0.0.1:9";

/// A folder with a file of rules that lacks an upstream, once with one rule and once with two.
fn files() -> (TempDir, [PathBuf; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.yaml", "two.yaml"].map(|name| folder.path().join(name));
    std::fs::write(&one, "rules: [{ name: a, rate: 1/s }]").unwrap();
    std::fs::write(&two, "rules: [{ name: a, match: { path: /a }, rate: 1/s }, { name: b, rate: 1/s }]")
        .unwrap();
    (folder, [one, two])
}

fn check(arguments: &[&str], variables: &[(&str, &str)]) -> Finished {
    let output = command().arg("check").args(arguments).envs(variables.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What it writes to standard output when nothing is wrong.
fn checked(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let Finished { status, stdout, stderr } = check(arguments, variables);
    assert_eq!((status.code(), &*stderr), (Some(0), ""), "{arguments:?} {variables:?}");
    stdout
}

#[test]
fn flags_complete_a_file() {
    let (_folder, [one, _]) = files();
    let one = one.to_str().unwrap();
    assert_eq!(check(&[one], &[]).status.code(), Some(78));
    let want = format!("{one}: ok, 1 rule\n");
    assert_eq!(checked(&[UPSTREAM, one], &[]), want);
    assert_eq!(checked(&[one, UPSTREAM, "--log=debug"], &[]), want);
}

#[test]
fn variables_complete_a_file() {
    let (_folder, [one, _]) = files();
    let one = one.to_str().unwrap();
    let want = format!("{one}: ok, 1 rule\n");
    assert_eq!(checked(&[one], &[("TIDEGATE_UPSTREAM", "http://127.0.0.1:9")]), want);
}

#[test]
fn verbose_prints_what_each_limit_guarantees() {
    let (folder, _) = files();
    let file = folder.path().join("limits.yaml");
    let rules = "rules: [{ name: a, rate: 30/min, burst: 5, match: { path: /a } },
  { name: b, limits: [{ rate: 5/s, slices: 1 }, { rate: 50/h, slices: 64 }], mode: shadow, match: { path: /b } },
  { name: c, rate: 1/s, mode: off }]";
    std::fs::write(&file, rules).unwrap();
    let file = file.to_str().unwrap();
    let want = format!(
        "{file}: ok, 3 rules
  a: 30 per 60s, burst 5, counted in 13 slices (auto)
    guarantee: never more than 35 requests of one key within 55.384s
    accuracy: within 0.7 % of an exact log, apart from adversaries (measured for limits of 5 to 1,000)
  b:1s: 5 per 1s, counted in 1 slice (shadow: refuses nothing)
    guarantee: none with a single slice: within one window, up to about twice the limit may be admitted
  b:3600s: 50 per 3600s, counted in 64 slices (shadow: refuses nothing)
    guarantee: never more than 50 requests of one key within 3543.75s
    accuracy: not measured with this number of slices; auto chooses 9
  c: off
"
    );
    assert_eq!(checked(&[UPSTREAM, "--verbose", file], &[]), want);
}

#[test]
fn check_reports_what_run_reports() {
    let (_folder, [one, _]) = files();
    let config = format!("--config={}", one.to_str().unwrap());
    for flags in [
        &["--upstream=ftp://x", &*config][..],
        &[UPSTREAM, &config, "--redis=127.0.0.1"],
        &[UPSTREAM, &config, "--ops-listen=0.0.0.0:8080"],
        &[UPSTREAM, &config, "--listen=nowhere"],
        &[UPSTREAM, &config, "--limit=/=1/s"],
        &[UPSTREAM, &config, "--log=inof"],
        &[UPSTREAM, "--limit=/a"],
        &[UPSTREAM, "--limit=/a=1/s", "--limit=/a/*=1/s"],
    ] {
        let of = |command: &str| Tidegate::finished(&[&[command], flags].concat());
        let (check, run) = (of("check"), of("run"));
        assert!(run.status.code() > Some(1), "{flags:?}: {}", run.stderr);
        assert_eq!(check.status.code(), run.status.code(), "{flags:?}: {}", check.stderr);
        // Behind that, wrong usage shows how the command is used.
        let fault = |said: &str| said.split("\n\n").next().unwrap().to_owned();
        assert_eq!(fault(&check.stderr), fault(&run.stderr), "{flags:?}");
    }
}

#[test]
fn without_a_file_the_flags_are_checked() {
    assert_eq!(checked(&[UPSTREAM, "--limit=/a=1/s", "--limit=/b=1/s"], &[]), "flags: ok, 2 rules\n");
    let variables = [("TIDEGATE_UPSTREAM", "http://127.0.0.1:9"), ("TIDEGATE_LIMIT", "/a=1/s")];
    assert_eq!(checked(&[], &variables), "flags: ok, 1 rule\n");
}

#[test]
fn without_a_file_that_of_config_is_checked() {
    let (_folder, [one, _]) = files();
    let one = one.to_str().unwrap();
    let want = format!("{one}: ok, 1 rule\n");
    assert_eq!(checked(&[UPSTREAM, "--config", one], &[]), want);
    assert_eq!(checked(&[UPSTREAM], &[("TIDEGATE_CONFIG", one)]), want);
}

#[test]
fn files_take_the_place_of_that_of_the_variable() {
    let (_folder, [one, two]) = files();
    let [one, two] = [&one, &two].map(|file| file.to_str().unwrap());
    let variable = [("TIDEGATE_CONFIG", one)];
    assert_eq!(checked(&[UPSTREAM, two], &variable), format!("{two}: ok, 2 rules\n"));
    let Finished { stderr, .. } = check(&[UPSTREAM, "/no/such/file.yaml"], &variable);
    assert!(stderr.starts_with("error: the file cannot be read"), "{stderr}");
    assert!(stderr.contains("\n --> /no/such/file.yaml\n"), "{stderr}");
}

#[test]
fn the_file_of_the_config_flag_is_checked_beside_others() {
    let (_folder, [one, two]) = files();
    let [one, two] = [&one, &two].map(|file| file.to_str().unwrap());
    let want = format!("{one}: ok, 1 rule\n{two}: ok, 2 rules\n");
    assert_eq!(checked(&[UPSTREAM, "--config", one, two], &[]), want);
    assert_eq!(checked(&[UPSTREAM, one, two], &[]), want);
}

#[test]
fn a_fault_of_a_flag_is_reported_once_for_all_files() {
    let (_folder, [one, two]) = files();
    let [one, two] = [&one, &two].map(|file| file.to_str().unwrap());
    let Finished { status, stderr, .. } = check(&["--upstream=ftp://x", one, two], &[]);
    assert_eq!((status.code(), stderr.matches(" --> --upstream\n").count()), (Some(78), 1), "{stderr}");
}

#[test]
fn a_limit_excludes_files_as_in_run() {
    let (_folder, [one, _]) = files();
    let Finished { status, stderr, .. } = check(&[one.to_str().unwrap()], &[("TIDEGATE_LIMIT", "/=1/s")]);
    assert_eq!(status.code(), Some(64), "{stderr}");
    assert!(stderr.lines().next().unwrap().contains("'TIDEGATE_LIMIT'"), "{stderr}");
}

#[test]
fn the_help_shows_every_option_of_run() {
    let help = |command: &str| Tidegate::finished(&[command, "--help"]).stdout;
    let check = help("check");
    let run = help("run");
    let options: Vec<&str> = run.lines().filter(|line| line.contains("[env: ")).collect();
    assert_eq!(options.len(), 10);
    for option in options {
        assert!(check.contains(option.trim()), "{option}\n--- {check}");
    }
}
