//! Requests that are no HTTP, or that two parsers could read differently, in front of an application that keeps every
//! byte: what is refused never reaches it, and what reaches it can be read in one way only.

mod chunks;
mod early;
mod fields;
mod h2;
mod lengths;
mod lines;

use std::net::SocketAddr;
use std::sync::Arc;

use crate::harness::{Message, Record, Recorder, Tidegate, Wire};

/// What must become of the bytes of a case. Behind them comes another request, [`NEXT`], at once.
enum Verdict {
    /// Refused with one of these, and the connection ends: nobody knows where the next request begins.
    Refused(&'static [u16]),
    /// Refused with one of these, but where it ends is clear: the next request is one of its own.
    RefusedAlone(&'static [u16]),
    /// The body is no HTTP: refused with 400, and the application never sees the end of it.
    Broken,
    /// The client leaves in the middle: the application never sees the end of it.
    Truncated,
    /// Forwarded as this.
    Passed(Expected),
    /// Forwarded as this, or refused: both are safe.
    Either(Expected),
}

/// The one reading of a request.
struct Expected {
    line: &'static str,
    host: &'static str,
    body: &'static str,
}

struct Case {
    name: &'static str,
    bytes: String,
    verdict: Verdict,
}

const NEXT: &str = "GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n";

/// Behind a body there may be one request more than the case has.
const POSTED: Expected = Expected { line: "POST /first HTTP/1.1", host: "app.test", body: "" };
const HELLO: Expected = Expected { body: "hello", ..POSTED };
const GOT: Expected = Expected { line: "GET /first HTTP/1.1", ..POSTED };

fn case(name: &'static str, bytes: impl Into<String>, verdict: Verdict) -> Case {
    Case { name, bytes: bytes.into(), verdict }
}

/// A POST with these field lines and this body.
fn post(fields: &str, body: &str) -> String {
    format!("POST /first HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n\r\n{body}")
}

impl Verdict {
    /// Whether the start of a request that is not whole may be forwarded. It may arrive later than the client's response.
    fn leaves_parts(&self) -> bool {
        matches!(self, Self::Broken | Self::Truncated | Self::Either(_))
    }
}

/// Plays all cases in front of one application, each on a connection of its own.
async fn play(mut cases: Vec<Case>) {
    // Parts that arrive late must not be taken for those of a case of which none may be forwarded.
    cases.sort_by_key(|case| case.verdict.leaves_parts());
    let leaves_parts = cases.last().is_some_and(|case| case.verdict.leaves_parts());
    let recorder = Arc::new(Recorder::start().await);
    let config = format!(
        "upstream: {}\nstore: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1000000/s }}]",
        recorder.url()
    );
    let tidegate = Tidegate::described(&config).await;
    let mut faults = Vec::new();
    for case in cases {
        let (name, address, recorder) = (case.name, tidegate.address, Arc::clone(&recorder));
        // A task of its own: what is wrong with one case hides no other.
        let fault = match tokio::spawn(async move { judge(&case, address, &recorder).await }).await {
            Ok(verdict) => verdict.err(),
            Err(panic) => Some(panic.to_string()),
        };
        faults.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
    let late = recorder.take();
    let only_parts = leaves_parts && late.messages.is_empty() && late.faults.is_empty();
    assert!(late.bytes.is_empty() || only_parts, "something was forwarded after all: {late:?}");
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

async fn judge(case: &Case, address: SocketAddr, recorder: &Recorder) -> Result<(), String> {
    let mut wire = Wire::to(address).await;
    if matches!(case.verdict, Verdict::Truncated) {
        wire.send(&case.bytes).await;
        wire.finish().await;
    } else {
        wire.send(format!("{}{NEXT}", case.bytes)).await;
    }
    let mut statuses = Vec::new();
    while statuses.len() < 2 {
        let Some(reply) = wire.try_reply().await else { break };
        statuses.push(reply.status);
    }
    let silent = statuses.len() == 2 || wire.is_closed().await;
    let record = recorder.take();
    let told = || format!("answered {statuses:?}; reached the application: {}", shown(&record));
    let holds = silent && record.faults.is_empty() && as_said(&case.verdict, &statuses, &record);
    if holds { Ok(()) } else { Err(told()) }
}

fn as_said(verdict: &Verdict, statuses: &[u16], record: &Record) -> bool {
    let messages = &record.messages[..];
    match verdict {
        Verdict::Refused(codes) => {
            matches!(statuses, [status] if codes.contains(status)) && record.bytes.is_empty()
        }
        Verdict::RefusedAlone(codes) => match statuses {
            [status] => codes.contains(status) && record.bytes.is_empty(),
            [status, 200] => codes.contains(status) && messages.len() == 1 && is_next(&messages[0]),
            _ => false,
        },
        Verdict::Broken => statuses == [400] && messages.is_empty(),
        Verdict::Truncated => matches!(statuses, [] | [400 | 408]) && messages.is_empty(),
        Verdict::Passed(expected) => is_passed(expected, statuses, messages),
        Verdict::Either(expected) => {
            is_passed(expected, statuses, messages)
                || matches!(statuses, [400] | [400, 200]) && messages.iter().all(is_next)
        }
    }
}

/// Whether the application saw this, and the next request if the connection went on.
fn is_passed(expected: &Expected, statuses: &[u16], messages: &[Message]) -> bool {
    let is_it = |message: &Message| {
        message.line == expected.line
            && (message.host == expected.host || expected.host.is_empty())
            && message.body == expected.body.as_bytes()
    };
    match (statuses, messages) {
        ([200], [first]) => is_it(first),
        ([200, 200], [first, next]) => is_it(first) && is_next(next),
        _ => false,
    }
}

fn is_next(message: &Message) -> bool {
    message.line == "GET /next HTTP/1.1" && message.host == "app.test" && message.body.is_empty()
}

fn shown(record: &Record) -> String {
    let text = String::from_utf8_lossy(&record.bytes);
    let (length, start) = (text.len(), text.chars().take(400).collect::<String>());
    format!("{length} bytes {start:?}, read strictly {:?}", record.faults)
}

#[tokio::test]
async fn lengths_beside_codings() {
    play(lengths::cases()).await;
}

#[tokio::test]
async fn chunked_bodies() {
    play(chunks::cases()).await;
}

#[tokio::test]
async fn request_lines_with_hosts() {
    play(lines::cases()).await;
}

#[tokio::test]
async fn header_fields() {
    play(fields::cases()).await;
}

/// The strict reader itself: without tidegate in between, what is ambiguous is seen to be.
#[tokio::test]
async fn the_recorder_reads_strictly() {
    let recorder = Recorder::start().await;
    let address: SocketAddr = recorder.url().strip_prefix("http://").unwrap().parse().unwrap();
    for (bytes, passes) in [
        (post("Content-Length: 5", "hello"), true),
        (post("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\nX: y\r\n\r\n"), true),
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n"), false),
        (post("Transfer-Encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n"), false),
        (post("X: a\nb", ""), false),
        (post(" folded", ""), false),
    ] {
        let mut wire = Wire::to(address).await;
        wire.send(format!("{bytes}{NEXT}")).await;
        let answered = wire.try_reply().await.is_some();
        let record = recorder.take();
        assert_eq!((answered, record.faults.is_empty()), (passes, passes), "{bytes:?}");
        assert_eq!(record.messages.is_empty(), !passes, "{bytes:?}");
    }
}
