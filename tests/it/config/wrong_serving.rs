//! Wrong listeners, TLS, PROXY protocol and bounds: each fault at its line and column, with its path and what
//! would be right.

use super::{Wrong, assert_wrong, diagnostics, file, listed};

#[rustfmt::skip]
const LISTEN: &[Wrong] = &[
    ("listen: 'unix:'", "2:9", "listen", "path of the socket is missing", "unix:/run/app.sock"),
    ("listen: unix:@tidegate", "2:9", "listen", "abstract", "unix:/run/app.sock"),
    ("listen: unix:/run/", "2:9", "listen", "path of a folder", "unix:/run/app.sock"),
    ("listen: unix://run/a", "2:9", "listen", "has no host", "unix:/run/app.sock"),
    ("listen: /run/tidegate.sock", "2:9", "listen", "is no address to listen on", "unix:/run/tidegate.sock"),
    ("listen: unix:/a\nlisten_mode: 660", "3:14", "listen_mode", "found the number 660", "octal digits in quotes, such as \"0660\""),
    ("listen: unix:/a\nlisten_mode: 0o660", "3:14", "listen_mode", "found the number 432", "in quotes, such as \"0660\""),
    ("listen: unix:/a\nlisten_mode: '0680'", "3:14", "listen_mode", "invalid mode '0680'", "octal digits"),
    ("listen: unix:/a\nlisten_mode: '66'", "3:14", "listen_mode", "invalid mode '66'", "octal digits"),
    ("listen: unix:/a\nlisten_mode: '00660'", "3:14", "listen_mode", "invalid mode '00660'", "octal digits"),
    ("listen: unix:/a\nlisten_mode: '+660'", "3:14", "listen_mode", "invalid mode '+660'", "octal digits"),
    ("listen: unix:/a\nlisten_mode: '0o660'", "3:14", "listen_mode", "invalid mode '0o660'", "octal digits"),
    ("listen: unix:/a\nlisten_mode: u=rw,g=rw", "3:14", "listen_mode", "invalid mode 'u=rw,g=rw'", "octal digits"),
    ("listen: unix:/a\nlisten_mode: '4660'", "3:14", "listen_mode", "sets more than permissions", "\"0777\""),
    ("listen: unix:/a\nlisten_mode: '0066'", "3:14", "listen_mode", "locks tidegate's own user out", "\"0600\""),
    ("listen: 127.0.0.1:1\nlisten_mode: '0660'", "3:1", "listen_mode", "tidegate listens on 127.0.0.1:1", "unix:PATH"),
    ("listen_mode: '0660'", "2:1", "listen_mode", "tidegate listens on 0.0.0.0:8080", "remove listen_mode"),
    ("listen: unix:/a\nlisten_modes: '0660'", "3:1", "listen_modes", "no key 'listen_modes'", "did you mean 'listen_mode'?"),
    ("ops_listen: unix:/run/ops", "2:13", "ops_listen", "is no address to listen on", "0.0.0.0:9902"),
];

#[rustfmt::skip]
const TLS: &[Wrong] = &[
    ("tls: true", "2:6", "tls", "found the boolean true", "cert_file, key_file, client_ca_file"),
    ("tls:", "2:5", "tls", "found nothing", "cert_file, key_file"),
    ("tls: { cert_file: cert.pem }", "2:6", "tls.key_file", "the private key is missing", "with the key of the certificate"),
    ("tls: { key_file: key.pem }", "2:6", "tls.cert_file", "the certificate is missing", "those that lead to its authority"),
    ("tls: { cert_file: 5, key_file: key.pem }", "2:19", "tls.cert_file", "found the number 5", "a file in PEM"),
    ("tls: { cert_file: none, key_file: key.pem }", "2:19", "tls.cert_file", "the file 'none' cannot be read", "may read"),
    ("tls: { cert_file: cut.pem, key_file: key.pem }", "2:19", "tls.cert_file", "PEM is damaged", "complete"),
    ("tls: { cert_file: key.pem, key_file: key.pem }", "2:19", "tls.cert_file", "no certificate in it", "BEGIN CERTIFICATE"),
    ("tls: { cert_file: cert.pem, key_file: blank.pem }", "2:39", "tls.key_file", "is empty", "in PEM"),
    ("tls: { cert_file: cert.pem, key_file: cert.pem }", "2:39", "tls.key_file", "no private key in it", "BEGIN PRIVATE KEY"),
    ("tls: { cert_file: cert.pem, key_file: encrypted.pem }", "2:39", "tls.key_file", "key is encrypted", "passphrase"),
    ("tls: { cert_file: cert.pem, key_file: other-key.pem }", "2:39", "tls.key_file", "does not belong", "first certificate"),
    ("tls: { cert_file: cert.pem, key_file: key.pem, client_ca_file: key.pem }", "2:64", "tls.client_ca_file", "no certificate in it", "BEGIN CERTIFICATE"),
    ("tls: { cert_file: cert.pem, key_file: key.pem, client_auth: optional }", "2:48", "tls.client_auth", "not said whom to believe", "client_ca_file"),
    ("tls: { cert_file: cert.pem, key_file: key.pem, client_auth: none }", "2:61", "tls.client_auth", "'none' is not known", "required, optional"),
    ("tls: { cert_file: cert.pem, key_file: key.pem, client_auth: optional, client_ca_file: 5 }", "2:87", "tls.client_ca_file", "found the number 5", "a file in PEM"),
    ("tls: { cert_file: cert.pem, key_file: key.pem, min_version: '1.1' }", "2:61", "tls.min_version", "found the text '1.1'", "\"1.2\" or \"1.3\""),
    ("tls: { cert_file: cert.pem, key_file: key.pem, min_version: 1.0 }", "2:61", "tls.min_version", "found the number 1.0", "\"1.2\" or \"1.3\""),
    ("tls: { cert_file: cert.pem, key_file: key.pem, min_version: TLSv1.3 }", "2:61", "tls.min_version", "expected a version of TLS", "\"1.3\""),
    ("tls: { cert_file: cert.pem, key_file: key.pem, ca_file: ca.pem }", "2:48", "tls.ca_file", "stands in client_ca_file", "client_ca_file"),
    ("tls: { cert_file: cert.pem, key_file: key.pem, cert: x }", "2:48", "tls.cert", "no key 'cert'", "cert_file"),
];

#[rustfmt::skip]
const PROXY_PROTOCOL: &[Wrong] = &[
    ("proxy_protocol: true", "2:17", "proxy_protocol", "found the boolean true", "the keys are trusted"),
    ("proxy_protocol:", "2:16", "proxy_protocol", "found nothing", "the keys are trusted"),
    ("proxy_protocol: {}", "2:17", "proxy_protocol.trusted", "nobody is trusted", "[10.0.0.0/8]"),
    ("proxy_protocol: { trusted: [] }", "2:28", "proxy_protocol.trusted", "list is empty", "[10.0.0.0/8]"),
    ("proxy_protocol: { trusted: lb }", "2:28", "proxy_protocol.trusted", "'lb' is no network", "10.0.0.0/8"),
    ("proxy_protocol: { trusted: ['::ffff:10.0.0.1'] }", "2:29", "proxy_protocol.trusted[0]", "never matches", "IPv4"),
    ("proxy_protocol: { trusted: [10.0.0.1], version: 2 }", "2:40", "proxy_protocol.version", "says itself", "remove"),
    ("listen: unix:/a\nproxy_protocol: { trusted: [10.0.0.1] }", "3:1", "proxy_protocol", "have no address that could be trusted (line 2)", "listen on IP:PORT"),
];

/// What stands between the braces of `bounds: {  }`.
#[rustfmt::skip]
const BOUNDS: &[Wrong] = &[
    ("connections: 0", "2:24", "bounds.connections", "0 is out of range", "from 1 to 1000000"),
    ("connections: 1000001", "2:24", "bounds.connections", "out of range", "from 1 to 1000000"),
    ("connections: 10k", "2:24", "bounds.connections", "found the text '10k'", "whole number"),
    ("connections_per_client: 0", "2:35", "bounds.connections_per_client", "0 is out", "from 1"),
    ("streams: 10001", "2:20", "bounds.streams", "out of range", "from 1 to 10000"),
    ("resets: 0", "2:19", "bounds.resets", "0 is out of range", "from 1 to 10000"),
    ("control_frames: 0", "2:27", "bounds.control_frames", "0 is out of range", "from 1 to 100000"),
    ("header_bytes: 8191", "2:25", "bounds.header_bytes", "8191 bytes are out of range", "from 8KiB to 1MiB"),
    ("header_bytes: 2MiB", "2:25", "bounds.header_bytes", "2097152 bytes are out of range", "from 8KiB to 1MiB"),
    ("header_bytes: 64KB", "2:25", "bounds.header_bytes", "'64KB' is no size", "such as 64KiB"),
    ("header_bytes: 64.5", "2:25", "bounds.header_bytes", "found the number 64.5", "from 8KiB to 1MiB"),
    ("header_fields: 1001", "2:26", "bounds.header_fields", "out of range", "from 1 to 1000"),
    ("target_bytes: 63", "2:25", "bounds.target_bytes", "63 bytes are out of range", "from 64 to 64KiB"),
    ("header_bytes: 8KiB, target_bytes: 9KiB", "2:45", "bounds.target_bytes", "does not fit into header_bytes", "header_bytes more"),
    ("proxy_header_timeout: 0s", "2:33", "bounds.proxy_header_timeout", "out of range", "1ms to 24h"),
    ("handshake_timeout: 5", "2:30", "bounds.handshake_timeout", "found the number 5", "unit"),
    ("first_byte_timeout: 25h", "2:31", "bounds.first_byte_timeout", "out of range", "1ms to 24h"),
    ("header_timeout: never", "2:27", "bounds.header_timeout", "'never' is no duration", "20ms"),
    ("idle_timeout: none", "2:25", "bounds.idle_timeout", "'none' is no duration", "20ms"),
    ("body_idle_timeout: 0ms", "2:30", "bounds.body_idle_timeout", "out of range", "1ms to 24h"),
    ("stream_idle_timeout: 2d", "2:32", "bounds.stream_idle_timeout", "out of range", "1ms to 24h"),
    ("request_timeout: 0s", "2:28", "bounds.request_timeout", "out of range", "1ms to 24h, with its unit, or none"),
    ("request_timeout: false", "2:28", "bounds.request_timeout", "found the boolean false", "or none"),
    ("tunnels: -1", "2:20", "bounds.tunnels", "-1 is out of range", "from 0"),
    ("tunnels_per_client: x", "2:31", "bounds.tunnels_per_client", "found the text 'x'", "whole number"),
    ("max_connections: 5", "2:11", "bounds.max_connections", "another name", "write connections"),
    ("timeout: 5s", "2:11", "bounds.timeout", "several timeouts", "request_timeout"),
    ("keepalive_timeout: 5s", "2:11", "bounds.keepalive_timeout", "another name", "idle_timeout"),
    ("connect_timeout: 5s", "2:11", "bounds.connect_timeout", "about the application", "upstream"),
    ("max_body_bytes: 5", "2:11", "bounds.max_body_bytes", "bodies have no bound", "body_idle_timeout"),
    ("stream: 5", "2:11", "bounds.stream", "no key 'stream'", "did you mean 'streams'?"),
];

#[test]
fn listeners() {
    assert_wrong(LISTEN, file);
}

#[test]
fn tls() {
    assert_wrong(TLS, file);
}

#[test]
fn proxy_protocol() {
    assert_wrong(PROXY_PROTOCOL, file);
}

#[test]
fn bounds() {
    assert_wrong(BOUNDS, |text| file(&format!("bounds: {{ {text} }}")));
}

#[test]
fn bounds_need_keys() {
    let found = diagnostics(&file("bounds: 5"));
    assert!(
        listed(&found).contains("2:9: bounds: expected a mapping, found the number 5"),
        "{}",
        listed(&found)
    );
}

#[test]
fn everything_about_it_is_told_at_once() {
    let found = diagnostics(
        "listen: unix:/a
tls: { cert_file: none, key_file: encrypted.pem, client_ca_file: cut.pem, client_auth: maybe, min_version: 1 }
proxy_protocol: { trusted: [a, b] }
upstream: { url: ftp://a, tls: { ca_file: none }, retry: 5 }
bounds: { header_bytes: 1, idle_timeout: 1, tunnels: x }
",
    );
    let paths: Vec<_> = found.iter().map(|diagnostic| &*diagnostic.path).collect();
    let want = [
        "tls.cert_file",
        "tls.key_file",
        "tls.client_ca_file",
        "tls.client_auth",
        "tls.min_version",
        "proxy_protocol",
        "proxy_protocol.trusted[0]",
        "proxy_protocol.trusted[1]",
        "upstream.url",
        "upstream.tls.ca_file",
        "upstream.retry",
        "bounds.header_bytes",
        "bounds.idle_timeout",
        "bounds.tunnels",
    ];
    assert_eq!(paths, want, "\n{}", listed(&found));
}
