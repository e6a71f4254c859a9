//! Bodies in chunks.

use super::{Case, Expected, HELLO, POSTED, Verdict, case, post};

const PASSED: Verdict = Verdict::Passed(HELLO);
const EITHER: Verdict = Verdict::Either(HELLO);

pub(super) fn cases() -> Vec<Case> {
    [sizes(), endings()].into_iter().flatten().collect()
}

fn chunked(name: &'static str, body: &str, verdict: Verdict) -> Case {
    case(name, post("Transfer-Encoding: chunked", body), verdict)
}

fn sizes() -> Vec<Case> {
    let sized = |name, size: &str, verdict| chunked(name, &format!("{size}\r\nhello\r\n0\r\n\r\n"), verdict);
    let broken = |name, size: &str| sized(name, size, Verdict::Broken);
    let huge = format!("5;x={}", "x".repeat(64 * 1024));
    let many = format!("{}0\r\n\r\n", "1;xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nh\r\n".repeat(3000));
    vec![
        sized("a chunk", "5", PASSED),
        sized("a size with leading zeros", "0005", PASSED),
        sized("an extension", "5;name=value", PASSED),
        sized("a quoted extension", "5;name=\"a b\"", PASSED),
        sized("a blank behind the size", "5 ", EITHER),
        sized("a size of 17 digits", "00000000000000005", EITHER),
        broken("a size with a plus", "+5"),
        broken("a size below 0", "-5"),
        broken("a size with 0x", "0x5"),
        broken("a blank before the size", " 5"),
        broken("a tab before the size", "\t5"),
        broken("a size of nothing", ""),
        broken("an extension without a size", ";x"),
        broken("a size that is no number", "5g"),
        broken("two sizes", "5 5"),
        broken("a size with a separator", "0_5"),
        broken("a size beyond 64 bits", "10000000000000005"),
        broken("a size far beyond", "fffffffffffffffffffffffffffffff5"),
        broken("the largest size of 64 bits", "ffffffffffffffff"),
        // Not wrong, but nobody has that much to send.
        sized("the largest size of 63 bits", "7fffffffffffffff", Verdict::Truncated),
        broken("an extension without a name", "5;"),
        broken("a blank in an extension's name", "5;na me"),
        broken("an extension of an invalid name", "5;na/me"),
        broken("an extension without its value", "5;name="),
        broken("a quoted extension without its end", "5;name=\"a b"),
        broken("a quoted extension with more behind it", "5;name=\"a\"b"),
        broken("a line feed in an extension", "5;x\ny"),
        broken("a carriage return in an extension", "5;x\ry"),
        sized("NUL in an extension", "5;x\0", EITHER),
        broken("an extension of 64 KiB", &huge),
        chunked("extensions larger than the chunks", &many, Verdict::Broken),
    ]
}

fn endings() -> Vec<Case> {
    let broken = |name, body: &str| chunked(name, body, Verdict::Broken);
    vec![
        broken("a bare line feed behind the size", "5\nhello\r\n0\r\n\r\n"),
        broken("a bare carriage return behind the size", "5\rhello\r\n0\r\n\r\n"),
        broken("a bare line feed behind the data", "5\r\nhello\n0\r\n\r\n"),
        broken("nothing behind the data", "5\r\nhello0\r\n\r\n"),
        broken("more data than the size says", "5\r\nhello!\r\n0\r\n\r\n"),
        broken("less data than the size says", "6\r\nhello\r\n0\r\n\r\n"),
        broken("a bare line feed behind the last chunk", "5\r\nhello\r\n0\n\r\n"),
        broken("bare line feeds at the end", "5\r\nhello\r\n0\n\n"),
        broken("a bare line feed at the end", "5\r\nhello\r\n0\r\n\n"),
        broken("junk behind the last chunk", "5\r\nhello\r\n0\r\njunk\r\n\r\n"),
        broken("a last chunk that has data", "5\r\nhello\r\n0\r\nX\r\n0\r\n\r\n"),
        broken("no end behind the last chunk", "5\r\nhello\r\n0\r\n"),
        broken("a negative last chunk", "5\r\nhello\r\n-0\r\n\r\n"),
        broken("a trailer with a blank before the colon", "5\r\nhello\r\n0\r\nX : y\r\n\r\n"),
        broken("a folded trailer", "5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"),
        broken("NUL in a trailer", "5\r\nhello\r\n0\r\nX: \0\r\n\r\n"),
        chunked("a trailer", "5\r\nhello\r\n0\r\nX: y\r\n\r\n", PASSED),
        // The strict reader lets neither of these pass behind a body.
        chunked("a length in the trailers", "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n", EITHER),
        chunked("a coding in the trailers", "5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\n\r\n", EITHER),
        chunked("a host in the trailers", "5\r\nhello\r\n0\r\nHost: evil.test\r\n\r\n", EITHER),
        chunked("only the last chunk", "0\r\n\r\n", Verdict::Passed(POSTED)),
        chunked(
            "a chunk that looks like the end",
            "5\r\n0\r\n\r\n\r\n0\r\n\r\n",
            Verdict::Passed(Expected { body: "0\r\n\r\n", ..POSTED }),
        ),
        chunked("a body that breaks off", "5\r\nhel", Verdict::Truncated),
        chunked("a body without its last chunk", "5\r\nhello\r\n", Verdict::Truncated),
        chunked("a body without its last line", "5\r\nhello\r\n0\r\n", Verdict::Truncated),
    ]
}
