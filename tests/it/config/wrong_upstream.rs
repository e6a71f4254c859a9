//! Wrong upstreams: each fault at its line and column, with its path and what would be right.

use super::{Wrong, assert_wrong, compile_with, diagnostics, listed};
use tidegate::config::Overrides;

#[rustfmt::skip]
const URLS: &[Wrong] = &[
    ("rules: []", "1:1", "upstream", "the upstream is missing", "http://HOST:PORT"),
    ("upstream: 9080", "1:11", "upstream", "found the number 9080", "http://HOST:PORT"),
    ("upstream: [http://a]", "1:11", "upstream", "found a list", "http://HOST:PORT"),
    ("upstream:", "1:10", "upstream", "found nothing", "http://HOST:PORT"),
    ("upstream: 127.0.0.1:9080", "1:11", "upstream", "is no upstream", "http://HOST:PORT"),
    ("upstream: ftp://app", "1:11", "upstream", "is no upstream", "h2c://HOST:PORT"),
    ("upstream: https+unix:/run/app", "1:11", "upstream", "is no upstream", "unix:/PATH"),
    ("upstream: 'https:app'", "1:11", "upstream", "is no upstream", "https://HOST:PORT"),
    ("upstream: http://app/api", "1:11", "upstream", "more than host and port", "http://HOST:PORT"),
    ("upstream: https://app/api", "1:11", "upstream", "more than host and port", "https://HOST:PORT"),
    ("upstream: http://app?x=1", "1:11", "upstream", "more than host and port", "http://HOST:PORT"),
    ("upstream: http://me:pw@app", "1:11", "upstream", "no user or password", "http://HOST:PORT"),
    ("upstream: https://me:pw@app", "1:11", "upstream", "no user or password", "http://HOST:PORT"),
    ("upstream: http://app:0", "1:11", "upstream", "no valid port", "http://HOST:PORT"),
    ("upstream: h2c://app:0", "1:11", "upstream", "no valid port", "http://HOST:PORT"),
    ("upstream: http://app:65536", "1:11", "upstream", "no valid port", "http://HOST:PORT"),
    ("upstream: 'http://app:'", "1:11", "upstream", "no valid port", "http://HOST:PORT"),
    ("upstream: http://:80", "1:11", "upstream", "no valid host", "http://HOST:PORT"),
    ("upstream: 'http://a b'", "1:11", "upstream", "no valid host", "http://HOST:PORT"),
    ("upstream: 'http://'", "1:11", "upstream", "no valid host", "http://HOST:PORT"),
    ("upstream: ''", "1:11", "upstream", "the text is empty", "http://HOST:PORT"),
    ("upstream: http://localhost:8080", "1:11", "upstream", "call itself", "another port"),
    ("upstream: http://[::1]:8080", "1:11", "upstream", "call itself", "another port"),
    ("upstream: h2c://127.0.0.1:8080", "1:11", "upstream", "h2c://127.0.0.1:8080 is where", "another port"),
    ("upstream: https://127.0.0.1\nlisten: 0.0.0.0:443", "1:11", "upstream", "call itself", "another port"),
    ("upstream: unix:/a//b\nlisten: unix:/a/b", "1:11", "upstream", "unix:/a//b is where", "another path"),
    ("upstream: h2c+unix:./b\nlisten: unix:b", "1:11", "upstream", "call itself", "another path"),
    ("upstream: 'unix:'", "1:11", "upstream", "path of the socket is missing", "unix:/run/app.sock"),
    ("upstream: 'h2c+unix:'", "1:11", "upstream", "path of the socket is missing", "unix:/run/app.sock"),
    ("upstream: unix:@app", "1:11", "upstream", "abstract", "unix:/run/app.sock"),
    ("upstream: unix:/run/app/", "1:11", "upstream", "path of a folder", "unix:/run/app.sock"),
    ("upstream: unix://run/app", "1:11", "upstream", "has no host", "unix:/run/app.sock"),
    ("upstream: https://app..internal", "1:11", "upstream", "no certificate can be for 'app..internal'", "tls.server_name"),
];

/// What stands between the braces of `upstream: {  }`.
#[rustfmt::skip]
const MAPPING: &[Wrong] = &[
    ("", "1:11", "upstream.url", "the upstream is missing", "or give --upstream"),
    ("retry: true", "1:11", "upstream.url", "the upstream is missing", "http://HOST:PORT"),
    ("url: 9080", "1:18", "upstream.url", "found the number 9080", "http://HOST:PORT"),
    ("url: 127.0.0.1:9080", "1:18", "upstream.url", "is no upstream", "http://HOST:PORT"),
    ("url: http://localhost:8080", "1:18", "upstream.url", "call itself", "another port"),
    ("url: http://a, colour: red", "1:28", "upstream.colour", "no key 'colour'", "url, tls, connect_timeout"),
    ("url: http://a, conections: 5", "1:28", "upstream.conections", "no key", "did you mean 'connections'?"),
    ("url: http://a, timeout: 5s", "1:28", "upstream.timeout", "several timeouts", "response_timeout for the head"),
    ("url: http://a, max_connections: 5", "1:28", "upstream.max_connections", "another name", "write connections"),
    ("url: http://a, retries: 2", "1:28", "upstream.retries", "once more, or it is not", "retry: true"),
    ("url: https://a, ca_file: ca.pem", "1:29", "upstream.ca_file", "stand under tls", "tls: { ca_file"),
    ("url: http://a, protocol: h2c", "1:28", "upstream.protocol", "stands in the url", "h2c://HOST:PORT"),
    ("url: http://a, connect_timeout: 2", "1:45", "upstream.connect_timeout", "found the number 2", "1ms to 1m"),
    ("url: http://a, connect_timeout: 61s", "1:45", "upstream.connect_timeout", "61s is out of range", "1ms to 1m"),
    ("url: http://a, connect_timeout: 0s", "1:45", "upstream.connect_timeout", "out of range", "1ms to 1m"),
    ("url: http://a, response_timeout: 2h", "1:46", "upstream.response_timeout", "out of range", "1ms to 1h"),
    ("url: http://a, idle_timeout: 2h", "1:42", "upstream.idle_timeout", "out of range", "0s to 1h"),
    ("url: http://a, connections: 0", "1:41", "upstream.connections", "0 is out of range", "from 1 to 65536"),
    ("url: http://a, pending: -1", "1:37", "upstream.pending", "-1 is out of range", "from 0 to 65536"),
    ("url: http://a, retry: 2", "1:35", "upstream.retry", "found the number 2", "true or false"),
    ("url: http://a, tls: {}", "1:28", "upstream.tls", "reached without it", "https://HOST:PORT, or remove tls"),
    ("url: unix:/a, tls: { server_name: a }", "1:27", "upstream.tls", "reached without it", "https://HOST:PORT"),
    ("url: https://a, tls: true", "1:34", "upstream.tls", "found the boolean true", "ca_file, cert_file, key_file, server_name"),
    ("url: https://a, tls: { insecure: true }", "1:36", "upstream.tls.insecure", "always checked", "ca_file"),
    ("url: https://a, tls: { ca_file: none }", "1:45", "upstream.tls.ca_file", "the file 'none' cannot be read", "in PEM"),
    ("url: https://a, tls: { ca_file: key.pem }", "1:45", "upstream.tls.ca_file", "no certificate in it", "BEGIN CERTIFICATE"),
    ("url: https://a, tls: { cert_file: cert.pem }", "1:36", "upstream.tls.cert_file", "has no key", "give key_file"),
    ("url: https://a, tls: { cert_file: cert.pem, key_file: other-key.pem }", "1:67", "upstream.tls.key_file", "does not belong", "first certificate"),
    ("url: https://a, tls: { server_name: 'a:1' }", "1:49", "upstream.tls.server_name", "'a:1' is no DNS name", "without a port"),
];

#[test]
fn urls() {
    assert_wrong(URLS, str::to_owned);
}

#[test]
fn mappings() {
    assert_wrong(MAPPING, |text| format!("upstream: {{ {text} }}"));
}

#[test]
fn a_socket_has_room_for_107_bytes() {
    let found = diagnostics(&format!("upstream: unix:/{}", "x".repeat(107)));
    let [diagnostic] = &*found else { panic!("{}", listed(&found)) };
    assert!(diagnostic.message.contains("108 bytes, and 107 is the most"), "{diagnostic}");
    assert!(diagnostic.help.contains("shorter path"), "{diagnostic}");
}

#[test]
fn the_file_must_be_right_where_the_flag_wins() {
    for (url, text, want) in [
        ("http://b", "upstream: ftp://a", "1:11: upstream: 'ftp://a' is no upstream"),
        ("http://b", "upstream: 5", "1:11: upstream: expected a text, found the number 5"),
        ("https://b", "upstream: { url: http://a, tls: {} }", "1:28: upstream.tls: tls is set, but"),
        ("http://b", "upstream: { tls: {} }", "1:13: upstream.tls: tls is set, but"),
        ("http://b", "upstream: { tls: { ca_file: none } }", "1:29: upstream.tls.ca_file: the file 'none'"),
        ("https://b..c", "upstream: http://a", "--upstream: no certificate can be for 'b..c'"),
        ("http://u:hunter2@b", "upstream: http://a", "--upstream: an upstream takes no user"),
        ("http://127.0.0.1:8080", "upstream: http://a", "--upstream: http://127.0.0.1:8080 is where"),
    ] {
        let flag = Overrides { upstream: Some(url.to_owned()), ..Overrides::default() };
        let said = listed(&compile_with(text, &flag).unwrap_err());
        assert!(said.contains(want) && !said.contains("hunter"), "{url} over {text}: {said}");
    }
}

#[test]
fn no_message_holds_a_password() {
    for url in [
        "http://u:hunter2@a",
        "https://u:hunter2@a/b",
        "unix://u:hunter2@a/b",
        "h2c+unix://hunter2@a",
        "x://hunter2@",
    ] {
        for text in [format!("upstream: '{url}'"), format!("upstream: {{ url: '{url}' }}")] {
            let said = listed(&diagnostics(&text));
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
