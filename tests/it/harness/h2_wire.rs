//! An HTTP/2 client that writes frames as the test spells them, the wrong ones too.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::DEADLINE;
use super::stream::AnyStream;

const MOMENT: Duration = Duration::from_millis(500);

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
/// A type that is not defined.
pub const UNKNOWN: u8 = 0x42;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// SETTINGS_HEADER_TABLE_SIZE: 0 spares us a table.
const NO_TABLE: (u16, u32) = (1, 0);
/// SETTINGS_INITIAL_WINDOW_SIZE.
pub const WINDOW: u16 = 4;

/// One connection.
pub struct Frames {
    read: ReadHalf<AnyStream>,
    write: WriteHalf<AnyStream>,
    unread: Vec<u8>,
}

/// A frame that came.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// What becomes of a stream, or of the connection with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer.
    Status(u16),
    /// The stream was reset, with this code.
    Reset(u32),
    /// GOAWAY with this code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
    /// The connection is as it was, and answers pings.
    Open,
}

impl Outcome {
    /// Whether the connection ends for a reason.
    pub fn ends_connection(self) -> bool {
        matches!(self, Self::Closed | Self::GoAway(1..))
    }
}

impl Frames {
    pub async fn to(address: SocketAddr) -> Self {
        Self::with(address, &[]).await
    }

    /// One with these settings.
    pub async fn with(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream: AnyStream = Box::new(TcpStream::connect(address).await.unwrap());
        let (read, write) = tokio::io::split(stream);
        let mut frames = Self { read, write, unread: Vec::new() };
        let mut payload = Vec::new();
        for (name, value) in [NO_TABLE].iter().chain(settings) {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        frames.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.send(SETTINGS, 0, 0, &payload).await;
        frames
    }

    /// Sends a frame. The peer may have closed already: the outcome tells why.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload)).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        let _ = timeout(DEADLINE, self.write.write_all(bytes)).await.expect("the peer takes no more");
    }

    /// The header of a request.
    pub async fn headers(&mut self, stream: u32, fields: &[(&str, &str)], flags: u8) {
        self.send(HEADERS, END_HEADERS | flags, stream, &block(fields)).await;
    }

    /// What becomes of this stream. Settings and pings are acknowledged meanwhile, all else is passed over.
    pub async fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some(frame) = next(&mut self.read, &mut self.unread).await else { return Outcome::Closed };
            match frame.kind {
                HEADERS if frame.stream == stream => return Outcome::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Outcome::Reset(number(&frame.payload, 0)),
                // One without an error says only that there will be no more streams.
                GOAWAY if number(&frame.payload, 4) != 0 => {
                    return Outcome::GoAway(number(&frame.payload, 4));
                }
                SETTINGS if frame.flags & ACK == 0 => self.send(SETTINGS, ACK, 0, &[]).await,
                PING if frame.flags & ACK == 0 => self.send(PING, ACK, 0, &frame.payload).await,
                _ => {}
            }
        }
    }

    /// How much of the stream's body has come, as soon as this stream or the connection ends.
    pub async fn body_until_reset(&mut self, stream: u32) -> (usize, Outcome) {
        let mut length = 0;
        loop {
            let Some(frame) = next(&mut self.read, &mut self.unread).await else {
                return (length, Outcome::Closed);
            };
            match frame.kind {
                DATA if frame.stream == stream => length += frame.payload.len(),
                RST_STREAM if frame.stream == stream => {
                    return (length, Outcome::Reset(number(&frame.payload, 0)));
                }
                GOAWAY => return (length, Outcome::GoAway(number(&frame.payload, 4))),
                _ => {}
            }
        }
    }

    /// Waits for a part of the stream's body, sends a ping, and waits until it is acknowledged.
    pub async fn ping_on_data(&mut self, stream: u32) -> Outcome {
        loop {
            let Some(frame) = next(&mut self.read, &mut self.unread).await else { return Outcome::Closed };
            match frame.kind {
                DATA if frame.stream == stream => self.send(PING, 0, 0, b"how fast").await,
                PING if frame.flags & ACK != 0 => return Outcome::Open,
                GOAWAY => return Outcome::GoAway(number(&frame.payload, 4)),
                _ => {}
            }
        }
    }

    /// Sends these bytes so often, or until the peer takes no more of them for a moment. Nothing is read.
    pub async fn push(&mut self, bytes: &[u8], times: usize) {
        for _ in 0..times {
            let pushed = timeout(MOMENT, self.write.write_all(bytes)).await;
            if !matches!(pushed, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Sends these bytes again and again, and says how the connection took it.
    pub async fn flood(&mut self, count: u32, bytes: impl Fn(u32) -> Vec<u8>) -> Outcome {
        const MARK: &[u8; 8] = b"the end.";
        let Self { read, write, unread } = self;
        let writing = async {
            for number in 0..count {
                if write.write_all(&bytes(number)).await.is_err() {
                    break;
                }
            }
            let _ = write.write_all(&frame(PING, 0, 0, MARK)).await;
            std::future::pending::<()>().await;
        };
        let reading = async {
            loop {
                match next(read, unread).await {
                    None => return Outcome::Closed,
                    Some(frame) if frame.kind == GOAWAY => return Outcome::GoAway(number(&frame.payload, 4)),
                    Some(frame) if frame.kind == PING && frame.payload == MARK => return Outcome::Open,
                    Some(_) => {}
                }
            }
        };
        tokio::select! {
            outcome = reading => outcome,
            () = writing => unreachable!("it waits for ever"),
        }
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as HPACK has them that neither compresses nor remembers.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            let mut rest = text.len();
            if rest < 127 {
                block.push(u8::try_from(rest).unwrap());
            } else {
                block.push(127);
                rest -= 127;
                while rest >= 128 {
                    block.push(u8::try_from(rest % 128 + 128).unwrap());
                    rest /= 128;
                }
                block.push(u8::try_from(rest).unwrap());
            }
            block.extend(text.as_bytes());
        }
    }
    block
}

async fn next(read: &mut ReadHalf<AnyStream>, unread: &mut Vec<u8>) -> Option<Frame> {
    loop {
        if let Some(head) = unread.first_chunk::<9>() {
            let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
            let (kind, flags, stream) = (head[3], head[4], number(head, 5) & 0x7fff_ffff);
            if unread.len() >= 9 + length {
                let payload = unread.drain(..9 + length).skip(9).collect();
                return Some(Frame { kind, flags, stream, payload });
            }
        }
        let mut buffer = [0; 16 * 1024];
        match timeout(DEADLINE, read.read(&mut buffer)).await.expect("the peer is silent") {
            Ok(count @ 1..) => unread.extend(&buffer[..count]),
            // A reset is an end too.
            _ => return None,
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The status that a block of fields begins with: indexed, or a literal of digits.
fn status(block: &[u8]) -> u16 {
    // The answer to a table of no size comes first.
    let block = if block[0] & 0xe0 == 0x20 { &block[1..] } else { block };
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    if let Some(found) = block[0].checked_sub(0x88).and_then(|at| INDEXED.get(usize::from(at))) {
        return *found;
    }
    let (coded, length) = (block[1] & 0x80 != 0, usize::from(block[1] & 0x7f));
    let value = &block[2..2 + length];
    if !coded {
        return std::str::from_utf8(value).unwrap().parse().unwrap();
    }
    let bits = value.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (32 - 8 * length);
    let mut at = 0;
    (0..3).fold(0, |number, _| {
        // Huffman's code of digits: 0, 1 and 2 take five bits, the others six (RFC 7541, appendix B).
        let five = u16::try_from(bits << at >> 27).unwrap();
        let (digit, width) =
            if five < 3 { (five, 5) } else { (u16::try_from(bits << at >> 26).unwrap() - 0b01_1001 + 3, 6) };
        at += width;
        number * 10 + digit
    })
}
