//! Heads that are refused, heads that are not, and what the parser behind makes of them.

use proptest::prelude::*;

use super::super::malformed::Malformed;
use super::*;

const BOUNDS: HeadBounds = HeadBounds { header_bytes: 1000, header_fields: 10, target_bytes: 100 };

fn judged(head: &[u8]) -> Result<Following, Malformed> {
    assert_eq!(end_of_head(head), Some(head.len()), "{}", head.escape_ascii());
    judge(head, &BOUNDS)
}

/// With these lines behind a request line and a Host.
fn fields(fields: &str) -> Result<Following, Malformed> {
    judged(format!("POST /a HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes())
}

#[test]
fn request_lines() {
    let long = format!("GET /{} HTTP/1.1", "a".repeat(100));
    let fits = format!("GET /{} HTTP/1.1", "a".repeat(99));
    let method = format!("{} / HTTP/1.1", "A".repeat(65));
    for (line, want) in [
        ("GET / HTTP/1.1", None),
        ("GET / HTTP/1.0", None),
        ("OPTIONS * HTTP/1.1", None),
        ("GET http://a/b?c HTTP/1.1", None),
        ("PROPFIND /a{b}|\"c\"?d=\u{e9} HTTP/1.1", None),
        ("CONNECT a:80 HTTP/1.1", None),
        (&fits, None),
        ("GET  / HTTP/1.1", Some(Malformed::RequestLine)),
        ("GET /  HTTP/1.1", Some(Malformed::RequestLine)),
        ("GET / HTTP/1.1 ", Some(Malformed::RequestLine)),
        ("GET /a b HTTP/1.1", Some(Malformed::RequestLine)),
        ("GET\t/ HTTP/1.1", Some(Malformed::RequestLine)),
        ("GET /", Some(Malformed::RequestLine)),
        ("GET", Some(Malformed::RequestLine)),
        ("G(T / HTTP/1.1", Some(Malformed::RequestLine)),
        ("G\u{e9}T / HTTP/1.1", Some(Malformed::RequestLine)),
        ("GET / http/1.1", Some(Malformed::RequestLine)),
        ("GET / HTTP/1.10", Some(Malformed::RequestLine)),
        ("GET / HTTP/01.1", Some(Malformed::RequestLine)),
        ("GET / HTTP/1,1", Some(Malformed::RequestLine)),
        ("GET / HTTP/x.1", Some(Malformed::RequestLine)),
        ("GET / HTTP/1.2", Some(Malformed::Version)),
        ("GET / HTTP/0.9", Some(Malformed::Version)),
        ("GET / HTTP/2.0", Some(Malformed::Version)),
        (" GET / HTTP/1.1", Some(Malformed::Fold)),
        ("\x16\x03\x01\x02 / HTTP/1.1", Some(Malformed::Tls)),
        ("GET a?b HTTP/1.1", Some(Malformed::Target)),
        ("GET a/b HTTP/1.1", Some(Malformed::Target)),
        ("GET /a\tb HTTP/1.1", Some(Malformed::Target)),
        ("GET /a\0b HTTP/1.1", Some(Malformed::Target)),
        ("GET /a\x7fb HTTP/1.1", Some(Malformed::Target)),
        ("GET /a\rb HTTP/1.1", Some(Malformed::LineEnd)),
        ("GET / HTTP/1.1\r", Some(Malformed::LineEnd)),
        ("GET /a#b HTTP/1.1", Some(Malformed::Fragment)),
        (&long, Some(Malformed::LongTarget)),
        (&method, Some(Malformed::LongMethod)),
    ] {
        let found = judged(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
        assert_eq!(found.err(), want, "{}", line.escape_debug());
    }
    assert_eq!(judged(b"GET /\xff HTTP/1.1\r\n\r\n"), Err(Malformed::Target));
}

#[test]
fn field_lines() {
    for (lines, want) in [
        ("A: b\r\n", None),
        ("A:b\r\nb:\r\nc: \t \r\nd: \t\u{e9}\"\x21 \r\n", None),
        ("A : b\r\n", Some(Malformed::SpaceBeforeColon)),
        ("A\t: b\r\n", Some(Malformed::SpaceBeforeColon)),
        (" A: b\r\n", Some(Malformed::Fold)),
        ("A: b\r\n c\r\n", Some(Malformed::Fold)),
        ("A: b\r\n\tc: d\r\n", Some(Malformed::Fold)),
        ("A: b\r\n \r\n", Some(Malformed::Fold)),
        ("A\r\n", Some(Malformed::NoColon)),
        ("A b\r\n", Some(Malformed::NoColon)),
        (": b\r\n", Some(Malformed::FieldName)),
        ("A(b): c\r\n", Some(Malformed::FieldName)),
        ("\u{e9}: c\r\n", Some(Malformed::FieldName)),
        ("A\0: c\r\n", Some(Malformed::FieldName)),
        ("A: b\0\r\n", Some(Malformed::FieldValue)),
        ("A: \x0bb\r\n", Some(Malformed::FieldValue)),
        ("A: \x7f\r\n", Some(Malformed::FieldValue)),
        ("A: b\n", Some(Malformed::LineEnd)),
        ("A: b\nC: d\r\n", Some(Malformed::LineEnd)),
        ("A: b\rC: d\r\n", Some(Malformed::LineEnd)),
        ("A: b\r\r\n", Some(Malformed::LineEnd)),
        ("A\r: b\r\n", Some(Malformed::LineEnd)),
        ("Host: a\r\n", Some(Malformed::TwoHosts)),
        ("hOST: b\r\n", Some(Malformed::TwoHosts)),
        (&"A: b\r\n".repeat(9), None),
        (&"A: b\r\n".repeat(10), Some(Malformed::ManyFields)),
        (&format!("A: {}\r\n", "b".repeat(1000 - 9 - 5)), None),
        (&format!("A: {}\r\n", "b".repeat(1000 - 9 - 4)), Some(Malformed::LongHeader)),
        (&format!("A: {}\r\n", " ".repeat(2000)), Some(Malformed::LongHeader)),
    ] {
        assert_eq!(fields(lines).err(), want, "{}", lines.escape_debug());
    }
    for head in [&b"GET / HTTP/1.1\nHost: a\n\n"[..], b"GET / HTTP/1.1\r\nHost: a\r\n\n", b"\n", b"\r\n\n"] {
        assert_eq!(judged(head), Err(Malformed::LineEnd), "{}", head.escape_ascii());
    }
    assert_eq!(judge(b"GET / HTTP/1.1\r\n\r\nx", &BOUNDS), Err(Malformed::LineEnd));
    assert_eq!(judge(b"GET / HTTP/1.1\r\n", &BOUNDS), Err(Malformed::LineEnd));
    assert_eq!(judge(b"", &BOUNDS), Err(Malformed::LineEnd));
}

#[test]
fn framing() {
    use Following::{Chunked, Length, Upgrade};
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n";
    for (lines, want) in [
        ("", Ok(Length(0))),
        ("Content-Length: 0\r\n", Ok(Length(0))),
        ("content-length:  17\t\r\n", Ok(Length(17))),
        ("Content-Length: 18446744073709551613\r\n", Ok(Length(u64::MAX - 2))),
        ("Content-Length: 18446744073709551614\r\n", Err(Malformed::Length)),
        ("Content-Length: 18446744073709551616\r\n", Err(Malformed::Length)),
        ("Content-Length:\r\n", Err(Malformed::Length)),
        ("Content-Length: +5\r\n", Err(Malformed::Length)),
        ("Content-Length: -5\r\n", Err(Malformed::Length)),
        ("Content-Length: 0x5\r\n", Err(Malformed::Length)),
        ("Content-Length: 5 5\r\n", Err(Malformed::Length)),
        ("Content-Length: 5, 5\r\n", Err(Malformed::Length)),
        ("Content-Length: 5,\r\n", Err(Malformed::Length)),
        ("Content-Length: 5.0\r\n", Err(Malformed::Length)),
        ("Content-Length: 1e1\r\n", Err(Malformed::Length)),
        ("Content-Length: 010\r\n", Err(Malformed::Length)),
        ("Content-Length: \u{665}\r\n", Err(Malformed::Length)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(Malformed::TwoLengths)),
        ("Content-Length: 5\r\ncontent-length: 6\r\n", Err(Malformed::TwoLengths)),
        ("Transfer-Encoding: chunked\r\n", Ok(Chunked)),
        ("transfer-encoding:\tCHUNKED \r\n", Ok(Chunked)),
        ("Transfer-Encoding: gzip, chunked\r\n", Err(Malformed::UnknownCoding)),
        ("Transfer-Encoding: gzip;q=1, chunked\r\n", Err(Malformed::UnknownCoding)),
        ("Transfer-Encoding: xchunked\r\n", Err(Malformed::UnknownCoding)),
        ("Transfer-Encoding: identity\r\n", Err(Malformed::UnknownCoding)),
        ("Transfer-Encoding:\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: chunked, chunked\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: chunked, gzip\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: chunked,\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: , chunked\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: chunked;a=b\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: chunked chunked\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: \"chunked\"\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: chunked\u{a0}\r\n", Err(Malformed::Coding)),
        ("Transfer-Encoding: \x0bchunked\r\n", Err(Malformed::FieldValue)),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(Malformed::TwoCodings)),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Err(Malformed::TwoCodings)),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Err(Malformed::LengthAndCoding)),
        ("Content-Length: 0\r\nTransfer-Encoding: gzip\r\n", Err(Malformed::LengthAndCoding)),
        (upgrade, Ok(Upgrade)),
        ("Upgrade: a\r\nConnection: close\r\nConnection: upgrade\r\nContent-Length: 0\r\n", Ok(Upgrade)),
        ("Connection: upgrade\r\n", Ok(Length(0))),
        ("Connection: upgrade\r\nUpgrade:\r\n", Ok(Length(0))),
        ("Upgrade: websocket\r\n", Ok(Length(0))),
        ("Upgrade: websocket\r\nConnection: xupgrade\r\n", Ok(Length(0))),
        (&format!("{upgrade}Content-Length: 5\r\n"), Ok(Length(5))),
        (&format!("{upgrade}Transfer-Encoding: chunked\r\n"), Ok(Chunked)),
    ] {
        assert_eq!(fields(lines), want, "{}", lines.escape_debug());
    }
    let head = |line: &str, fields: &str| judged(format!("{line}\r\n{fields}\r\n").as_bytes());
    assert_eq!(head("GET / HTTP/1.0", "Transfer-Encoding: chunked\r\n"), Err(Malformed::CodingOfHttp10));
    assert_eq!(head("GET / HTTP/1.0", "Content-Length: 5\r\n"), Ok(Length(5)));
    assert_eq!(head("GET / HTTP/1.0", upgrade), Ok(Length(0)));
    assert_eq!(head("CONNECT a:1 HTTP/1.1", upgrade), Ok(Length(0)));
}

#[test]
fn empty_lines_before_the_request() {
    for (before, skipped) in [("", 0), ("\r\n", 2), ("\r\n\r\n", 4)] {
        let head = format!("{before}GET / HTTP/1.1\r\n\r\n");
        assert_eq!(skip_empty_lines(head.as_bytes()), skipped);
        assert_eq!(skip_empty_lines(before.as_bytes()), skipped);
        assert_eq!(end_of_head(before.as_bytes()), None);
        assert_eq!(judged(head.as_bytes()), Ok(Following::Length(0)));
    }
    let three = b"\r\n\r\n\r\nGET / HTTP/1.1\r\n\r\n";
    assert_eq!(end_of_head(three), Some(6));
    assert_eq!(judge(&three[..6], &BOUNDS), Err(Malformed::RequestLine));
}

#[test]
fn what_is_too_long_is_known_before_its_end() {
    for (head, want) in [
        (format!("GET /{}", "a".repeat(2000)), Err(Malformed::LongTarget)),
        (format!("\r\nGET /{}\r\n", "a".repeat(2000)), Err(Malformed::LongTarget)),
        (format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(2000)), Err(Malformed::LongHeader)),
        (format!("GET / HTTP/1.1\r\nA: {}", "a".repeat(1000)), Ok(())),
    ] {
        assert_eq!(too_long(head.as_bytes(), &BOUNDS), want);
    }
}

/// Pieces of heads, right and wrong.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "\r\n", "A: b\r\n", "Host: a\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n",
            "Connection: Upgrade\r\n", "Upgrade: x\r\n", ": ", "x", "\n", "\r", " ", "\t", "\r\n\r\n", "5,",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
    ];
    let line = prop::sample::select(vec!["GET / HTTP/1.1\r\n", "\r\nPOST /a HTTP/1.0\r\n", "GET /", ""]);
    (line, prop::collection::vec(piece, 0..8))
        .prop_map(|(line, pieces)| [line.as_bytes().to_vec(), pieces.concat(), b"\r\n\r\n".to_vec()].concat())
}

proptest! {
    #[test]
    fn what_is_accepted_the_parser_reads_alike(bytes in pieces()) {
        // Two empty lines and no more are the beginning of a request.
        let Some(end) = end_of_head(&bytes) else { return Ok(()) };
        let head = &bytes[..end];
        if judge(head, &BOUNDS).is_ok() {
            let mut space = [httparse::EMPTY_HEADER; 10];
            let mut request = httparse::Request::new(&mut space);
            prop_assert_eq!(request.parse(&bytes), Ok(httparse::Status::Complete(end)));
            let text = &head[skip_empty_lines(head)..];
            let (_, mut rest) = first_line(text).unwrap();
            for parsed in request.headers {
                let (line, after) = first_line(rest).unwrap();
                prop_assert_eq!(field(line).unwrap(), (parsed.name.as_bytes(), parsed.value));
                rest = after;
            }
            prop_assert_eq!(rest, b"\r\n");
        }
    }

    #[test]
    fn one_reading_finds_the_end_and_the_verdict_of_two(bytes in pieces(), cut in any::<prop::sample::Index>()) {
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            let end = end_of_head(bytes);
            let judged = end.map(|end| judge(&bytes[..end], &BOUNDS).map(|following| (end, following)));
            prop_assert_eq!(read(bytes, &BOUNDS), judged.transpose());
        }
    }

    #[test]
    fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (end_of_head(&bytes), judge(&bytes, &BOUNDS), read(&bytes, &BOUNDS).is_ok(), too_long(&bytes, &BOUNDS));
    }
}
