//! The debugging output of settings shows no secret.

use std::fmt::Debug;
use std::time::Duration;

use super::*;

const PASSWORD: &str = "hunter2";
/// The beginning of [`PASSWORD`] as a list of bytes is printed.
const PASSWORD_BYTES: [&str; 2] = ["104", "117"];

fn assert_hidden(settings: &impl Debug) {
    for shown in [format!("{settings:?}"), format!("{settings:#?}")] {
        assert!(shown.contains("Redacted(..)"), "the settings have a secret: {shown}");
        for secret in PASSWORD_BYTES.into_iter().chain([PASSWORD]) {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

fn credentials() -> Credentials {
    Credentials { username: None, password: Some(Redacted::new(PASSWORD.to_owned())) }
}

fn pem() -> Pem {
    Pem::new(PASSWORD.as_bytes().to_vec())
}

fn identity() -> Identity {
    Identity { certificate: pem(), key: pem() }
}

fn client_tls() -> ClientTls {
    ClientTls { ca: Some(pem()), identity: Some(identity()), server_name: None }
}

fn server_tls() -> ServerTls {
    ServerTls { identity: identity(), client_ca: Some(pem()), client_required: true, tls13_only: true }
}

fn redis() -> RedisSettings {
    RedisSettings {
        topology: RedisTopology::Standalone(ServerAddress { host: "redis".to_owned(), port: 6379 }),
        database: 0,
        credentials: credentials(),
        sentinel_credentials: credentials(),
        tls: Some(client_tls()),
        timeout: Duration::from_secs(1),
        key_prefix: String::new(),
        connections: 1,
        instances: 1,
    }
}

fn upstream() -> UpstreamSettings {
    UpstreamSettings {
        address: UpstreamAddress::Tcp { host: "upstream".to_owned(), port: 443 },
        protocol: UpstreamProtocol::Tls(client_tls()),
        connect_timeout: Duration::from_secs(1),
        response_timeout: Duration::from_secs(1),
        idle_timeout: Duration::from_secs(1),
        connections: 1,
        pending: 1,
        retry: true,
    }
}

#[test]
fn the_bytes_of_the_password_are_what_debug_would_show() {
    let shown = format!("{:?}", PASSWORD.as_bytes());
    assert!(PASSWORD_BYTES.iter().all(|byte| shown.contains(byte)), "{shown}");
}

#[test]
fn credentials_show_no_password() {
    assert_hidden(&credentials());
}

#[test]
fn an_identity_shows_no_key() {
    assert_hidden(&identity());
}

#[test]
fn tls_to_servers_shows_no_content_of_its_files() {
    assert_hidden(&client_tls());
}

#[test]
fn tls_to_clients_shows_no_content_of_its_files() {
    assert_hidden(&server_tls());
}

#[test]
fn redis_settings_show_no_secret() {
    assert_hidden(&redis());
}

#[test]
fn store_settings_show_no_secret() {
    assert_hidden(&StoreSettings::Redis(Box::new(redis())));
}

#[test]
fn upstream_settings_show_no_secret() {
    assert_hidden(&upstream());
}

#[test]
fn admin_settings_show_no_token() {
    assert_hidden(&admin());
}

#[test]
fn all_settings_show_no_secret() {
    let local = SocketAddr::from(([127, 0, 0, 1], 80));
    assert_hidden(&Settings {
        listen: Listen::Tcp(local),
        listen_mode: None,
        ops_listen: local,
        admin: admin(),
        tls: Some(server_tls()),
        proxy_protocol: Vec::new(),
        upstream: upstream(),
        bounds: Bounds::default(),
        store: StoreSettings::Redis(Box::new(redis())),
        shutdown: Shutdown { settle: Duration::ZERO, grace: Duration::ZERO },
        log: None,
    });
}

fn admin() -> AdminSettings {
    let hash = Redacted::new(std::array::from_fn(|index| {
        PASSWORD.as_bytes().get(index).copied().unwrap_or_default()
    }));
    let tokens = vec![AdminToken { name: "a".to_owned(), role: Role::Write, hash }];
    AdminSettings { tokens, ..AdminSettings::default() }
}
