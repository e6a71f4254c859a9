//! A client that writes bytes as the test spells them, and reads what comes back.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::DEADLINE;
use super::stream::{AnyStream, Stream};

/// One connection.
pub struct Wire {
    stream: AnyStream,
    unread: Vec<u8>,
}

/// An answer of HTTP/1.1.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// What came behind a chunked body.
    pub trailers: HeaderMap,
}

impl Wire {
    pub async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// None if nobody listens there, or nobody does by the time that the connection is made.
    pub async fn try_to(address: SocketAddr) -> Option<Self> {
        match TcpStream::connect(address).await {
            Ok(stream) => Some(Self::over(stream)),
            Err(error)
                if [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset].contains(&error.kind()) =>
            {
                None
            }
            Err(error) => panic!("cannot connect: {error}"),
        }
    }

    pub fn over(stream: impl Stream) -> Self {
        Self { stream: Box::new(stream), unread: Vec::new() }
    }

    /// Sends bytes. The peer may have closed already: its answer tells why.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ =
            timeout(DEADLINE, self.stream.write_all(bytes.as_ref())).await.expect("the peer takes no more");
    }

    /// The same where it matters that the peer may have closed.
    pub async fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        timeout(DEADLINE, self.stream.write_all(bytes)).await.expect("the peer takes no more")
    }

    /// Whether the peer closes or answers within some milliseconds.
    pub async fn closes_within_a_moment(&mut self) -> bool {
        timeout(MOMENT, self.fill(self.unread.len() + 1)).await.is_ok()
    }

    /// Ends what is sent; answers still come.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// A request of one line, with a Host and these header lines.
    pub async fn ask(&mut self, line: &str, headers: &[&str]) -> Reply {
        let mut lines = vec![format!("{line} HTTP/1.1"), "Host: app.test".to_owned()];
        lines.extend(headers.iter().map(|&line| line.to_owned()));
        self.send(lines.join("\r\n") + "\r\n\r\n").await;
        let reply = if line.starts_with("HEAD ") { self.bodiless().await } else { self.try_reply().await };
        reply.expect(LOST)
    }

    /// The next answer, interim ones left out.
    pub async fn reply(&mut self) -> Reply {
        self.try_reply().await.expect(LOST)
    }

    /// None if the connection ends before all of the answer is there.
    pub async fn try_reply(&mut self) -> Option<Reply> {
        let Reply { status, headers, .. } = self.bodiless().await?;
        let mut trailers = HeaderMap::new();
        let length = headers.get("content-length").map(|value| value.to_str().unwrap().parse().unwrap());
        let body = match length {
            _ if headers.contains_key("transfer-encoding") => {
                let body = self.chunked().await?;
                trailers = self.trailers().await?;
                body
            }
            _ if status == 101 || status == 204 || status == 304 => Vec::new(),
            Some(length) => self.exactly(length).await?,
            None => {
                self.fill(usize::MAX).await;
                std::mem::take(&mut self.unread)
            }
        };
        Some(Reply { status, headers, body, trailers })
    }

    /// The next answer, interim ones left out, of which no body follows.
    async fn bodiless(&mut self) -> Option<Reply> {
        loop {
            let head = self.head().await?;
            let (line, headers) = head.split_once("\r\n").unwrap();
            let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status: u16 = status.unwrap_or_else(|| panic!("no status line: {line}"));
            if status >= 200 || status == 101 {
                let (headers, trailers) = (parse_headers(headers), HeaderMap::new());
                return Some(Reply { status, headers, body: Vec::new(), trailers });
            }
        }
    }

    async fn chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend(chunk);
        }
        Some(body)
    }

    /// The next chunk of a chunked body, `Some(None)` behind the last, or None if the connection ends before it.
    pub async fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        let line = self.until(b"\r\n").await?;
        let length = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
        if length == 0 {
            return Some(None);
        }
        let mut chunk = self.exactly(length + 2).await?;
        chunk.truncate(length);
        Some(Some(chunk))
    }

    async fn trailers(&mut self) -> Option<HeaderMap> {
        let mut lines = String::new();
        loop {
            match self.until(b"\r\n").await?.as_str() {
                "\r\n" => return Some(parse_headers(&lines)),
                line => lines += line,
            }
        }
    }

    /// So many bytes, or None if the connection ends before.
    pub async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        self.fill(length).await.then(|| self.unread.drain(..length).collect())
    }

    /// The head of the next message, or None at the end of the connection.
    pub async fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").await
    }

    /// How many bytes are here by now that nobody has asked for.
    pub async fn surplus(&mut self) -> usize {
        let _ = timeout(Duration::ZERO, self.fill(self.unread.len() + 1)).await;
        self.unread.len()
    }

    /// Whether the peer has closed the connection, with nothing more to say.
    pub async fn is_closed(&mut self) -> bool {
        !self.fill(1).await
    }

    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                let found: Vec<u8> = self.unread.drain(..at + end.len()).collect();
                return Some(String::from_utf8_lossy(&found).into_owned());
            }
            if !self.fill(self.unread.len() + 1).await {
                return None;
            }
        }
    }

    /// Reads until so many bytes are there; false if the connection ends before.
    async fn fill(&mut self, length: usize) -> bool {
        while self.unread.len() < length {
            let mut buffer = [0; 16 * 1024];
            let read = timeout(DEADLINE, self.stream.read(&mut buffer)).await.expect("the peer is silent");
            match read {
                Ok(1..) => self.unread.extend(&buffer[..read.unwrap()]),
                // A reset is an end too.
                _ => return false,
            }
        }
        true
    }
}

const MOMENT: Duration = Duration::from_millis(50);
const LOST: &str = "the connection ended without an answer, or in the middle of one";

fn parse_headers(lines: &str) -> HeaderMap {
    let pairs = lines.split("\r\n").filter_map(|line| line.split_once(':'));
    let parse = |(name, value): (&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value.trim()).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.map(parse) {
        headers.append(name, value);
    }
    headers
}
