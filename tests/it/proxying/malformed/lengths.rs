//! Content-Length and Transfer-Encoding: where a message ends.

use super::{Case, GOT, HELLO, POSTED, Verdict, case, post};

const BAD: Verdict = Verdict::Refused(&[400]);
const UNKNOWN: Verdict = Verdict::Refused(&[400, 501]);

/// Empty, for whoever goes by the coding.
const LAST: &str = "0\r\n\r\n";

pub(super) fn cases() -> Vec<Case> {
    [codings(), lengths()].into_iter().flatten().collect()
}

fn codings() -> Vec<Case> {
    let coded = |name, fields: &str, verdict| case(name, post(fields, LAST), verdict);
    vec![
        coded("a length before a coding", "Content-Length: 5\r\nTransfer-Encoding: chunked", BAD),
        coded("a coding before a length", "Transfer-Encoding: chunked\r\nContent-Length: 5", BAD),
        coded("a length of 0 and a coding", "Content-Length: 0\r\nTransfer-Encoding: chunked", BAD),
        coded("a length and an unknown coding", "Content-Length: 5\r\nTransfer-Encoding: x", UNKNOWN),
        coded("a space before the coding's colon", "Transfer-Encoding : chunked", BAD),
        coded("a tab before the coding's colon", "Transfer-Encoding\t: chunked", BAD),
        coded("a tab behind the coding's colon", "Transfer-Encoding:\tchunked", Verdict::Passed(POSTED)),
        coded("a vertical tab before the coding", "Transfer-Encoding: \x0bchunked", BAD),
        coded("a folded coding", "Transfer-Encoding:\r\n chunked", BAD),
        coded("a coding in capitals", "Transfer-Encoding: CHUNKED", Verdict::Passed(POSTED)),
        coded("chunked, identity", "Transfer-Encoding: chunked, identity", UNKNOWN),
        coded("identity, chunked", "Transfer-Encoding: identity, chunked", UNKNOWN),
        coded("identity", "Transfer-Encoding: identity", UNKNOWN),
        coded("xchunked", "Transfer-Encoding: xchunked", UNKNOWN),
        coded("chunked twice", "Transfer-Encoding: chunked, chunked", UNKNOWN),
        coded("two fields chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", UNKNOWN),
        coded("two fields, one unknown", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", UNKNOWN),
        coded("two fields, gzip first", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", UNKNOWN),
        coded("gzip, chunked", "Transfer-Encoding: gzip, chunked", UNKNOWN),
        coded("a comma behind the coding", "Transfer-Encoding: chunked,", UNKNOWN),
        coded("a comma before the coding", "Transfer-Encoding: ,chunked", UNKNOWN),
        coded("a quoted coding", "Transfer-Encoding: \"chunked\"", UNKNOWN),
        coded("a coding with a parameter", "Transfer-Encoding: chunked;q=1", UNKNOWN),
        coded("a coding of nothing", "Transfer-Encoding:", UNKNOWN),
        case(
            "a coding in HTTP/1.0",
            format!("POST /first HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n{LAST}"),
            BAD,
        ),
        case(
            "a coding and a length in HTTP/1.0",
            "POST /first HTTP/1.0\r\nHost: app.test\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            BAD,
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let long = |name, fields: &str, verdict| case(name, post(fields, "hello"), verdict);
    vec![
        long("a length", "Content-Length: 5", Verdict::Passed(HELLO)),
        long("blanks around a length", "Content-Length: \t5 \t", Verdict::Passed(HELLO)),
        long("two equal lengths", "Content-Length: 5\r\nContent-Length: 5", BAD),
        long("two lengths", "Content-Length: 5\r\nContent-Length: 0", BAD),
        long("two lengths in two cases", "Content-Length: 0\r\nCONTENT-LENGTH: 5", BAD),
        long("a list of equal lengths", "Content-Length: 5, 5", BAD),
        long("a list of lengths", "Content-Length: 5,0", BAD),
        long("a length with a plus", "Content-Length: +5", BAD),
        long("a length below 0", "Content-Length: -1", BAD),
        long("a length in hexadecimal", "Content-Length: 0x5", BAD),
        long("two numbers", "Content-Length: 5 5", BAD),
        long("a length of nothing", "Content-Length:", BAD),
        long("a length of blanks", "Content-Length: \t ", BAD),
        long("an exponent", "Content-Length: 5e0", BAD),
        long("a fraction", "Content-Length: 5.0", BAD),
        long("a length with a unit", "Content-Length: 5B", BAD),
        long("a quoted length", "Content-Length: \"5\"", BAD),
        long("a length beyond 64 bits", "Content-Length: 18446744073709551621", BAD),
        long("a length far beyond", "Content-Length: 99999999999999999999999999999999", BAD),
        long("a length in digits of another script", "Content-Length: \u{ff15}", BAD),
        long("a space before the length's colon", "Content-Length : 5", BAD),
        long("a folded length", "Content-Length:\r\n 5", BAD),
        long("a length behind NUL", "Content-Length: 5\0", BAD),
        case(
            "a body of GET",
            "GET /first HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello",
            Verdict::Passed(super::Expected { body: "hello", ..GOT }),
        ),
        case(
            "a body that looks like a request",
            post(&format!("Content-Length: {}", SMUGGLED.len()), SMUGGLED),
            Verdict::Passed(super::Expected { body: SMUGGLED, ..POSTED }),
        ),
        // What is beyond the length is no part of the body; it begins the next request, and is none.
        case("a POST without length or coding", post("X: y", ""), Verdict::Passed(POSTED)),
        case("a body shorter than its length", post("Content-Length: 10", "hello"), Verdict::Truncated),
        case("a header that breaks off", "POST /first HTTP/1.1\r\nHost: app", Verdict::Truncated),
    ]
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
