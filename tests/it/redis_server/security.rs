//! Redis authenticates tidegate by password or certificate, and tidegate authenticates Redis.

use super::{Visitor, configured, decides, does_without_because, settings};
use crate::harness::{Certificates, Redis, Setup, Tidegate};

/// Rules of two an hour hold.
async fn counts(tidegate: &Tidegate) {
    decides(tidegate).await;
    let visitor = Visitor::of(tidegate, "somebody");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(visitor.status("/closed").await);
    }
    assert_eq!(statuses, [200, 200, 429]);
}

async fn server(certificates: &Certificates, asks_for_certificates: bool) -> Redis {
    let asks = if asks_for_certificates { "yes" } else { "no" };
    Redis::with(&Setup::tls(certificates, &["--tls-auth-clients", asks])).await
}

/// Settings of Redis with TLS, where it listens itself.
fn tls(redis: &Redis, tls: &str) -> String {
    settings(&format!("url: '{}', tls: {{ {tls} }}", redis.url()), 2)
}

fn trusting(certificates: &Certificates) -> String {
    format!("ca_file: '{}'", certificates.ca())
}

/// The same, with the certificate for clients.
fn known_to(certificates: &Certificates) -> String {
    let (certificate, key) = (certificates.client_certificate(), certificates.client_key());
    format!("{}, cert_file: '{certificate}', key_file: '{key}'", trusting(certificates))
}

/// Redis is unavailable with these settings, for a reason with this text.
async fn is_refused(config: &str, reason: &str) {
    let (_upstream, tidegate) = configured(config).await;
    does_without_because(&tidegate, 1, |error| error.contains(reason)).await;
}

#[tokio::test]
async fn tls_needs_no_more_than_the_authority() {
    let certificates = Certificates::new();
    let redis = server(&certificates, false).await;
    let (_upstream, tidegate) = configured(&tls(&redis, &trusting(&certificates))).await;
    counts(&tidegate).await;
}

#[tokio::test]
async fn a_server_of_another_authority_is_refused() {
    let redis = server(&Certificates::new(), false).await;
    is_refused(&tls(&redis, &trusting(&Certificates::new())), "invalid peer certificate").await;
}

#[tokio::test]
async fn a_server_of_another_name_is_refused_unless_that_is_the_name_to_have() {
    let certificates = Certificates::for_server(&["redis.internal"]);
    let redis = server(&certificates, false).await;
    is_refused(&tls(&redis, &trusting(&certificates)), "not valid for name \"127.0.0.1\"").await;
    let named = format!("{}, server_name: redis.internal", trusting(&certificates));
    let (_upstream, tidegate) = configured(&tls(&redis, &named)).await;
    counts(&tidegate).await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_lets_nobody_in_without() {
    let certificates = Certificates::new();
    let redis = server(&certificates, true).await;
    is_refused(&tls(&redis, &trusting(&certificates)), "CertificateRequired").await;
    let (_upstream, tidegate) = configured(&tls(&redis, &known_to(&certificates))).await;
    counts(&tidegate).await;
}

#[tokio::test]
async fn tls_to_a_server_without_it_is_an_outage() {
    let (redis, certificates) = (Redis::start().await, Certificates::new());
    let (over_tls, trust) = (redis.url().replace("redis:", "rediss:"), trusting(&certificates));
    is_refused(&settings(&format!("url: '{over_tls}', tls: {{ {trust} }}"), 2), "no connection").await;
}

#[tokio::test]
async fn no_tls_to_a_server_with_it_is_an_outage() {
    let redis = server(&Certificates::new(), false).await;
    let in_the_clear = redis.url().replace("rediss:", "redis:");
    is_refused(&settings(&format!("url: '{in_the_clear}'"), 2), "no connection").await;
}

#[tokio::test]
async fn a_password_comes_from_a_file() {
    let redis = Redis::with(&Setup::plain(&["--requirepass", "open-sesame"])).await;
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("password");
    let config = settings(&format!("url: '{}', password_file: '{}'", redis.url(), file.display()), 2);
    for (password, right) in [("hunter2", false), ("open-sesame\n", true)] {
        std::fs::write(&file, password).unwrap();
        if right {
            let (_upstream, tidegate) = configured(&config).await;
            counts(&tidegate).await;
        } else {
            is_refused(&config, "authentication failed").await;
        }
    }
}

/// Settings of a user for whom no password is given.
fn only_named(redis: &Redis) -> String {
    settings(&format!("url: '{}', username: limits", redis.url()), 2)
}

/// Allows the user everything, with this password or without.
async fn allow(redis: &Redis, password: &str) {
    let words = ["ACL", "SETUSER", "limits", "reset", "on", password, "~*", "&*", "+@all"];
    let _: String = redis.command(&words).await;
}

#[tokio::test]
async fn a_user_whose_password_is_missing_is_nobody_else() {
    let redis = Redis::start().await;
    allow(&redis, ">open-sesame").await;
    is_refused(&only_named(&redis), "authentication failed").await;
    assert_eq!(redis.command::<i64>(&["DBSIZE"]).await, 0, "somebody has counted");
}

#[tokio::test]
async fn a_user_who_needs_no_password_logs_in_without() {
    let redis = Redis::start().await;
    allow(&redis, "nopass").await;
    let (_upstream, tidegate) = configured(&only_named(&redis)).await;
    counts(&tidegate).await;
    let clients: String = redis.command(&["CLIENT", "LIST"]).await;
    let ours: Vec<&str> = clients.lines().filter(|line| line.contains(" name=tidegate ")).collect();
    assert!(!ours.is_empty(), "{clients}");
    assert!(ours.iter().all(|line| line.contains(" user=limits ")), "{clients}");
}
