//! A client that writes bytes as the test spells them, and reads what comes back.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::DEADLINE;

/// One connection.
pub struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

/// An answer of HTTP/1.1.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Wire {
    pub async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// None if nobody listens there.
    pub async fn try_to(address: SocketAddr) -> Option<Self> {
        match TcpStream::connect(address).await {
            Ok(stream) => Some(Self::over(stream)),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => None,
            Err(error) => panic!("cannot connect: {error}"),
        }
    }

    pub fn over(stream: TcpStream) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Sends bytes. The peer may have closed already: its answer tells why.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ =
            timeout(DEADLINE, self.stream.write_all(bytes.as_ref())).await.expect("the peer takes no more");
    }

    /// A request of one line, with a Host and these header lines.
    pub async fn ask(&mut self, line: &str, headers: &[&str]) -> Reply {
        let mut lines = vec![format!("{line} HTTP/1.1"), "Host: app.test".to_owned()];
        lines.extend(headers.iter().map(|&line| line.to_owned()));
        self.send(lines.join("\r\n") + "\r\n\r\n").await;
        self.reply().await
    }

    /// The next answer, interim ones left out.
    pub async fn reply(&mut self) -> Reply {
        self.try_reply().await.expect("the connection ended without an answer, or in the middle of one")
    }

    /// None if the connection ends before all of the answer is there.
    pub async fn try_reply(&mut self) -> Option<Reply> {
        loop {
            let head = self.head().await?;
            let (line, headers) = head.split_once("\r\n").unwrap();
            let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status: u16 = status.unwrap_or_else(|| panic!("no status line: {line}"));
            if status >= 200 || status == 101 {
                return self.finish(status, parse_headers(headers)).await;
            }
        }
    }

    async fn finish(&mut self, status: u16, headers: HeaderMap) -> Option<Reply> {
        let length = headers.get("content-length").map(|value| value.to_str().unwrap().parse().unwrap());
        let body = match length {
            _ if headers.contains_key("transfer-encoding") => self.chunked().await?,
            _ if status == 101 || status == 204 || status == 304 => Vec::new(),
            Some(length) => self.exactly(length).await?,
            None => {
                self.fill(usize::MAX).await;
                std::mem::take(&mut self.unread)
            }
        };
        Some(Reply { status, headers, body })
    }

    async fn chunked(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n").await?;
            let length = usize::from_str_radix(line.split(';').next().unwrap().trim(), 16).unwrap();
            body.extend(self.exactly(length + 2).await?.into_iter().take(length));
            if length == 0 {
                return Some(body);
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        self.fill(length).await.then(|| self.unread.drain(..length).collect())
    }

    /// The head of the next message, or None at the end of the connection.
    pub async fn head(&mut self) -> Option<String> {
        self.until(b"\r\n\r\n").await
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
