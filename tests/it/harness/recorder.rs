//! An application that keeps what reached it byte by byte, and reads it as strictly as anybody could.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Upstream;

/// One request of which there is only one reading.
#[derive(Clone, Debug)]
pub struct Message {
    pub line: String,
    pub host: String,
    pub body: Vec<u8>,
}

/// All that reached the application.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The requests that came whole.
    pub messages: Vec<Message>,
    /// Why something else is not one.
    pub faults: Vec<String>,
    /// Every byte, in the order of arrival.
    pub bytes: Vec<u8>,
}

/// The running application. It answers each request with 200 and `ok`.
pub struct Recorder {
    upstream: Upstream,
    record: Arc<Mutex<Record>>,
}

impl Recorder {
    pub async fn start() -> Self {
        let record: Arc<Mutex<Record>> = Arc::default();
        let kept = Arc::clone(&record);
        let upstream = Upstream::raw(move |stream| read(stream, Arc::clone(&kept))).await;
        Self { upstream, record }
    }

    pub fn url(&self) -> &str {
        self.upstream.url()
    }

    /// What has come since the last time.
    pub fn take(&self) -> Record {
        std::mem::take(&mut *self.record.lock().unwrap())
    }
}

async fn read(mut stream: TcpStream, record: Arc<Mutex<Record>>) {
    let (mut unread, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        record.lock().unwrap().bytes.extend(&buffer[..count]);
        unread.extend(&buffer[..count]);
        loop {
            match message(&unread) {
                Ok(Some((message, length))) => {
                    record.lock().unwrap().messages.push(message);
                    unread.drain(..length);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                }
                Ok(None) => break,
                Err(fault) => {
                    let text = String::from_utf8_lossy(&unread).chars().take(300).collect::<String>();
                    record.lock().unwrap().faults.push(format!("{fault}: {text:?}"));
                    return;
                }
            }
        }
    }
}

/// The first message of these bytes and its length; None if it is not all there.
fn message(bytes: &[u8]) -> Result<Option<(Message, usize)>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "a header that is no text".to_owned())?;
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    request_line(line)?;
    let fields = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let all = |wanted: &str| -> Vec<&str> {
        fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value).collect()
    };
    let [host] = all("host")[..] else { return Err(format!("{} hosts", all("host").len())) };
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b)) {
        return Err("a host that is none".to_owned());
    }
    let rest = &bytes[end + 4..];
    let framed = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
        ([], []) => Some((Vec::new(), 0)),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            let length = length.parse::<usize>().map_err(|_| "a length beyond measure")?;
            rest.get(..length).map(|body| (body.to_vec(), length))
        }
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => chunked(rest)?,
        (lengths, codings) => return Err(format!("lengths {lengths:?}, codings {codings:?}")),
    };
    Ok(framed.map(|(body, length)| {
        let message = Message { line: line.to_owned(), host: host.to_owned(), body };
        (message, end + 4 + length)
    }))
}

fn request_line(line: &str) -> Result<(), String> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { return Err("an odd request line".to_owned()) };
    if !is_token(method) || !target.starts_with(['/', '*']) || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("an odd method or target".to_owned());
    }
    Ok(())
}

fn field(line: &str) -> Result<(&str, &str), String> {
    let (name, value) = line.split_once(':').ok_or("a line without a colon")?;
    if !is_token(name) {
        return Err("an odd field name".to_owned());
    }
    if value.bytes().any(|b| b != b'\t' && b.is_ascii_control()) {
        return Err("a control character in a field".to_owned());
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// The body of these chunks and the length of all, or None if there is more to come.
fn chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, String> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let digits = &bytes[at..at + line];
        if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("an odd chunk size".to_owned());
        }
        let size = usize::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
        at += line + 2;
        if size == 0 {
            break;
        }
        let Some(chunk) = bytes.get(at..at + size + 2) else { return Ok(None) };
        body.extend(chunk.strip_suffix(b"\r\n").ok_or("a chunk that does not end")?);
        at += size + 2;
    }
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&bytes[at..at + line]).map_err(|_| "trailers that are no text")?;
        at += line + 2;
        if text.is_empty() {
            return Ok(Some((body, at)));
        }
        let (name, _) = field(text)?;
        if ["content-length", "transfer-encoding", "host"].contains(&&*name.to_ascii_lowercase()) {
            return Err(format!("{name} behind the body"));
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
