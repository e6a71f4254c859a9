//! A beginning is refused exactly when no continuation is accepted: [`judge`] is the measure.

use proptest::prelude::*;

use super::*;
use crate::policy::host;
use crate::policy::path::{Ambiguous, canonical};
use crate::server::http1::head::{end_of_head, judge};

const BOUNDS: HeadBounds = HeadBounds { header_bytes: 1000, header_fields: 10, target_bytes: 100 };

/// The verdict on these bytes when they arrive one by one.
fn scanned(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut prefix = Prefix::default();
    for end in 1..=bytes.len() {
        if let Some(end) = prefix.scan(&bytes[..end], &BOUNDS, &PathPolicy::default())? {
            return Ok(Some(end));
        }
    }
    Ok(None)
}

/// Whether `judge` accepts it, or each of its lines where only two of them contradict each other.
fn is_acceptable(head: &[u8]) -> bool {
    use Malformed::{CodingOfHttp10, LengthAndCoding, TwoCodings, TwoHosts, TwoLengths};
    if end_of_head(head) != Some(head.len()) {
        return false;
    }
    match judge(head, &BOUNDS) {
        Ok(_) => is_forwarded(head),
        Err(TwoHosts | TwoLengths | TwoCodings | LengthAndCoding | CodingOfHttp10) => {
            let lines = head.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\r\n").skip(1);
            lines
                .into_iter()
                .all(|line| judge(&[b"GET / HTTP/1.1\r\n", line, b"\r\n"].concat(), &BOUNDS).is_ok())
                && is_forwarded(head)
        }
        Err(_) => false,
    }
}

/// Whether the proxy reads a target and hosts in it, as `proxy::target` does, which belongs to another layer. That there
/// is not a valid host, or another one in the target, is left to it.
fn is_forwarded(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.trim_start_matches("\r\n").split("\r\n");
    let mut line = lines.next().unwrap().split(' ');
    let (method, target) = (line.next().unwrap(), line.next().unwrap());
    let uri: http::Uri = target.parse().unwrap();
    let is_form = match target {
        "*" => method == "OPTIONS",
        _ => uri.authority().is_none() == uri.scheme().is_none(),
    };
    let path = if uri.path().is_empty() { "/" } else { uri.path() };
    let is_path = canonical(path, &PathPolicy::default()).is_ok();
    let values =
        lines.filter_map(|line| line.split_once(':')).filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let values = values.map(|(_, value)| value.trim_matches([' ', '\t']));
    let mut hosts = values.chain(uri.authority().map(http::uri::Authority::as_str));
    let is_host = |authority: &str| !authority.is_empty() && host::name(authority).is_some();
    !["CONNECT", "TRACE"].contains(&method) && is_form && is_path && hosts.all(is_host)
}

/// Of these at least one completes whatever can be completed.
fn completions() -> impl Iterator<Item = Vec<u8>> {
    const HEAD: &[u8] = b"x / HTTP/1.1\r\n\r\n";
    let rest = (0..HEAD.len()).map(|from| HEAD[from..].to_vec());
    // The rest of a method, and of an escape.
    let methods = ["X *", "X /", " *", "*", "1", "41"];
    let rest = rest.chain(methods.map(|begin| format!("{begin} HTTP/1.1\r\n\r\n").into_bytes()));
    // The rest of a character, of an authority, of a scheme.
    let characters: [&[u8]; 5] = [b"", b"\x80", b"\x80\x80", b"\x80\x80\x80", b"\xa0\x80"];
    let targets = ["", "a", "/a", "//a", "://a", "::1]", "1]", ":1]", "]"].iter().flat_map(move |target| {
        characters.map(|character| [character, target.as_bytes(), b" HTTP/1.1\r\n\r\n"].concat())
    });
    let characters = [&b"\x90\x80\x80 HTTP/1.1\r\n\r\n"[..], b"\nx / HTTP/1.1\r\n\r\n"].map(<[u8]>::to_vec);
    let fields = ["\n", "\n\r\n", ":\r\n\r\n", "1\r\n\r\n", ":1\r\n\r\n", ":chunked\r\n\r\n"];
    let addresses = ["]", "1]", ":1]", "::1]"].map(|rest| format!("{rest}\r\n\r\n").into_bytes());
    let coding = (0..7).map(|from| format!("{}\r\n\r\n", &"chunked"[from..]).into_bytes());
    let fields = fields.into_iter().map(|rest| rest.as_bytes().to_vec()).chain(coding);
    rest.chain(targets).chain(characters).chain(fields).chain(addresses)
}

fn can_be_completed(bytes: &[u8]) -> bool {
    completions().any(|rest| is_acceptable(&[bytes, &rest].concat()))
}

/// The last byte of each is the one too much.
#[test]
fn the_first_invalid_byte_is_refused() {
    let long_target = format!("GET /{}", "a".repeat(100));
    let long_method = "A".repeat(65);
    let many_fields = format!("GET / HTTP/1.1\r\n{}A", "A: b\r\n".repeat(10));
    let long_value = format!("GET / HTTP/1.1\r\nA: {}", "b".repeat(996));
    let long_name = format!("GET / HTTP/1.1\r\n{}", "A".repeat(997));
    let blanks = format!("GET / HTTP/1.1\r\nA: {}", " ".repeat(1164));
    for (bytes, fault) in [
        ("\x16", Malformed::Tls),
        ("\r\n\x16", Malformed::Tls),
        (" ", Malformed::Fold),
        ("\n", Malformed::LineEnd),
        ("\r\r", Malformed::LineEnd),
        ("\r\n\r\n\r", Malformed::RequestLine),
        ("G(", Malformed::RequestLine),
        ("GET\r", Malformed::RequestLine),
        ("- ", Malformed::RequestLine),
        ("GET  ", Malformed::RequestLine),
        (&long_method, Malformed::LongMethod),
        ("GET /\r", Malformed::RequestLine),
        ("GET /\n", Malformed::LineEnd),
        ("GET /\t", Malformed::Target),
        ("GET /a<", Malformed::Target),
        ("GET /a?\"", Malformed::Target),
        ("GET /a#", Malformed::Fragment),
        ("GET a/", Malformed::Form),
        ("GET *", Malformed::Form),
        ("GET a ", Malformed::Form),
        ("OPTIONS *x", Malformed::Form),
        ("CONNECT ", Malformed::Method("CONNECT")),
        ("TRACE ", Malformed::Method("TRACE")),
        ("GET /%z", Malformed::Path(Ambiguous::Escape)),
        ("GET /%4 ", Malformed::Path(Ambiguous::Escape)),
        ("GET /%2f", Malformed::Path(Ambiguous::EmptySegment)),
        ("GET /a%2fb%5c", Malformed::Path(Ambiguous::MixedSeparators)),
        ("GET /%0", Malformed::Path(Ambiguous::Control)),
        ("GET /a/../../", Malformed::Path(Ambiguous::AboveRoot)),
        ("GET /.. ", Malformed::Path(Ambiguous::AboveRoot)),
        ("GET /a?%\"", Malformed::Target),
        ("GET http:///", Malformed::Host),
        ("GET http://a@", Malformed::Host),
        ("GET http://a:65536", Malformed::Host),
        ("GET http://[::1x", Malformed::Host),
        ("GET http://a/%z", Malformed::Path(Ambiguous::Escape)),
        ("GET /\u{e9}\u{7f}", Malformed::Target),
        (&long_target, Malformed::LongTarget),
        ("GET / h", Malformed::RequestLine),
        ("GET / HTTP/2", Malformed::Version),
        ("GET / HTTP/1.2", Malformed::Version),
        ("GET / HTTP/1.10", Malformed::RequestLine),
        ("GET / HTTP/1.1\rx", Malformed::LineEnd),
        ("GET / HTTP/1.1\r\n ", Malformed::Fold),
        ("GET / HTTP/1.1\r\n:", Malformed::FieldName),
        ("GET / HTTP/1.1\r\nA ", Malformed::SpaceBeforeColon),
        ("GET / HTTP/1.1\r\nA\r", Malformed::NoColon),
        ("GET / HTTP/1.1\r\nA(", Malformed::FieldName),
        ("GET / HTTP/1.1\r\nA: \0", Malformed::FieldValue),
        ("GET / HTTP/1.1\r\nA: b\rc", Malformed::LineEnd),
        ("GET / HTTP/1.1\r\nA: b\r\n\t", Malformed::Fold),
        ("GET / HTTP/1.1\r\nA: b\r\n\r\r", Malformed::LineEnd),
        (&many_fields, Malformed::ManyFields),
        (&long_value, Malformed::LongHeader),
        (&long_name, Malformed::LongHeader),
        (&blanks, Malformed::LongHeader),
        ("GET / HTTP/1.1\r\nHost: a b", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: \r", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: :", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: [ ", Malformed::Host),
        ("GET / HTTP/1.1\r\nhost:a:8o", Malformed::Host),
        ("GET / HTTP/1.1\r\nHost: [::1\r", Malformed::Host),
        ("GET / HTTP/1.1\r\nContent-Length: x", Malformed::Length),
        ("GET / HTTP/1.1\r\nContent-Length: 01", Malformed::Length),
        ("GET / HTTP/1.1\r\nContent-Length: 5 5", Malformed::Length),
        ("GET / HTTP/1.1\r\nContent-Length: 18446744073709551614", Malformed::Length),
        ("GET / HTTP/1.1\r\nContent-Length: \r", Malformed::Length),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: g", Malformed::UnknownCoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunkedx", Malformed::UnknownCoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunk ", Malformed::UnknownCoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunk\r", Malformed::UnknownCoding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked,", Malformed::Coding),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: ,", Malformed::Coding),
    ] {
        let bytes = bytes.as_bytes();
        let (last, before) = bytes.split_last().unwrap();
        assert_eq!(scanned(before), Ok(None), "{} before {last:#x}", bytes.escape_ascii());
        assert_eq!(scanned(bytes), Err(fault), "{}", bytes.escape_ascii());
    }
    assert_eq!(scanned(b"GET /\xc3("), Err(Malformed::Target));
    assert_eq!(scanned(b"GET /\xff"), Err(Malformed::Target));
}

#[test]
fn empty_lines_are_counted_after_they_were_dropped() {
    let mut prefix = Prefix::default();
    for _ in 0..2 {
        assert_eq!(prefix.scan(b"\r\n", &BOUNDS, &PathPolicy::default()), Ok(None));
        assert!(prefix.drop_empty_lines());
        assert!(!prefix.is_new());
    }
    assert_eq!(prefix.scan(b"\r", &BOUNDS, &PathPolicy::default()), Err(Malformed::RequestLine));
}

/// Each target of up to four of these bytes.
#[test]
fn short_targets_are_refused_exactly_when_nothing_completes_them() {
    let mut targets = vec![Vec::new()];
    for _ in 0..4 {
        targets = targets
            .iter()
            .flat_map(|target: &Vec<u8>| {
                b"a/:[]@%?.2*\xc3".iter().map(|byte| [target, &[*byte][..]].concat())
            })
            .filter(|target| {
                let line = [b"GET ", &target[..]].concat();
                let passes = scanned(&line).is_ok();
                assert_eq!(passes, can_be_completed(&line), "{}", line.escape_ascii());
                passes
            })
            .collect();
    }
    assert!(targets.len() > 1000, "{}", targets.len());
}

/// Beginnings of heads, right and wrong.
fn beginnings() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "\r\nPOST /a HTTP/1.0\r\n",
        "GET ",
        "GET /a?b",
        "GET http://",
        "GET a",
        "OPTIONS ",
        "CONNECT",
        "GET / HTTP/1.1\r\nHost:",
        "GET http://a:",
        "GET http://[1",
        "",
        "\r\n",
    ]);
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "\r\n", "A: b\r\n", "Host: a\r\n", "Host: [::1]:80\r\n", "Content-Length:", "Transfer-Encoding: ", "chunked", "chunked\r\n",
            " HTTP/1.1\r\n", " HTTP/", "1.", "://", "a", "-", " ", "\t", "5", "0", ":", "/", "?", "@", "[", "]", "%",
            "..", "/../", "%2F", "%4", "41", "*", "[::1]", "Host: ", "\u{e9}", "\u{20ac}", "\u{10348}", "\r", "\n", ",", "HTTP", "x: ",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    (line, prop::collection::vec(piece, 0..6), 0..4_usize).prop_map(|(line, pieces, cut)| {
        let mut bytes = [line.as_bytes(), &pieces.concat()].concat();
        bytes.truncate(bytes.len().saturating_sub(cut));
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_passes_can_be_completed(bytes in beginnings()) {
        if scanned(&bytes) == Ok(None) {
            prop_assert!(can_be_completed(&bytes), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_can_be_completed_passes(bytes in beginnings()) {
        for rest in completions() {
            let head = [&bytes[..], &rest].concat();
            if is_acceptable(&head) {
                prop_assert_eq!(scanned(&head), Ok(Some(head.len())), "{}", head.escape_ascii());
            }
        }
    }

    #[test]
    fn the_verdict_does_not_depend_on_the_portions(bytes in beginnings(), step in 2..9_usize) {
        let mut prefix = Prefix::default();
        let ends = (step..bytes.len()).step_by(step).chain([bytes.len()]);
        let verdict = ends.map(|end| prefix.scan(&bytes[..end], &BOUNDS, &PathPolicy::default())).find(|found| *found != Ok(None));
        prop_assert_eq!(verdict.unwrap_or(Ok(None)), scanned(&bytes));
    }
}
