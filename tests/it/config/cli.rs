//! `load` with real files, and `tidegate check` as a process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use tidegate::config::{Overrides, load, load_watched};
use tidegate::settings::StoreSettings;

use super::{file, listed};
use crate::authority::Authority;

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn check(files: &[PathBuf]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tidegate")).arg("check").args(files).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn secret_files_are_named_from_the_files_own_folder() {
    let redis =
        file("store: { redis: { url: redis://a, password_file: pw } }\nrules: [{ name: a, rate: 1/s }]");
    let folder = folder(&[("tidegate.yaml", &redis), ("pw", "s3cret\n")]);
    let config = load(Some(&folder.path().join("tidegate.yaml")), &Overrides::default())
        .unwrap_or_else(|diagnostics| panic!("{}", listed(&diagnostics)));
    let StoreSettings::Redis(redis) = config.settings.store else { panic!("no Redis") };
    assert_eq!(
        redis.credentials.password.map(|password| password.expose().to_owned()).as_deref(),
        Some("s3cret")
    );
}

#[test]
fn files_that_cannot_be_read() {
    let folder = folder(&[]);
    let large = folder.path().join("large");
    std::fs::write(&large, vec![b'x'; 70_000]).unwrap();
    for path in [folder.path().join("none.yaml"), folder.path().to_path_buf()] {
        let found = load(Some(&path), &Overrides::default()).unwrap_err();
        assert_eq!(found.len(), 1);
        assert!(found[0].message.contains("cannot be read"), "{}", found[0]);
        assert_eq!(found[0].file.as_deref(), path.to_str());
    }
    let config = folder.path().join("a.yaml");
    std::fs::write(&config, file("client: { hash_secret_file: large }")).unwrap();
    let found = load(Some(&config), &Overrides::default()).unwrap_err();
    assert!(found[0].message.contains("64 KiB"), "{}", found[0]);
}

/// A folder with a configuration that names a certificate file, and both paths.
fn with_certificates(pem: &[u8]) -> (TempDir, PathBuf, PathBuf) {
    let redis = file(
        "store: { redis: { url: rediss://a, tls: { ca_file: ca.pem } } }\nrules: [{ name: a, rate: 1/s }]",
    );
    let folder = folder(&[("tidegate.yaml", &redis)]);
    let (config, ca) = (folder.path().join("tidegate.yaml"), folder.path().join("ca.pem"));
    std::fs::write(&ca, pem).unwrap();
    (folder, config, ca)
}

/// More than a secret may be.
fn many_certificates() -> String {
    let one = Authority::new().pem();
    one.repeat(300_000 / one.len())
}

#[test]
fn certificates_may_be_larger_than_secrets() {
    let (_folder, config, _) = with_certificates(many_certificates().as_bytes());
    let settings = load(Some(&config), &Overrides::default())
        .unwrap_or_else(|diagnostics| panic!("{}", listed(&diagnostics)))
        .settings;
    let StoreSettings::Redis(redis) = settings.store else { panic!("no Redis") };
    assert!(redis.tls.unwrap().ca.unwrap().expose().len() > 200_000);
}

#[test]
fn certificates_are_watched() {
    let (_folder, config, ca) = with_certificates(many_certificates().as_bytes());
    let (loaded, sources) = load_watched(Some(&config), &Overrides::default());
    assert!(loaded.is_ok());
    assert_eq!(sources.look(), sources.fingerprint());
    std::fs::write(&ca, Authority::new().pem()).unwrap();
    assert_ne!(sources.look(), sources.fingerprint(), "a new certificate is not noticed");
}

#[test]
fn certificates_are_bounded() {
    let (_folder, config, _) = with_certificates(&[b'#'; (1 << 20) + 1]);
    let diagnostics = load(Some(&config), &Overrides::default()).unwrap_err();
    assert!(diagnostics[0].message.contains("larger than 1 MiB"), "{}", listed(&diagnostics));
}

#[test]
fn check_tells_which_files_are_right() {
    let folder = folder(&[("one.yaml", &file("rules: [{ name: a, rate: 1/s }]"))]);
    let one = folder.path().join("one.yaml");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/rate_limits.yaml");
    let done = check(&[one.clone(), shipped.clone()]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let want = format!("{}: ok, 1 rule\n{}: ok, 5 rules\n", one.display(), shipped.display());
    assert_eq!((text(&done.stdout), text(&done.stderr)), (want, String::new()));
}

#[test]
fn check_reports_the_faults_of_all_files() {
    let folder = folder(&[
        ("bad.yaml", &file("rules:\n  - name: a\n    rate: never\n    mode: strict\n")),
        ("good.yaml", &file("rules: [{ name: a, rate: 1/s }]")),
    ]);
    let [bad, good, none] = ["bad.yaml", "good.yaml", "none.yaml"].map(|name| folder.path().join(name));
    let done = check(&[bad.clone(), good.clone(), none.clone()]);
    assert_eq!(done.status.code(), Some(78));
    let said = text(&done.stderr);
    for part in [
        format!("error: invalid rate 'never'\n --> {}:4:11: rules[0].rate\n    help: ", bad.display()),
        format!("error: invalid mode 'strict'\n --> {}:5:11: rules[0].mode\n    help: ", bad.display()),
        format!("\n --> {}\n    help: name a file", none.display()),
    ] {
        assert!(said.contains(&part), "{part}\n--- {said}");
    }
    assert!(text(&done.stdout).contains("ok, 1 rule"), "{}", text(&done.stdout));
}
