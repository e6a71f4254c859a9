//! Finds where a chunked body ends. It reads RFC 9112, section 7.1, to the letter, so that hyper and all other readers
//! agree: hyper's decoder reads each body that is accepted here to the same end. Pure.

#[cfg(test)]
mod tests;

use super::head::{is_token, is_value};
use super::malformed::Malformed;
use crate::trailers;

/// The maximum number of digits of a chunk's size: enough for each number of 64 bits.
const MAX_DIGITS: u8 = 16;
/// The maximum size of a chunk. No client has more to send, and many readers use signed numbers.
const MAX_SIZE: u64 = i64::MAX.unsigned_abs();
/// The maximum of all extensions in a body, which are dropped. hyper allows 16 KiB.
const EXTENSION_BYTES: usize = 8 * 1024;
/// The maximum of the whole trailer section. hyper allows 16 KiB.
const TRAILER_BYTES: usize = 8 * 1024;
const TRAILER_FIELDS: usize = 32;

/// How many of the bytes belong to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Scanned {
    /// All of them. The body goes on.
    All,
    /// This number of bytes: the body has ended.
    End(usize),
}

/// How far a body has been read.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Chunks {
    state: State,
    /// The size of the chunk, as far as its digits have been read; then how much of the chunk is left.
    left: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
    /// The decisive bytes of a trailer field's name, in lower case, and the length of the whole name.
    name: [u8; trailers::DECISIVE],
    name_length: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size {
        digits: u8,
    },
    /// White space after the size and before the semicolon, which must be accepted (RFC 9112, section 7.1.1).
    Blank,
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The beginning of a trailer field or of the last line.
    Line,
    Name,
    Value,
    ValueLf,
    LastLf,
    End,
}

/// The part of a chunk's extension that the next byte belongs to (RFC 9112, section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// After the semicolon.
    Start,
    Name,
    /// White space after the name.
    NameBlank,
    /// After the equals sign.
    Equals,
    Token,
    Quoted,
    /// After a backslash.
    Escaped,
    /// After the closing quote.
    Unquoted,
    /// White space after the value.
    ValueBlank,
}

impl Extension {
    /// Returns the part after this byte, or `None` if the byte is not valid here.
    fn with(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Quoted, b'"') => Some(Self::Unquoted),
            (Self::Quoted, b'\\') => Some(Self::Escaped),
            (Self::Quoted | Self::Escaped, _) => is_value(byte).then_some(Self::Quoted),
            (Self::Start | Self::Equals | Self::NameBlank | Self::ValueBlank, b' ' | b'\t') => Some(self),
            (Self::Name, b' ' | b'\t') => Some(Self::NameBlank),
            (Self::Token | Self::Unquoted, b' ' | b'\t') => Some(Self::ValueBlank),
            (Self::Name | Self::NameBlank, b'=') => Some(Self::Equals),
            (Self::Equals, b'"') => Some(Self::Quoted),
            (Self::Start | Self::Equals, b';') => None,
            (_, b';') => Some(Self::Start),
            (Self::Start | Self::Name, _) if is_token(byte) => Some(Self::Name),
            (Self::Equals | Self::Token, _) if is_token(byte) => Some(Self::Token),
            _ => None,
        }
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::Unquoted)
    }
}

impl Default for State {
    fn default() -> Self {
        Self::Size { digits: 0 }
    }
}

impl Chunks {
    /// Reads the next bytes.
    ///
    /// # Errors
    /// When `bytes` cannot belong to a valid chunked body. Nothing more can be read then.
    pub(in crate::server) fn scan(&mut self, bytes: &[u8]) -> Result<Scanned, Malformed> {
        let mut rest = bytes;
        while self.state != State::End {
            if self.state == State::Data {
                rest = self.data(rest);
            }
            let Some((byte, after)) = rest.split_first() else { return Ok(Scanned::All) };
            self.state = self.step(*byte)?;
            rest = after;
        }
        Ok(Scanned::End(bytes.len() - rest.len()))
    }

    /// Skips the chunk's data, and returns the bytes after it.
    fn data<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left = self.left.saturating_sub(take as u64);
        if self.left == 0 {
            self.state = State::DataCr;
        }
        bytes.get(take..).unwrap_or_default()
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        match self.state {
            State::Size { digits } => self.size(byte, digits),
            State::Blank => match byte {
                b' ' | b'\t' => self.extension(State::Blank),
                b';' => self.extension(State::Extension(Extension::Start)),
                _ => Err(Malformed::ChunkSize),
            },
            State::Extension(extension) if byte == b'\r' && extension.may_end() => Ok(State::SizeLf),
            State::Extension(extension) => {
                let extension = extension.with(byte).ok_or(Malformed::ChunkExtension)?;
                self.extension(State::Extension(extension))
            }
            State::SizeLf => match (byte, self.left) {
                (b'\n', 0) => Ok(State::Line),
                (b'\n', _) => Ok(State::Data),
                _ => Err(Malformed::ChunkSize),
            },
            State::Data | State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::default()),
            State::Data | State::DataCr | State::DataLf => Err(Malformed::ChunkEnd),
            State::End => Ok(State::End),
            State::Line | State::Name | State::Value | State::ValueLf | State::LastLf => self.trailer(byte),
        }
    }

    /// Reads a byte of a chunk's size. A sign, `0x`, and white space before or between digits are refused: readers have
    /// differed about each of them.
    fn size(&mut self, byte: u8, digits: u8) -> Result<State, Malformed> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            let larger = self.left.checked_mul(16).map(|size| size | u64::from(digit));
            let larger = larger.filter(|size| digits < MAX_DIGITS && *size <= MAX_SIZE);
            self.left = larger.ok_or(Malformed::ChunkSize)?;
            return Ok(State::Size { digits: digits + 1 });
        }
        match byte {
            _ if digits == 0 => Err(Malformed::ChunkSize),
            b'\r' => Ok(State::SizeLf),
            b';' => self.extension(State::Extension(Extension::Start)),
            b' ' | b'\t' => self.extension(State::Blank),
            _ => Err(Malformed::ChunkSize),
        }
    }

    fn extension(&mut self, next: State) -> Result<State, Malformed> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES { Err(Malformed::LongExtensions) } else { Ok(next) }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Malformed> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES {
            return Err(Malformed::LongTrailers);
        }
        match (self.state, byte) {
            (State::Line, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::End),
            (State::Line, _) if is_token(byte) => {
                self.trailer_fields += 1;
                self.name_length = 0;
                self.note(byte);
                if self.trailer_fields > TRAILER_FIELDS {
                    Err(Malformed::LongTrailers)
                } else {
                    Ok(State::Name)
                }
            }
            (State::Name, b':') if self.forbidden() => Err(Malformed::TrailerField),
            (State::Name, b':') => Ok(State::Value),
            (State::Name, _) if is_token(byte) => {
                self.note(byte);
                Ok(State::Name)
            }
            (State::Value, b'\r') => Ok(State::ValueLf),
            (State::Value, _) if is_value(byte) => Ok(State::Value),
            (State::ValueLf, b'\n') => Ok(State::Line),
            _ => Err(Malformed::Trailer),
        }
    }

    fn note(&mut self, byte: u8) {
        if let Some(slot) = self.name.get_mut(self.name_length) {
            *slot = byte.to_ascii_lowercase();
        }
        self.name_length += 1;
    }

    fn forbidden(&self) -> bool {
        let length = self.name_length.min(trailers::DECISIVE);
        self.name.get(..length).is_some_and(trailers::is_forbidden)
    }
}
