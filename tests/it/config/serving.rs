//! Listeners, TLS towards clients, the PROXY protocol and bounds: what they compile to.

use std::time::Duration;

use tidegate::bounds::Bounds;
use tidegate::config::{Config, Overrides};
use tidegate::settings::{Listen, ServerTls};

use super::{compile_with, file, listed, pem, right};

const RULES: &str = "rules: [{ name: a, rate: 1/s }]";

/// With a rule, and without a warning.
fn sound(rest: &str) -> Config {
    let config = right(&file(&format!("{RULES}\n{rest}")));
    assert!(config.warnings.is_empty(), "{rest}\n{}", listed(&config.warnings));
    config
}

#[test]
fn listeners_in_every_form() {
    for (text, want) in [
        ("'[::]:8081'", "[::]:8081"),
        ("127.0.0.1:0", "127.0.0.1:0"),
        ("unix:/run/tidegate.sock", "unix:/run/tidegate.sock"),
        ("unix:///run/tidegate.sock", "unix:/run/tidegate.sock"),
        ("unix:tidegate.sock", "unix:tidegate.sock"),
    ] {
        let listen = sound(&format!("listen: {text}\nops_listen: 127.0.0.1:0")).settings.listen;
        assert_eq!(listen.to_string(), want);
        assert_eq!(want.parse::<Listen>().unwrap(), listen, "what is shown can be written");
    }
    let longest = format!("unix:/{}", "x".repeat(106));
    assert_eq!(sound(&format!("listen: {longest}")).settings.listen.to_string(), longest);
    let wrong = "localhost:80".parse::<Listen>().unwrap_err();
    assert!(
        wrong.contains("invalid listen address 'localhost:80'") && wrong.contains("expected IP:PORT"),
        "{wrong}"
    );
}

#[test]
fn modes_of_a_socket_are_octal() {
    for (text, want) in [
        ("", None),
        ("listen_mode: \"0660\"", Some(0o660)),
        ("listen_mode: '660'", Some(0o660)),
        ("listen_mode: '0600'", Some(0o600)),
        ("listen_mode: '0777'", Some(0o777)),
        // YAML 1.1 would read an octal number, and JSON none at all: here it is the text that it looks like.
        ("listen_mode: 0660", Some(0o660)),
    ] {
        assert_eq!(sound(&format!("listen: unix:/run/a\n{text}")).settings.listen_mode, want, "{text}");
    }
}

#[test]
fn a_mode_needs_the_socket_that_a_flag_replaces() {
    let flag = Overrides { listen: Some("127.0.0.1:0".parse().unwrap()), ..Overrides::default() };
    let text = file("listen: unix:/run/a\nlisten_mode: '0660'");
    let wrong = listed(&compile_with(&text, &flag).unwrap_err());
    assert!(wrong.contains("3:1: listen_mode: ") && wrong.contains("listens on 127.0.0.1:0"), "{wrong}");
}

#[test]
fn the_flag_may_name_a_socket() {
    let flag = Overrides { listen: Some("unix:/run/a".parse().unwrap()), ..Overrides::default() };
    // The port of the file's own listen is free then.
    let text =
        file("listen: 0.0.0.0:9902\nupstream: http://127.0.0.1:9902").split_once('\n').unwrap().1.to_owned();
    let settings = compile_with(&text, &flag).unwrap().settings;
    assert_eq!(settings.listen.to_string(), "unix:/run/a");
    let text = file("proxy_protocol: { trusted: 10.0.0.0/8 }");
    let wrong = listed(&compile_with(&text, &flag).unwrap_err());
    assert!(wrong.contains("2:1: proxy_protocol: ") && wrong.contains("(--listen)"), "{wrong}");
}

fn tls(rest: &str) -> ServerTls {
    let text = format!("tls: {{ cert_file: /etc/cert.pem, key_file: key.pem{rest} }}");
    sound(&text).settings.tls.unwrap()
}

#[test]
fn tls_towards_clients() {
    let text = |name: &str| String::from_utf8(pem(name.as_ref()).unwrap()).unwrap();
    let least = tls("");
    assert_eq!(least.identity.certificate.expose(), text("cert.pem").trim_end().as_bytes());
    assert_eq!(least.identity.key.expose(), text("key.pem").trim_end().as_bytes());
    assert_eq!((least.client_ca, least.client_required, least.tls13_only), (None, false, false));

    for (rest, required) in
        [("", true), (", client_auth: required", true), (", client_auth: optional", false)]
    {
        let mutual = tls(&format!(", client_ca_file: ca.pem{rest}"));
        assert_eq!(mutual.client_ca.unwrap().expose(), text("ca.pem").trim_end().as_bytes());
        assert_eq!(mutual.client_required, required, "{rest}");
    }
    for (version, only) in [("'1.2'", false), ("1.2", false), ("\"1.3\"", true), ("1.3", true)] {
        assert_eq!(tls(&format!(", min_version: {version}")).tls13_only, only, "{version}");
    }
    sound("listen: unix:/run/a\ntls: { cert_file: both.pem, key_file: both.pem }");
}

#[test]
fn what_certificate_files_hold_may_change() {
    let of = |which: &str| {
        let files =
            format!("cert_file: {which}cert.pem, key_file: {which}key.pem, client_ca_file: {which}ca.pem");
        sound(&format!("tls: {{ {files} }}")).settings.tls.unwrap()
    };
    assert_ne!(of(""), of("other-"));
    assert_eq!(of("").fixed(), of("other-").fixed());
    assert_ne!(of("").fixed(), of(""), "what is fixed holds no key");
}

#[test]
fn all_else_of_tls_is_fixed() {
    let (mutual, plain) = (tls(", client_ca_file: ca.pem"), tls(""));
    for other in [
        plain.clone(),
        tls(", client_ca_file: ca.pem, client_auth: optional"),
        tls(", client_ca_file: ca.pem, min_version: 1.3"),
    ] {
        assert_ne!(mutual.fixed(), other.fixed(), "{other:?}");
    }
    assert_ne!(plain.fixed(), tls(", min_version: 1.3").fixed());
}

#[test]
fn no_key_shows_in_debug() {
    let both = pem("both.pem".as_ref()).unwrap();
    let settings =
        sound("tls: { cert_file: both.pem, key_file: both.pem, client_ca_file: both.pem }").settings;
    let tls = settings.tls.as_ref().unwrap();
    for shown in [format!("{settings:?}"), format!("{tls:?}"), format!("{:?}", tls.fixed())] {
        let bytes = format!("{:?}", &both[both.len() - 90..both.len() - 70]);
        for secret in ["BEGIN", bytes.trim_matches(['[', ']'])] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("Redacted(..)"), "{shown}");
    }
}

#[test]
fn whose_connections_begin_with_a_proxy_header() {
    for (trusted, want) in
        [("[10.0.0.0/8, 'fd00::1']", &["10.0.0.0/8", "fd00::1/128"][..]), ("192.0.2.7", &["192.0.2.7/32"])]
    {
        let settings = sound(&format!("proxy_protocol: {{ trusted: {trusted} }}")).settings;
        let networks: Vec<String> = settings.proxy_protocol.iter().map(ToString::to_string).collect();
        assert_eq!(networks, want);
    }
}

#[test]
fn all_bounds() {
    let second = Duration::from_secs(1);
    let bounds = sound(
        "bounds:
  connections: 9
  connections_per_client: 8
  streams: 7
  resets: 6
  control_frames: 60
  header_bytes: 16KiB
  header_fields: 5
  target_bytes: 65
  proxy_header_timeout: 1s
  handshake_timeout: 2s
  first_byte_timeout: 3s
  header_timeout: 4s
  idle_timeout: 5s
  body_idle_timeout: 6s
  stream_idle_timeout: 7s
  request_timeout: 8s
  requests_per_client: 2
  tunnels: 4
  tunnels_per_client: 3
",
    )
    .settings
    .bounds;
    let want = Bounds {
        connections: 9,
        connections_per_client: 8,
        streams: 7,
        resets: 6,
        control_frames: 60,
        header_bytes: 16 * 1024,
        header_fields: 5,
        target_bytes: 65,
        proxy_header_timeout: second,
        handshake_timeout: 2 * second,
        first_byte_timeout: 3 * second,
        header_timeout: 4 * second,
        idle_timeout: 5 * second,
        body_idle_timeout: 6 * second,
        stream_idle_timeout: 7 * second,
        request_timeout: Some(8 * second),
        requests_per_client: 2,
        tunnels: 4,
        tunnels_per_client: 3,
    };
    assert_eq!(bounds, want);
}

fn bounds(text: &str) -> Bounds {
    sound(&format!("bounds: {{ {text} }}")).settings.bounds
}

#[test]
fn what_follows_from_one_bound_for_another() {
    let default = Bounds::default();
    assert_eq!(bounds(""), default);
    assert_eq!(bounds("request_timeout: none"), default);
    for (text, each) in [("connections: 100", 50), ("connections: 3", 1), ("connections: 1", 1)] {
        assert_eq!(bounds(text).connections_per_client, each, "{text}");
    }
    assert_eq!(bounds("connections_per_client: 10000").connections_per_client, 10_000);
    for (text, both) in
        [("tunnels: 12", (12, 12)), ("tunnels: 0", (0, 0)), ("tunnels_per_client: 2", (10_000, 2))]
    {
        let found = bounds(text);
        assert_eq!((found.tunnels, found.tunnels_per_client), both, "{text}");
    }
    for (text, both) in [
        ("header_bytes: 8KiB", (8192, 8192)),
        ("header_bytes: 1MiB", (1 << 20, default.target_bytes)),
        ("header_bytes: 16384, target_bytes: '64'", (16_384, 64)),
        ("target_bytes: 64 KiB", (65_536, 65_536)),
    ] {
        let found = bounds(text);
        assert_eq!((found.header_bytes, found.target_bytes), both, "{text}");
    }
}

/// Settings that one client cannot reach or that trust too many, where they are, and a part of the warning.
const UNREACHABLE: [(&str, &str, &str); 4] = [
    ("bounds: { connections: 10, connections_per_client: 11 }", "3:52", "connections is 10"),
    ("bounds: { connections_per_client: 20000 }", "3:35", "connections is 10000"),
    ("bounds: { tunnels: 3, tunnels_per_client: 4 }", "3:43", "tunnels is 3"),
    ("proxy_protocol: { trusted: [10.0.0.0/8, 0.0.0.0/0] }", "3:41", "may claim any address"),
];

#[test]
fn what_one_client_cannot_reach_is_a_warning() {
    for (text, place, part) in UNREACHABLE {
        let config = right(&file(&format!("{RULES}\n{text}")));
        let [warning] = &*config.warnings else { panic!("{text}\n{}", listed(&config.warnings)) };
        let at = format!("{}:{}", warning.line.unwrap_or(0), warning.column.unwrap_or(0));
        assert!(at == place && warning.message.contains(part), "{text}\n{warning}");
    }
}

#[test]
fn one_client_has_no_more_than_all() {
    for (text, ..) in UNREACHABLE {
        let bounds = right(&file(&format!("{RULES}\n{text}"))).settings.bounds;
        assert!(
            bounds.connections_per_client <= bounds.connections
                && bounds.tunnels_per_client <= bounds.tunnels
        );
    }
}
