//! Upstreams in every shape: what they compile to, what of them is fixed, and what the flag changes.

use std::time::Duration;

use tidegate::config::Overrides;
use tidegate::settings::{UpstreamAddress, UpstreamProtocol, UpstreamSettings};

use super::{compile_with, listed, pem, right};

const RULES: &str = "rules: [{ name: a, rate: 1/s }]";

fn upstream(text: &str) -> UpstreamSettings {
    let config = right(&format!("upstream: {text}\n{RULES}"));
    assert!(config.warnings.is_empty(), "{text}\n{}", listed(&config.warnings));
    config.settings.upstream
}

fn flagged(url: &str, text: &str) -> (UpstreamSettings, String) {
    let flag = Overrides { upstream: Some(url.to_owned()), ..Overrides::default() };
    let config = compile_with(&format!("{text}\n{RULES}"), &flag);
    let config = config.unwrap_or_else(|diagnostics| panic!("{}\n{text}", listed(&diagnostics)));
    (config.settings.upstream, listed(&config.warnings))
}

#[test]
fn urls() {
    for (url, authority, shown) in [
        ("http://127.0.0.1:9080", "127.0.0.1:9080", "http://127.0.0.1:9080"),
        ("http://[::1]:9080", "[::1]:9080", "http://[::1]:9080"),
        ("http://app", "app:80", "http://app:80"),
        ("http://app_1.internal:80/", "app_1.internal:80", "http://app_1.internal:80"),
        ("https://app.internal", "app.internal:443", "https://app.internal:443"),
        ("https://[::1]/", "[::1]:443", "https://[::1]:443"),
        ("https://app:8443", "app:8443", "https://app:8443"),
        ("h2c://app", "app:80", "h2c://app:80"),
        ("h2c://[fd00::1]:50051", "[fd00::1]:50051", "h2c://[fd00::1]:50051"),
    ] {
        for text in [format!("'{url}'"), format!("{{ url: '{url}' }}")] {
            let found = upstream(&text);
            assert_eq!((&*found.address.authority(), &*found.to_string()), (authority, shown));
            let scheme = match found.protocol {
                UpstreamProtocol::Http1 => "http",
                UpstreamProtocol::H2c => "h2c",
                UpstreamProtocol::Tls(tls) => {
                    assert_eq!((tls.ca, tls.identity, tls.server_name), (None, None, None));
                    "https"
                }
            };
            assert!(url.starts_with(&format!("{scheme}:")), "{url}");
        }
    }
    for (url, path, protocol) in [
        ("unix:/run/app.sock", "/run/app.sock", UpstreamProtocol::Http1),
        ("unix:///run/app.sock", "/run/app.sock", UpstreamProtocol::Http1),
        ("unix:app@1.sock", "app@1.sock", UpstreamProtocol::Http1),
        ("h2c+unix:/run/app.sock", "/run/app.sock", UpstreamProtocol::H2c),
    ] {
        let found = upstream(url);
        assert_eq!((found.address.clone(), &found.protocol), (UpstreamAddress::Unix(path.into()), &protocol));
        assert_eq!(found.to_string(), url.replace("///", "/"));
    }
}

#[test]
fn what_stands_beside_the_url() {
    let (second, default) = (Duration::from_secs(1), upstream("http://app"));
    assert_eq!(
        (default.connect_timeout, default.response_timeout, default.idle_timeout),
        (2 * second, 60 * second, 4 * second)
    );
    assert_eq!((default.connections, default.pending, default.retry), (1024, 1024, true));
    let given = upstream(
        "{ url: http://app, connect_timeout: 1ms, response_timeout: 1h, idle_timeout: 0s, connections: 65536, \
         pending: 0, retry: false }",
    );
    assert_eq!(
        (given.connect_timeout, given.response_timeout, given.idle_timeout),
        (second / 1000, 3600 * second, Duration::ZERO)
    );
    assert_eq!((given.connections, given.pending, given.retry), (65_536, 0, false));
}

/// An upstream of HTTPS with more settings.
fn with(rest: &str) -> UpstreamSettings {
    upstream(&format!("{{ url: https://app{rest} }}"))
}

const TLS: &str =
    "{ ca_file: /etc/ca.pem, cert_file: cert.pem, key_file: key.pem, server_name: app.internal }";

#[test]
fn tls() {
    for none in ["", ", tls: {}", ", tls:"] {
        let UpstreamProtocol::Tls(tls) = upstream(&format!("{{ url: 'https://app'{none} }}")).protocol else {
            panic!("no TLS")
        };
        assert_eq!((tls.ca, tls.identity, tls.server_name), (None, None, None));
    }
    // Such a host has no certificate of its own, so another name must be said.
    for host in ["app", "10.0.0.1", "app..internal"] {
        let UpstreamProtocol::Tls(tls) = upstream(&format!("{{ url: https://{host}, tls: {TLS} }}")).protocol
        else {
            panic!("no TLS")
        };
        let text = |name: &str| String::from_utf8(pem(name.as_ref()).unwrap()).unwrap();
        assert_eq!(tls.ca.unwrap().expose(), text("ca.pem").trim_end().as_bytes());
        assert_eq!(tls.identity.unwrap().key.expose(), text("key.pem").trim_end().as_bytes());
        assert_eq!(tls.server_name.as_deref(), Some("app.internal"));
    }
}

#[test]
fn what_certificate_files_hold_may_change() {
    let running = with(&format!(", tls: {TLS}"));
    for live in [
        with(", tls: { ca_file: other-ca.pem, server_name: app.internal }"),
        with(&format!(
            ", tls: {}",
            TLS.replace("cert.pem", "other-cert.pem").replace("key.pem", "other-key.pem")
        )),
    ] {
        assert_ne!(running, live);
        assert_eq!(running.fixed(), live.fixed());
    }
}

#[test]
fn all_else_of_an_upstream_is_fixed() {
    let running = with(&format!(", tls: {TLS}"));
    for other in [
        with(""),
        with(", tls: { server_name: b }"),
        with(", tls: { server_name: app.internal }, retry: false"),
        with(", tls: { server_name: app.internal }, connections: 1"),
        upstream("https://b"),
        upstream("http://app:443"),
        upstream("h2c://app:443"),
        upstream("unix:app:443"),
    ] {
        assert_ne!(running.fixed(), other.fixed(), "{other}");
    }
}

#[test]
fn no_key_is_shown() {
    let running = with(&format!(", tls: {TLS}"));
    let shown = format!("{running:?} {:?}", running.fixed());
    assert!(!shown.contains("BEGIN") && shown.contains("Redacted(..)"), "{shown}");
}

#[test]
fn the_flag_replaces_the_url_alone() {
    let rest = "response_timeout: 7s, retry: false";
    for text in [
        format!("upstream: {{ url: http://a, {rest} }}"),
        format!("upstream: {{ url: https://a, tls: {TLS}, {rest} }}"),
        format!("upstream: {{ tls: {TLS}, {rest} }}"),
        format!("upstream: {{ {rest} }}"),
    ] {
        let (found, warnings) = flagged("https://b:5", &text);
        assert_eq!((&*found.to_string(), &*warnings), ("https://b:5", ""));
        assert_eq!((found.response_timeout, found.retry), (Duration::from_secs(7), false));
        let UpstreamProtocol::Tls(tls) = found.protocol else { panic!("no TLS") };
        assert_eq!(tls.ca.is_some(), text.contains("ca_file"), "{text}");
    }
    for text in ["", "upstream: https://a", "upstream: unix:/run/app.sock"] {
        let (found, warnings) = flagged("h2c://b", text);
        assert_eq!((&*found.to_string(), &*warnings), ("h2c://b:80", ""));
    }
}

#[test]
fn a_flag_without_tls_warns_of_the_tls_in_the_file() {
    let (found, warnings) = flagged("http://b", &format!("upstream: {{ url: https://a, tls: {TLS} }}"));
    assert_eq!(found.protocol, UpstreamProtocol::Http1);
    assert!(warnings.starts_with("--upstream: the upstream is reached without the TLS"), "{warnings}");
    assert!(warnings.contains("https://HOST:PORT"), "{warnings}");
}
