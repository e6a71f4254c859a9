//! Request lines, and the host.

use super::{Case, Expected, GOT, Verdict, case};

const BAD: Verdict = Verdict::Refused(&[400]);
/// Where it ends is clear.
const WRONG: Verdict = Verdict::RefusedAlone(&[400]);
const METHOD: Verdict = Verdict::RefusedAlone(&[405]);
const PASSED: Verdict = Verdict::Passed(GOT);
const EITHER: Verdict = Verdict::Either(GOT);

pub(super) fn cases() -> Vec<Case> {
    [versions(), methods(), targets(), absolute(), hosts()].into_iter().flatten().collect()
}

/// A request of this line, with a Host.
fn line(name: &'static str, line: &str, verdict: Verdict) -> Case {
    case(name, format!("{line}\r\nHost: app.test\r\n\r\n"), verdict)
}

fn versions() -> Vec<Case> {
    const UNKNOWN: Verdict = Verdict::Refused(&[400, 505]);
    vec![
        line("HTTP/1.1", "GET /first HTTP/1.1", PASSED),
        line("HTTP/1.0", "GET /first HTTP/1.0", PASSED),
        line("HTTP/0.9", "GET /first", UNKNOWN),
        line("HTTP/1.2", "GET /first HTTP/1.2", UNKNOWN),
        line("HTTP/2.0", "GET /first HTTP/2.0", UNKNOWN),
        line("HTTP/1.10", "GET /first HTTP/1.10", UNKNOWN),
        line("HTTP/1", "GET /first HTTP/1", UNKNOWN),
        line("HTTP/11", "GET /first HTTP/11", UNKNOWN),
        line("a version in lower case", "GET /first http/1.1", UNKNOWN),
        line("another protocol's version", "GET /first RTSP/1.0", UNKNOWN),
        line("a space behind the version", "GET /first HTTP/1.1 ", BAD),
        line("junk behind the version", "GET /first HTTP/1.1 x", BAD),
        line("two spaces before the target", "GET  /first HTTP/1.1", BAD),
        line("two spaces before the version", "GET /first  HTTP/1.1", BAD),
        line("tabs for spaces", "GET\t/first\tHTTP/1.1", BAD),
        line("a tab before the version", "GET /first\tHTTP/1.1", BAD),
        line("a vertical tab before the target", "GET\x0b/first HTTP/1.1", BAD),
        line("no target", "GET HTTP/1.1", BAD),
        line("only a method", "GET", BAD),
    ]
}

fn methods() -> Vec<Case> {
    vec![
        line("a method of nothing", " /first HTTP/1.1", BAD),
        line("a method in brackets", "(GET) /first HTTP/1.1", BAD),
        line("a method with a colon", "GET: /first HTTP/1.1", BAD),
        line("a method with a control character", "GET\x01 /first HTTP/1.1", BAD),
        line("a method with NUL", "GE\0T /first HTTP/1.1", BAD),
        line("a method with DEL", "GET\x7f /first HTTP/1.1", BAD),
        line("a method that is no ASCII", "G\u{cb}T /first HTTP/1.1", BAD),
        line("a carriage return in a method", "G\rET /first HTTP/1.1", BAD),
        // Methods are case-sensitive: this one is unknown, and not GET to any rule.
        line(
            "a method in lower case",
            "get /first HTTP/1.1",
            Verdict::Either(Expected { line: "get /first HTTP/1.1", ..GOT }),
        ),
        line("TRACE", "TRACE /first HTTP/1.1", METHOD),
        line("CONNECT", "CONNECT app.test:443 HTTP/1.1", METHOD),
        line("CONNECT to a path", "CONNECT /first HTTP/1.1", Verdict::RefusedAlone(&[400, 405])),
        line("CONNECT to a URI", "CONNECT http://app.test/ HTTP/1.1", Verdict::RefusedAlone(&[400, 405])),
        line("an asterisk for GET", "GET * HTTP/1.1", WRONG),
        line(
            "an asterisk for OPTIONS",
            "OPTIONS * HTTP/1.1",
            Verdict::Passed(Expected { line: "OPTIONS * HTTP/1.1", ..GOT }),
        ),
    ]
}

fn targets() -> Vec<Case> {
    vec![
        line("a host for a target", "GET app.test HTTP/1.1", WRONG),
        line("a host and port for a target", "GET app.test:80 HTTP/1.1", WRONG),
        line("a target without a slash", "GET first HTTP/1.1", WRONG),
        line("a query for a target", "GET ?first HTTP/1.1", WRONG),
        line("a space in the target", "GET /fir st HTTP/1.1", BAD),
        line("NUL in the target", "GET /first\0 HTTP/1.1", BAD),
        line("a control character in the target", "GET /first\x01 HTTP/1.1", BAD),
        line("DEL in the target", "GET /first\x7f HTTP/1.1", BAD),
        line("a carriage return in the target", "GET /first\rx HTTP/1.1", BAD),
        line("DEL in the query", "GET /first?\x7f HTTP/1.1", WRONG),
        line("a fragment", "GET /first#x HTTP/1.1", EITHER),
        line(
            "a path that is no ASCII",
            "GET /\u{fc} HTTP/1.1",
            Verdict::Either(Expected { line: "GET /%C3%BC HTTP/1.1", ..GOT }),
        ),
    ]
}

fn absolute() -> Vec<Case> {
    vec![
        line("a URI for a target", "GET http://app.test/first HTTP/1.1", PASSED),
        line(
            "a URI without a path",
            "GET http://app.test HTTP/1.1",
            Verdict::Passed(Expected { line: "GET / HTTP/1.1", ..GOT }),
        ),
        line("a URI of another host", "GET http://evil.test/first HTTP/1.1", WRONG),
        line("a URI of another port", "GET http://app.test:81/first HTTP/1.1", WRONG),
        line("a URI with a user", "GET http://user@app.test/first HTTP/1.1", WRONG),
        line("a URI with a user like the host", "GET http://app.test@evil.test/first HTTP/1.1", WRONG),
        line("a URI without a host", "GET http:///first HTTP/1.1", WRONG),
        line("a URI of another scheme", "GET ftp://app.test/first HTTP/1.1", EITHER),
        case("a URI and no Host", "GET http://app.test/first HTTP/1.1\r\n\r\n", WRONG),
        case("a URI and an empty Host", "GET http://app.test/first HTTP/1.1\r\nHost:\r\n\r\n", EITHER),
    ]
}

fn hosts() -> Vec<Case> {
    let host = |name, host: &str, verdict| {
        case(name, format!("GET /first HTTP/1.1\r\nHost: {host}\r\n\r\n"), verdict)
    };
    let (port, address) = ("app.test:8080", "[2001:db8::1]:80");
    vec![
        case("no Host", "GET /first HTTP/1.1\r\n\r\n", WRONG),
        case(
            "no Host in HTTP/1.0",
            "GET /first HTTP/1.0\r\n\r\n",
            Verdict::Passed(Expected { host: "", ..GOT }),
        ),
        case("two Hosts", "GET /first HTTP/1.1\r\nHost: app.test\r\nHost: evil.test\r\n\r\n", WRONG),
        case("two equal Hosts", "GET /first HTTP/1.1\r\nHost: app.test\r\nhost: app.test\r\n\r\n", WRONG),
        case("two Hosts, one empty", "GET /first HTTP/1.1\r\nHost:\r\nHost: app.test\r\n\r\n", WRONG),
        host("a Host with a port", port, Verdict::Passed(Expected { host: port, ..GOT })),
        host("a Host that is an address", address, Verdict::Passed(Expected { host: address, ..GOT })),
        host("an empty Host", "", WRONG),
        host("a list of Hosts", "app.test, evil.test", WRONG),
        host("a Host with a user", "user@app.test", WRONG),
        host("a Host with a path", "app.test/first", WRONG),
        host("a Host with a query", "app.test?x", WRONG),
        host("a Host with a fragment", "app.test#x", WRONG),
        host("a Host with a backslash", "app.test\\evil.test", WRONG),
        host("a Host with a space", "app.test evil.test", WRONG),
        host("a Host with a tab", "app.test\tevil.test", WRONG),
        host("a Host that is a URI", "http://app.test", WRONG),
        host("a Host with a port beyond 16 bits", "app.test:65536", WRONG),
        host("a Host with a port far beyond", "app.test:99999999999999999999", WRONG),
        host("a Host with a port below 0", "app.test:-1", WRONG),
        host("a Host with two ports", "app.test:80:81", WRONG),
        host("a Host with a port that is no number", "app.test:http", WRONG),
        host("a Host of a port only", ":80", WRONG),
        host("half an address", "[2001:db8::1", WRONG),
        host("an address with a zone", "[fe80::1%25eth0]", WRONG),
        host("an encoded Host", "%61pp.test", WRONG),
        host("a Host that is no ASCII", "\u{e4}pp.test", WRONG),
    ]
}
