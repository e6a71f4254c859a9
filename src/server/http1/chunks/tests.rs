//! Bodies in chunks, right and wrong, in pieces of every length. What hyper makes of them: see `../tests.rs`.

use super::*;

/// The verdict, and how much was the body's, with the bytes arriving as cut.
fn scanned(bytes: &[u8], cuts: &[usize]) -> Result<Option<usize>, Malformed> {
    let mut chunks = Chunks::default();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        match chunks.scan(&bytes[start..end])? {
            Scanned::All => start = end,
            Scanned::End(length) => return Ok(Some(start + length)),
        }
    }
    Ok(None)
}

fn whole(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let want = scanned(bytes, &[]);
    for cut in 0..bytes.len().min(300) {
        assert_eq!(scanned(bytes, &[cut]), want, "{} cut at {cut}", bytes.escape_ascii());
    }
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(scanned(bytes, &every), want, "{} byte by byte", bytes.escape_ascii());
    want
}

#[test]
fn bodies_that_end() {
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "a\r\n0123456789\r\n1\r\n\n\r\n000\r\n\r\n",
        "0000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n",
        "5 \t;a\r\nhello\r\n0\r\n\r\n",
        "5 ; \ta = b ;c= \"\";d\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\\\"\\\\\t;\u{e9}\"\t;b=!#$\r\nhello\r\n0\r\n\r\n",
        "0\r\nA: b\r\nexpires:\r\nC: \u{e9}\t\r\n\r\n",
    ] {
        for rest in ["", "GET / HTTP/1.1\r\n\r\n", "\r\n"] {
            let bytes = format!("{body}{rest}");
            assert_eq!(whole(bytes.as_bytes()), Ok(Some(body.len())), "{}", bytes.escape_debug());
        }
        for end in 0..body.len() {
            assert_eq!(scanned(&body.as_bytes()[..end], &[]), Ok(None), "{}", body.escape_debug());
        }
    }
    let mut over = Chunks::default();
    assert_eq!(over.scan(b"0\r\n\r\n"), Ok(Scanned::End(5)));
    assert_eq!(over.scan(b"x"), Ok(Scanned::End(0)));
    assert_eq!(whole(b"7fffffffffffffff\r\nhello"), Ok(None));
}

#[test]
fn bodies_that_are_refused() {
    let extensions = format!("1;{}\r\na\r\n", "b".repeat(100)).repeat(82);
    let fields = format!("0\r\n{}\r\n", "A: b\r\n".repeat(33));
    for (body, want) in [
        ("\r\n", Malformed::ChunkSize),
        ("-5\r\n", Malformed::ChunkSize),
        ("+5\r\n", Malformed::ChunkSize),
        (" 5\r\n", Malformed::ChunkSize),
        ("0x5\r\n", Malformed::ChunkSize),
        (";a\r\n", Malformed::ChunkSize),
        ("g\r\n", Malformed::ChunkSize),
        ("5_0\r\n", Malformed::ChunkSize),
        ("5 5\r\n", Malformed::ChunkSize),
        ("5 \r\n", Malformed::ChunkSize),
        ("5\nhello\r\n", Malformed::ChunkSize),
        ("5\rhello\r\n", Malformed::ChunkSize),
        ("5\r\rhello", Malformed::ChunkSize),
        ("00000000000000005\r\n", Malformed::ChunkSize),
        ("10000000000000000\r\n", Malformed::ChunkSize),
        ("8000000000000000", Malformed::ChunkSize),
        ("ffffffffffffffff", Malformed::ChunkSize),
        ("5;\r\n", Malformed::ChunkExtension),
        ("5; \r\n", Malformed::ChunkExtension),
        ("5;;a\r\n", Malformed::ChunkExtension),
        ("5;a;\r\n", Malformed::ChunkExtension),
        ("5;a \r\n", Malformed::ChunkExtension),
        ("5;a b\r\n", Malformed::ChunkExtension),
        ("5;a/b\r\n", Malformed::ChunkExtension),
        ("5;=b\r\n", Malformed::ChunkExtension),
        ("5;a=\r\n", Malformed::ChunkExtension),
        ("5;a=;b\r\n", Malformed::ChunkExtension),
        ("5;a==b\r\n", Malformed::ChunkExtension),
        ("5;a=b=c\r\n", Malformed::ChunkExtension),
        ("5;a=b c\r\n", Malformed::ChunkExtension),
        ("5;a=b\"c\"\r\n", Malformed::ChunkExtension),
        ("5;a=\"b\"c\r\n", Malformed::ChunkExtension),
        ("5;a=\"b\" \r\n", Malformed::ChunkExtension),
        ("5;a=\"b\r\n", Malformed::ChunkExtension),
        ("5;a=\"\\\r\n", Malformed::ChunkExtension),
        ("5;a=\"\x7f\"\r\n", Malformed::ChunkExtension),
        ("5;a=\u{e9}\r\n", Malformed::ChunkExtension),
        ("5;a\nhello\r\n", Malformed::ChunkExtension),
        ("5;a\0\r\n", Malformed::ChunkExtension),
        ("5;a\rb\r\nhello", Malformed::ChunkSize),
        ("5;a\x7f\r\n", Malformed::ChunkExtension),
        ("5\r\nhello!\r\n", Malformed::ChunkEnd),
        ("5\r\nhello\n0\r\n\r\n", Malformed::ChunkEnd),
        ("5\r\nhello\r0\r\n\r\n", Malformed::ChunkEnd),
        ("5\r\nhello0\r\n\r\n", Malformed::ChunkEnd),
        ("0\r\n\n", Malformed::Trailer),
        ("0\r\n\rx", Malformed::Trailer),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", Malformed::Trailer),
        ("0\r\n A: b\r\n\r\n", Malformed::Trailer),
        ("0\r\nA: b\r\n c\r\n\r\n", Malformed::Trailer),
        ("0\r\nA : b\r\n\r\n", Malformed::Trailer),
        ("0\r\n: b\r\n\r\n", Malformed::Trailer),
        ("0\r\nA\r\n\r\n", Malformed::Trailer),
        ("0\r\nA: b\n\r\n", Malformed::Trailer),
        ("0\r\nA: b\rC: d\r\n", Malformed::Trailer),
        ("0\r\nA: \0\r\n\r\n", Malformed::Trailer),
        ("0\r\nContent-Length: 5\r\n\r\n", Malformed::TrailerField),
        ("0\r\nA: b\r\ntransfer-encoding: chunked\r\n\r\n", Malformed::TrailerField),
        ("0\r\nHOST: b\r\n\r\n", Malformed::TrailerField),
        ("0\r\nproxy-authorization: b\r\n\r\n", Malformed::TrailerField),
        ("0\r\nVia: b\r\n\r\n", Malformed::TrailerField),
        ("0\r\nX-RateLimit-Exceeded: b\r\n\r\n", Malformed::TrailerField),
        ("0\r\nX-Forwarded-Client-Cert: b\r\n\r\n", Malformed::TrailerField),
        ("0\r\nContent_Length: b\r\n\r\n", Malformed::TrailerField),
        ("0\r\nX_Forwarded_For: b\r\n\r\n", Malformed::TrailerField),
        (&extensions, Malformed::LongExtensions),
        (&format!("5{};a\r\n", " ".repeat(8192)), Malformed::LongExtensions),
        (&format!("0\r\nA: {}", "b".repeat(8192)), Malformed::LongTrailers),
        (&fields, Malformed::LongTrailers),
    ] {
        assert_eq!(whole(body.as_bytes()), Err(want), "{}", body.escape_debug());
    }
    let names = ["hosts", "proxy-authorizations", "proxy-authorization-of-somebody-else"];
    for name in names {
        assert!(whole(format!("0\r\n{name}: b\r\n\r\n").as_bytes()).is_ok(), "{name}");
    }
}

/// Whether something makes it the beginning of a body, given the size of its first chunk.
fn can_be_completed(body: &[u8], size: usize) -> bool {
    let lines = ["1\r\n", "\r\n", "\n", ";x\r\n", "x\r\n", "\"\r\n", "x\"\r\n", ""];
    let ends =
        ["0\r\n\r\n", "\r\n0\r\n\r\n", "\n0\r\n\r\n", "\r\n\r\n", "\r\n", "\n\r\n", "\n", "x:\r\n\r\n"];
    let data = (0..=size.max(1)).map(|length| "x".repeat(length));
    data.into_iter().any(|data| {
        lines.iter().any(|line| {
            ends.iter().any(|end| {
                let whole = [body, line.as_bytes(), data.as_bytes(), end.as_bytes()].concat();
                matches!(scanned(&whole, &[]), Ok(Some(_)))
            })
        })
    })
}

/// Each chunk-size line and each trailer section of up to five of these bytes, behind what can come before it.
#[test]
fn what_passes_can_be_completed() {
    for (before, size, alphabet) in [
        ("", None, &b"01; =\"\\x\r\n"[..]),
        ("1;x", Some(1), b"; =\"\\x\r\n"),
        ("0\r\n", Some(0), b"x: \r\n\x7f"),
    ] {
        let mut bodies = vec![before.as_bytes().to_vec()];
        for _ in 0..5 {
            bodies = bodies
                .iter()
                .flat_map(|body| alphabet.iter().map(|byte| [body, &[*byte][..]].concat()))
                .filter(|body| scanned(body, &[]) == Ok(None))
                .collect();
            for body in &bodies {
                let digits = body.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
                let text = std::str::from_utf8(&body[..digits]).unwrap();
                let size = size.unwrap_or_else(|| usize::from_str_radix(text, 16).unwrap());
                assert!(size > 17 || can_be_completed(body, size), "{}", body.escape_ascii());
            }
        }
    }
}
