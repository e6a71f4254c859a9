//! The same over HTTP/2, frame by frame, in front of an application that speaks HTTP/1.1.

use crate::harness::h2_wire::{DATA, END_STREAM, Frames, Outcome};
use crate::harness::{Recorder, Tidegate, eventually};

/// What becomes of a stream that is wrong.
enum Verdict {
    /// It is reset, or answered with one of these.
    Refused(&'static [u16]),
    /// It reaches the application as this line.
    Passed(&'static str),
}

type Fields = &'static [(&'static str, &'static str)];

const BAD: Verdict = Verdict::Refused(&[400]);
const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "http");
const HOST: (&str, &str) = (":authority", "app.test");
const PATH: (&str, &str) = (":path", "/first");
const GET: Verdict = Verdict::Passed("GET /first HTTP/1.1");

/// The pseudo-fields of a GET, and these.
macro_rules! get {
    ($($field:expr),* $(,)?) => { &[METHOD, SCHEME, HOST, PATH, $($field),*] };
}

/// A name, the header, and the verdict. The header is the whole message.
const HEADERS: &[(&str, Fields, Verdict)] = &[
    ("a request", get![("x", "y")], GET),
    ("te: trailers", get![("te", "trailers")], GET),
    ("a Host like the authority", get![("host", "app.test")], GET),
    ("two cookies", get![("cookie", "a=1"), ("cookie", "b=2")], GET),
    ("a name in capitals", get![("X-Name", "y")], BAD),
    ("a length in capitals", get![("Content-Length", "0")], BAD),
    ("connection", get![("connection", "close")], BAD),
    ("keep-alive", get![("keep-alive", "timeout=5")], BAD),
    ("proxy-connection", get![("proxy-connection", "keep-alive")], BAD),
    ("transfer-encoding", get![("transfer-encoding", "chunked")], BAD),
    ("upgrade", get![("upgrade", "websocket")], BAD),
    ("te: gzip", get![("te", "gzip")], BAD),
    ("te: trailers and gzip", get![("te", "trailers, gzip")], BAD),
    ("a Host unlike the authority", get![("host", "evil.test")], BAD),
    ("two Hosts", get![("host", "app.test"), ("host", "evil.test")], BAD),
    ("a carriage return and line feed", get![("x", "y\r\nz: 1")], BAD),
    ("a line feed", get![("x", "y\nz")], BAD),
    ("NUL", get![("x", "y\0z")], BAD),
    ("a control character", get![("x", "y\x01z")], BAD),
    ("DEL", get![("x", "y\x7fz")], BAD),
    ("a line feed in a name", get![("x\ny", "z")], BAD),
    ("a colon in a name", get![("x:y", "z")], BAD),
    ("a space in a name", get![("x y", "z")], BAD),
    ("a name of nothing", get![("", "z")], BAD),
    ("an unknown pseudo-field", get![(":x", "y")], BAD),
    ("a pseudo-field of answers", get![(":status", "200")], BAD),
    ("a length and no body", get![("content-length", "5")], BAD),
    ("two lengths", get![("content-length", "0"), ("content-length", "5")], BAD),
    ("a length that is no number", get![("content-length", "+0")], BAD),
    ("a pseudo-field behind a field", &[METHOD, SCHEME, HOST, ("x", "y"), PATH], BAD),
    ("two paths", &[METHOD, SCHEME, HOST, PATH, (":path", "/second")], BAD),
    ("two methods", &[METHOD, (":method", "POST"), SCHEME, HOST, PATH], BAD),
    ("two authorities", &[METHOD, SCHEME, HOST, (":authority", "evil.test"), PATH], BAD),
    ("no path", &[METHOD, SCHEME, HOST], BAD),
    ("no method", &[SCHEME, HOST, PATH], BAD),
    ("no scheme", &[METHOD, HOST, PATH], BAD),
    ("no authority", &[METHOD, SCHEME, PATH], BAD),
    ("a path of nothing", &[METHOD, SCHEME, HOST, (":path", "")], BAD),
    ("a path without a slash", &[METHOD, SCHEME, HOST, (":path", "first")], BAD),
    ("a URI for a path", &[METHOD, SCHEME, HOST, (":path", "http://evil.test/")], BAD),
    ("an asterisk for GET", &[METHOD, SCHEME, HOST, (":path", "*")], BAD),
    ("a space in the path", &[METHOD, SCHEME, HOST, (":path", "/first HTTP/1.1")], BAD),
    ("a request in the path", &[METHOD, SCHEME, HOST, (":path", "/ HTTP/1.1\r\nX: y\r\n\r\nGET /next")], BAD),
    ("a request in the method", &[(":method", "GET / HTTP/1.1\r\n\r\nGET"), SCHEME, HOST, PATH], BAD),
    ("a user in the authority", &[METHOD, SCHEME, (":authority", "user@app.test"), PATH], BAD),
    ("a line feed in the authority", &[METHOD, SCHEME, (":authority", "app.test\r\nX: y"), PATH], BAD),
    ("a path in the authority", &[METHOD, SCHEME, (":authority", "app.test/x"), PATH], BAD),
    ("TRACE", &[(":method", "TRACE"), SCHEME, HOST, PATH], Verdict::Refused(&[400, 405])),
    ("CONNECT", &[(":method", "CONNECT"), HOST], Verdict::Refused(&[400, 405])),
    (
        "extended CONNECT to an unknown protocol",
        &[(":method", "CONNECT"), (":protocol", "connect-udp"), SCHEME, HOST, PATH],
        Verdict::Refused(&[400, 405, 501]),
    ),
    ("a protocol for GET", get![(":protocol", "websocket")], BAD),
];

async fn started(recorder: &Recorder) -> Tidegate {
    let config = format!(
        "upstream: {}\nstore: {{ memory: {{}} }}\nrules: [{{ name: x, rate: 1000000/s }}]",
        recorder.url()
    );
    Tidegate::described(&config).await
}

/// What is not as the verdict says, if anything.
async fn judge(recorder: &Recorder, outcome: Outcome, verdict: &Verdict) -> Option<String> {
    let record = recorder.take();
    let lines: Vec<&str> = record.messages.iter().map(|message| &*message.line).collect();
    let holds = match verdict {
        Verdict::Refused(codes) => {
            record.bytes.is_empty()
                && match outcome {
                    Outcome::Status(status) => codes.contains(&status),
                    Outcome::Reset(_) | Outcome::GoAway(_) => true,
                    Outcome::Closed | Outcome::Open => false,
                }
        }
        Verdict::Passed(line) => outcome == Outcome::Status(200) && lines == [*line],
    };
    let faults = &record.faults;
    let told = || format!("{outcome:?}, and the application saw {lines:?}, read strictly {faults:?}");
    (!holds || !faults.is_empty()).then(told)
}

#[tokio::test]
async fn headers_of_http2() {
    let recorder = Recorder::start().await;
    let tidegate = started(&recorder).await;
    let mut faults = Vec::new();
    for (name, fields, verdict) in HEADERS {
        let mut frames = Frames::to(tidegate.address).await;
        frames.headers(1, fields, END_STREAM).await;
        let outcome = frames.outcome(1).await;
        faults.extend(judge(&recorder, outcome, verdict).await.map(|fault| format!("{name}: {fault}")));
        if matches!(outcome, Outcome::Status(_) | Outcome::Reset(_)) {
            // The fault of one stream is its own: the connection may be shared by many.
            frames.headers(3, get![], END_STREAM).await;
            let outcome = frames.outcome(3).await;
            faults
                .extend(judge(&recorder, outcome, &GET).await.map(|fault| format!("after {name}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// Its body does not have the length that it said: the stream is reset, and the application never sees the end.
#[tokio::test]
async fn a_body_of_http2_unlike_its_length_is_never_whole() {
    const POST: [(&str, &str); 3] = [(":method", "POST"), SCHEME, HOST];
    let recorder = Recorder::start().await;
    let tidegate = started(&recorder).await;
    for (length, body) in [("5", "hell"), ("5", "hello!"), ("0", "x")] {
        let mut frames = Frames::to(tidegate.address).await;
        let fields = [&POST[..], &[PATH, ("content-length", length)]].concat();
        frames.headers(1, &fields, 0).await;
        frames.send(DATA, END_STREAM, 1, body.as_bytes()).await;
        let outcome = frames.outcome(1).await;
        // A request of length 0 is complete before its DATA frame arrives: the response may come first.
        let complete = length == "0" && outcome == Outcome::Status(200);
        assert!(
            complete || matches!(outcome, Outcome::Status(400) | Outcome::Reset(_)),
            "{body:?} of length {length}: {outcome:?}"
        );
        let record = recorder.take();
        // A message that says 0 is whole whatever follows; nothing of what follows may have reached the application.
        assert!(
            record.messages.iter().all(|message| length == "0" && message.body.is_empty()),
            "{body:?} of length {length}: {record:?}"
        );
        assert!(record.faults.is_empty(), "{body:?} of length {length}: {:?}", record.faults);
    }
}

/// Trailers are fields of no more power than others.
#[tokio::test]
async fn trailers_of_http2_neither_frame_nor_route() {
    const POST: [(&str, &str); 4] = [(":method", "POST"), SCHEME, HOST, PATH];
    let recorder = Recorder::start().await;
    let tidegate = started(&recorder).await;
    for trailer in [
        (":path", "/second"),
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("content-length", "50"),
        ("host", "evil.test"),
        ("x", "y\r\nz: 1"),
        ("X", "y"),
    ] {
        let mut frames = Frames::to(tidegate.address).await;
        frames.headers(1, &POST, 0).await;
        frames.send(DATA, 0, 1, b"hello").await;
        frames.headers(1, &[trailer], END_STREAM).await;
        let outcome = frames.outcome(1).await;
        let known = matches!(outcome, Outcome::Status(200 | 400) | Outcome::Reset(_) | Outcome::GoAway(_));
        assert!(known, "{trailer:?}: {outcome:?}");
        let record = recorder.take();
        assert!(record.faults.is_empty(), "{trailer:?}: {:?}", record.faults);
        assert!(
            record.messages.iter().all(|message| message.line == "POST /first HTTP/1.1"),
            "{trailer:?}: {record:?}"
        );
    }
    // And the right one arrives, if it was announced: over HTTP/1.1 it must be (RFC 9110, section 6.6.2).
    let mut frames = Frames::to(tidegate.address).await;
    let announced = [&POST[..], &[("trailer", "x-checksum")]].concat();
    frames.headers(1, &announced, 0).await;
    frames.send(DATA, 0, 1, b"hello").await;
    frames.headers(1, &[("x-checksum", "abc")], END_STREAM).await;
    assert_eq!(frames.outcome(1).await, Outcome::Status(200));
    let seen = eventually("the trailer at the application", async || {
        let bytes = recorder.take().bytes;
        (!bytes.is_empty()).then(|| String::from_utf8(bytes).unwrap())
    });
    let seen = seen.await;
    assert!(seen.ends_with("0\r\nx-checksum: abc\r\n\r\n"), "{seen}");
}
