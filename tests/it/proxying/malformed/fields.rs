//! The lines of a header.

use super::{Case, GOT, Verdict, case};

const BAD: Verdict = Verdict::Refused(&[400]);
const PASSED: Verdict = Verdict::Passed(GOT);

pub(super) fn cases() -> Vec<Case> {
    [lines(), ends(), sizes()].into_iter().flatten().collect()
}

fn lines() -> Vec<Case> {
    let line = |name, line: &str, verdict| {
        case(name, format!("GET /first HTTP/1.1\r\nHost: app.test\r\n{line}\r\nY: z\r\n\r\n"), verdict)
    };
    let bad = |name, text: &str| line(name, text, BAD);
    vec![
        line("a field", "X: y", PASSED),
        line("a field without a value", "X:", PASSED),
        line("a tab within a value", "X: a\tb", PASSED),
        line("every character of a name", "!#$%&'*+-.^_`|~09azAZ: y", PASSED),
        bad("a value folded with a space", "X: a\r\n b"),
        bad("a value folded with a tab", "X: a\r\n\tb"),
        bad("a line of a space", "X: a\r\n "),
        bad("a space before the colon", "X : y"),
        bad("a tab before the colon", "X\t: y"),
        bad("a space within a name", "X Y: z"),
        bad("a name of nothing", ": y"),
        bad("a line without a colon", "X"),
        bad("a name in brackets", "(X): y"),
        bad("a slash in a name", "X/Y: z"),
        bad("an equals sign in a name", "X=Y: z"),
        bad("a name that is no ASCII", "X\u{fc}: y"),
        bad("NUL in a value", "X: a\0b"),
        bad("NUL in a name", "X\0: y"),
        bad("a control character in a value", "X: a\x01b"),
        bad("an escape in a value", "X: \x1b[31m"),
        bad("a vertical tab in a value", "X: a\x0bb"),
        bad("a form feed in a value", "X: a\x0cb"),
        bad("DEL in a value", "X: a\x7fb"),
        bad("DEL in a name", "X\x7f: y"),
        bad("a carriage return in a value", "X: a\rb"),
        bad("a carriage return before a field", "X: a\rTransfer-Encoding: chunked"),
        bad("a carriage return in a name", "X\rY: z"),
        bad("a second carriage return at the end of a line", "X: y\r"),
        bad("a line feed within a value", "X: a\nb"),
        bad("a bare line feed between two fields", "X: a\nContent-Length: 5"),
    ]
}

fn ends() -> Vec<Case> {
    vec![
        case("a space before the first field", "GET /first HTTP/1.1\r\n Host: app.test\r\n\r\n", BAD),
        case("a tab before the first field", "GET /first HTTP/1.1\r\n\tX: y\r\nHost: app.test\r\n\r\n", BAD),
        case("a bare line feed behind the request line", "GET /first HTTP/1.1\nHost: app.test\r\n\r\n", BAD),
        case("a bare line feed behind a field", "GET /first HTTP/1.1\r\nHost: app.test\n\r\n", BAD),
        case("a bare line feed at the end", "GET /first HTTP/1.1\r\nHost: app.test\r\n\n", BAD),
        case("bare line feeds only", "GET /first HTTP/1.1\nHost: app.test\n\n", BAD),
        case("bare carriage returns only", "GET /first HTTP/1.1\rHost: app.test\r\r", BAD),
        case("no request line", "Host: app.test\r\n\r\n", BAD),
        case("an empty line before", "\r\nGET /first HTTP/1.1\r\nHost: app.test\r\n\r\n", PASSED),
        case("a space before", " GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n", BAD),
        case("NUL before", "\0GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n", BAD),
        case("another protocol", "SSH-2.0-OpenSSH_9.6\r\n\r\n", BAD),
    ]
}

fn sizes() -> Vec<Case> {
    const LARGE: Verdict = Verdict::RefusedAlone(&[431]);
    let get = |name, target: &str, fields: &str, verdict| {
        case(name, format!("GET {target} HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n"), verdict)
    };
    let (fields, text) = (|count| "X: y\r\n".repeat(count), |length| "x".repeat(length));
    let target = format!("/{}", text(17 * 1024));
    vec![
        get("100 fields", "/first", &fields(99), PASSED),
        get("101 fields", "/first", &fields(100), LARGE),
        get("10,000 fields", "/first", &fields(10_000), LARGE),
        get("a header of 60 KiB", "/first", &format!("X: {}\r\n", text(60 * 1024)), PASSED),
        get("a header of 65 KiB", "/first", &format!("X: {}\r\n", text(65 * 1024)), LARGE),
        get("a header of 1 MiB", "/first", &format!("X: {}\r\n", text(1024 * 1024)), LARGE),
        get("a name of 70 KiB", "/first", &format!("{}: y\r\n", text(70 * 1024)), LARGE),
        get("a target of 17 KiB", &target, "", Verdict::RefusedAlone(&[414])),
        get("a query of 17 KiB", &format!("/first?{}", text(17 * 1024)), "", Verdict::RefusedAlone(&[414])),
        case("a target of 1 MiB", format!("GET /{}", text(1024 * 1024)), Verdict::Refused(&[414, 431])),
    ]
}
