//! Passwords and certificates change while requests are served.

use std::process::Output;

use super::{Visitor, configured, decides, does_without, does_without_because, settings};
use crate::harness::{Certificates, Redis, Setup, Tidegate, eventually};

const RENEWED: &str = "connections to Redis are made with other credentials or certificates from now on";

/// Waits until the process has other credentials.
async fn renewed(tidegate: &Tidegate, times: usize) {
    let told = async || (tidegate.logged(RENEWED).len() >= times).then_some(());
    eventually("the new credentials to be read", told).await;
}

/// Waits until the store has decided over a connection that is younger than the call.
async fn decides_anew(visitor: &Visitor<'_>, cut: impl AsyncFn()) {
    cut().await;
    let decided = async || {
        let told = visitor.ask("/open").await;
        assert_eq!(told.status, 200, "a rotation cost a request");
        told.left.map(drop)
    };
    eventually("the store to decide", decided).await;
}

#[tokio::test]
async fn a_password_is_rotated_without_a_request_refused() {
    let redis = Redis::start().await;
    let acl = async |words: &[&str]| {
        let words = [&["ACL", "SETUSER", "limits", "on", "~*", "+@all"], words].concat();
        let _: String = redis.command(&words).await;
    };
    acl(&[">first"]).await;
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let login = format!("username: limits, password_file: '{}'", file.display());
    let (_upstream, tidegate) =
        configured(&settings(&format!("url: '{}', {login}", redis.url()), 1_000)).await;
    let visitor = Visitor::new(&tidegate);
    let cut = async || {
        let _: i64 = redis.command(&["CLIENT", "KILL", "USER", "limits"]).await;
    };
    for (times, [old, new]) in [(1, ["first", "second"]), (2, ["second", "third"])] {
        decides_anew(&visitor, async || ()).await;
        acl(&[&format!(">{new}")]).await;
        std::fs::write(&file, new).unwrap();
        renewed(&tidegate, times).await;
        acl(&[&format!("<{old}")]).await;
        decides_anew(&visitor, cut).await;
        assert_eq!(visitor.status("/open").await, 200);
    }
    let log = format!("{:?}", tidegate.logged(""));
    assert!(!["first", "second", "third"].iter().any(|password| log.contains(password)), "{log}");
}

#[tokio::test]
async fn a_wrong_password_is_mended_in_its_file() {
    let redis = Redis::start().await;
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("password");
    let login = format!("username: limits, password_file: '{}'", file.display());
    let config = settings(&format!("url: '{}', {login}", redis.url()), 5);
    let set = async |password: &str| {
        let words = ["ACL", "SETUSER", "limits", "on", "~*", "+@all", "resetpass", password];
        let _: String = redis.command(&words).await;
    };
    set(">open-sesame").await;
    std::fs::write(&file, "hunter2").unwrap();
    let (_upstream, tidegate) = configured(&config).await;
    does_without_because(&tidegate, 1, |error| error.contains("authentication failed")).await;
    std::fs::write(&file, "open-sesame").unwrap();
    decides(&tidegate).await;
    // A connection that is open stays so, whatever becomes of the password.
    set(">changed").await;
    let visitor = Visitor::new(&tidegate);
    assert_eq!(visitor.ask("/open").await.left, Some(4));
    let _: i64 = redis.command(&["CLIENT", "KILL", "USER", "limits"]).await;
    does_without(&tidegate, 2).await;
    std::fs::write(&file, "changed").unwrap();
    decides(&tidegate).await;
    assert_eq!(visitor.ask("/open").await.left, Some(3));
    let log = format!("{:?}", tidegate.logged(""));
    assert!(!["hunter2", "open-sesame", "changed"].iter().any(|password| log.contains(password)), "{log}");
}

/// The three PEM files that tidegate reads, to be changed.
struct Files(tempfile::TempDir);

impl Files {
    fn settings(&self) -> String {
        let [ca, certificate, key] = ["ca", "cert", "key"].map(|name| self.0.path().join(name));
        let (ca, certificate, key) = (ca.display(), certificate.display(), key.display());
        format!("tls: {{ ca_file: '{ca}', cert_file: '{certificate}', key_file: '{key}' }}")
    }

    /// The authorities that are trusted, and the one of our own certificate.
    fn write(&self, believed: &[&Certificates], own: &Certificates) {
        let read = |path: String| std::fs::read_to_string(path).unwrap();
        let authorities: String = believed.iter().map(|each| read(each.ca())).collect();
        let files =
            [("ca", authorities), ("cert", read(own.client_certificate())), ("key", read(own.client_key()))];
        for (name, pem) in files {
            std::fs::write(self.0.path().join(name), pem).unwrap();
        }
    }
}

/// Has the server show another certificate, and believe these authorities.
async fn show(redis: &Redis, known_by: &Certificates, certificates: &Certificates, authorities: &str) {
    let mut command = known_by.redis_cli(redis.port());
    command.args(["CONFIG", "SET", "tls-cert-file", &certificates.server_certificate()]);
    command.args(["tls-key-file", &certificates.server_key(), "tls-ca-cert-file", authorities]);
    succeeded(&command.output().unwrap());
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn no_request_is_refused_while_certificates_are_rotated_with_their_authority() {
    let (old, new) = (Certificates::new(), Certificates::new());
    let redis = Redis::with(&Setup::tls(&old, &[])).await;
    let files = Files(tempfile::tempdir().unwrap());
    files.write(&[&old], &old);
    let config = settings(&format!("url: '{}', {}", redis.url(), files.settings()), 1_000);
    let (_upstream, tidegate) = configured(&config).await;
    let visitor = Visitor::new(&tidegate);
    decides_anew(&visitor, async || ()).await;
    let cut = async |known: &Certificates| {
        let mut command = known.redis_cli(redis.port());
        succeeded(&command.args(["CLIENT", "KILL", "TYPE", "normal"]).output().unwrap());
    };

    // Both sides believe both, then each shows the new one, then the old one is forgotten.
    files.write(&[&old, &new], &old);
    renewed(&tidegate, 1).await;
    let both = files.0.path().join("ca");
    show(&redis, &old, &new, both.to_str().unwrap()).await;
    decides_anew(&visitor, async || cut(&new).await).await;
    files.write(&[&old, &new], &new);
    renewed(&tidegate, 2).await;
    show(&redis, &new, &new, &new.ca()).await;
    decides_anew(&visitor, async || cut(&new).await).await;
    files.write(&[&new], &new);
    renewed(&tidegate, 3).await;
    decides_anew(&visitor, async || cut(&new).await).await;
}
