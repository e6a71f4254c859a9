//! Certificates that are not valid at the time: a warning for each file, with its date and place.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use tempfile::TempDir;
use tidegate::config::{Config, Overrides, SecretSource, compile_text};

use super::{file, listed, right};
use crate::authority::Authority;

/// The tests' certificates are valid from 1975 to 4096.
const BEFORE: Duration = Duration::from_secs(0);
const NOW: Duration = Duration::from_secs(2_000_000_000);
const AFTER: Duration = Duration::from_secs(100_000_000_000);

const CLIENT: &str = "{ ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem }";

#[test]
fn every_file_of_certificates_is_judged() {
    let config = right(&format!(
        "upstream: {{ url: https://a, tls: {CLIENT} }}
tls:
  cert_file: cert.pem
  key_file: key.pem
  client_ca_file: /etc/ca.pem
store: {{ redis: {{ url: rediss://a, tls: {CLIENT} }} }}
rules: [{{ name: a, rate: 1/s }}]"
    ));
    let found = config.warnings_at(AFTER);
    let mut places: Vec<_> = found.iter().map(|warning| (warning.line, &*warning.path)).collect();
    places.sort_unstable();
    let want = [
        (Some(1), "upstream.tls.ca_file"),
        (Some(1), "upstream.tls.cert_file"),
        (Some(3), "tls.cert_file"),
        (Some(5), "tls.client_ca_file"),
        (Some(6), "store.redis.tls.ca_file"),
        (Some(6), "store.redis.tls.cert_file"),
    ];
    assert_eq!(places, want, "{}", listed(&found));
    assert!(config.warnings_at(NOW).is_empty());
}

/// With this content of `ca.pem`, the authorities of the upstream.
fn with_authorities(pem: &str) -> Config {
    let text = "upstream: { url: https://a, tls: { ca_file: ca.pem } }\nrules: [{ name: a, rate: 1/s }]";
    let read = |source: &SecretSource| match source {
        SecretSource::Pem(_) => Ok(Some(pem.into())),
        _ => Ok(None),
    };
    compile_text("test.yaml", text.as_bytes(), &Overrides::default(), &read).unwrap()
}

#[test]
fn a_warning_names_the_file_with_its_date() {
    let config = with_authorities(&Authority::new().pem());
    for (now, message) in [
        (AFTER, "the certificate in 'ca.pem' expired on 4096-01-01T00:00:00Z"),
        (BEFORE, "the certificate in 'ca.pem' is not valid before 1975-01-01T00:00:00Z"),
    ] {
        let found = config.warnings_at(now);
        let want = format!(
            "warning: {message}\n --> test.yaml:1:45: upstream.tls.ca_file\n    help: expected a certificate"
        );
        assert!(found.len() == 1 && found[0].to_string().starts_with(&want), "{}", listed(&found));
    }
}

/// From the start of 2020 to that of 2030: less than 14 days are left from 18 December 2029 on.
const SOON: Duration = Duration::from_secs(1_893_456_000 - 14 * 86_400 + 1);

#[test]
fn a_certificate_that_expires_soon_is_a_warning() {
    let config = with_authorities(&Authority::new().sign_between("a", 2020, 2030).certificate);
    let found = config.warnings_at(SOON);
    let want = "the certificate in 'ca.pem' expires on 2030-01-01T00:00:00Z";
    assert!(found.len() == 1 && found[0].message == want, "{}", listed(&found));
    assert!(found[0].help.contains("renew it"), "{}", found[0]);
    assert!(config.warnings_at(SOON - Duration::from_secs(2)).is_empty());
}

#[test]
fn one_that_has_expired_comes_before_one_that_expires_soon() {
    let authority = Authority::new();
    let until = |until| authority.sign_between("a", 2020, until).certificate;
    let config = with_authorities(&(until(2030) + &until(2021)));
    let found = config.warnings_at(SOON);
    let want = "certificate 2 of 2 in 'ca.pem' expired on 2021-01-01T00:00:00Z";
    assert!(found.len() == 1 && found[0].message == want, "{}", listed(&found));
}

#[test]
fn a_file_of_many_is_one_warning() {
    let authority = Authority::new();
    let expired = |until| authority.sign_between("a", 2020, until).certificate;
    let config = with_authorities(&(authority.pem() + &expired(2021) + &expired(2022)));
    let found = config.warnings_at(NOW);
    let want =
        "certificate 2 of 3 in 'ca.pem' expired on 2021-01-01T00:00:00Z, and another one is not valid now";
    assert!(found.len() == 1 && found[0].message == want, "{}", listed(&found));
}

#[test]
fn other_warnings_come_first() {
    let text = file("tls: { cert_file: cert.pem, key_file: key.pem }");
    let found = right(&text).warnings_at(AFTER);
    assert!(
        found.len() == 2 && found[0].message.contains("no rules") && found[1].path == "tls.cert_file",
        "{}",
        listed(&found)
    );
}

/// A file that names a certificate of this validity, and its folder.
fn listener(from: i32, until: i32) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let pair = Authority::new().sign_between("localhost", from, until);
    std::fs::write(folder.path().join("pair.pem"), pair.certificate + &pair.key).unwrap();
    let path = folder.path().join("tidegate.yaml");
    let text = "tls: { cert_file: pair.pem, key_file: pair.pem }\nrules: [{ name: a, rate: 1/s }]";
    std::fs::write(&path, file(text)).unwrap();
    (folder, path)
}

#[test]
fn check_warns_of_a_certificate_that_has_expired() {
    let (_folder, path) = listener(2020, 2021);
    let Output { status, stdout, stderr } =
        Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("check").arg(&path).env_clear().output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    let want = format!(
        "warning: the certificate in 'pair.pem' expired on 2021-01-01T00:00:00Z\n --> {}:2:19: tls.cert_file\n",
        path.display()
    );
    assert!(
        status.success() && stdout.contains("ok, 1 rule") && stderr.starts_with(&want),
        "{stdout}{stderr}"
    );
}

#[test]
fn check_warns_of_a_certificate_that_is_not_valid_yet() {
    let (_folder, path) = listener(4000, 4001);
    let done =
        Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("check").arg(&path).env_clear().output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success(), "{stderr}");
    assert!(stderr.contains("in 'pair.pem' is not valid before 4000-01-01T00:00:00Z"), "{stderr}");
}
