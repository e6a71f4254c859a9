//! Where a body in chunks ends, and whether hyper and every other reader agree about it: RFC 9112, section 7.1,
//! to the letter. Pure: whatever is accepted here, hyper's decoder reads to the same end.

#[cfg(test)]
mod tests;

use super::head::{is_token, is_value};
use super::malformed::Malformed;
use crate::trailers;

/// Enough for every number of 64 bits.
const MAX_DIGITS: u8 = 16;
/// No client has more to send, and many readers count with a sign.
const MAX_SIZE: u64 = i64::MAX.unsigned_abs();
/// Of a whole body: extensions are dropped, so they are work for nothing. hyper allows 16 KiB.
const EXTENSION_BYTES: usize = 8 * 1024;
/// Of the whole section behind the last chunk. hyper allows 16 KiB.
const TRAILER_BYTES: usize = 8 * 1024;
const TRAILER_FIELDS: usize = 32;

/// How many bytes belong to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Scanned {
    /// All of them, and there are more to come.
    All,
    /// So many, and the body is over.
    End(usize),
}

/// How far a body has been read.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Chunks {
    place: Place,
    /// The size of the chunk, as far as it is known; then what is left of it.
    left: u64,
    extension_bytes: usize,
    trailer_bytes: usize,
    trailer_fields: usize,
    /// The bytes of a trailer field's name that decide, in lower case, and the length of all of it.
    name: [u8; trailers::DECISIVE],
    name_length: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Size {
        digits: u8,
    },
    /// White space behind the size and before the semicolon: bad, but to be accepted (RFC 9112, section 7.1.1).
    Blank,
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// Where a trailer field or the last line begins.
    Line,
    Name,
    Value,
    ValueLf,
    LastLf,
    End,
}

/// What of a chunk's extension comes next: RFC 9112, section 7.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// Behind the semicolon.
    Start,
    Name,
    /// White space behind the name.
    NameBlank,
    /// Behind the equals sign.
    Equals,
    Token,
    Quoted,
    /// Behind a backslash.
    Escaped,
    /// Behind the closing quote.
    Unquoted,
    /// White space behind the value.
    ValueBlank,
}

impl Extension {
    /// None: no extension goes on with this byte.
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

impl Default for Place {
    fn default() -> Self {
        Self::Size { digits: 0 }
    }
}

impl Chunks {
    /// Reads on.
    ///
    /// # Errors
    /// When `bytes` hold what is not a body in chunks. Where it stopped is not known then.
    pub(in crate::server) fn scan(&mut self, bytes: &[u8]) -> Result<Scanned, Malformed> {
        let mut rest = bytes;
        while self.place != Place::End {
            if self.place == Place::Data {
                rest = self.data(rest);
            }
            let Some((byte, after)) = rest.split_first() else { return Ok(Scanned::All) };
            self.place = self.step(*byte)?;
            rest = after;
        }
        Ok(Scanned::End(bytes.len() - rest.len()))
    }

    /// What comes after the chunk's data.
    fn data<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let take = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left = self.left.saturating_sub(take as u64);
        if self.left == 0 {
            self.place = Place::DataCr;
        }
        bytes.get(take..).unwrap_or_default()
    }

    fn step(&mut self, byte: u8) -> Result<Place, Malformed> {
        match self.place {
            Place::Size { digits } => self.size(byte, digits),
            Place::Blank => match byte {
                b' ' | b'\t' => self.extension(Place::Blank),
                b';' => self.extension(Place::Extension(Extension::Start)),
                _ => Err(Malformed::ChunkSize),
            },
            Place::Extension(extension) if byte == b'\r' && extension.may_end() => Ok(Place::SizeLf),
            Place::Extension(extension) => {
                let extension = extension.with(byte).ok_or(Malformed::ChunkExtension)?;
                self.extension(Place::Extension(extension))
            }
            Place::SizeLf => match (byte, self.left) {
                (b'\n', 0) => Ok(Place::Line),
                (b'\n', _) => Ok(Place::Data),
                _ => Err(Malformed::ChunkSize),
            },
            Place::Data | Place::DataCr if byte == b'\r' => Ok(Place::DataLf),
            Place::DataLf if byte == b'\n' => Ok(Place::default()),
            Place::Data | Place::DataCr | Place::DataLf => Err(Malformed::ChunkEnd),
            Place::End => Ok(Place::End),
            Place::Line | Place::Name | Place::Value | Place::ValueLf | Place::LastLf => self.trailer(byte),
        }
    }

    /// No sign, no `0x`, no white space before or between: all of these have been read in two ways by somebody.
    fn size(&mut self, byte: u8, digits: u8) -> Result<Place, Malformed> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            let larger = self.left.checked_mul(16).map(|size| size | u64::from(digit));
            let larger = larger.filter(|size| digits < MAX_DIGITS && *size <= MAX_SIZE);
            self.left = larger.ok_or(Malformed::ChunkSize)?;
            return Ok(Place::Size { digits: digits + 1 });
        }
        match byte {
            _ if digits == 0 => Err(Malformed::ChunkSize),
            b'\r' => Ok(Place::SizeLf),
            b';' => self.extension(Place::Extension(Extension::Start)),
            b' ' | b'\t' => self.extension(Place::Blank),
            _ => Err(Malformed::ChunkSize),
        }
    }

    fn extension(&mut self, next: Place) -> Result<Place, Malformed> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES { Err(Malformed::LongExtensions) } else { Ok(next) }
    }

    fn trailer(&mut self, byte: u8) -> Result<Place, Malformed> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES {
            return Err(Malformed::LongTrailers);
        }
        match (self.place, byte) {
            (Place::Line, b'\r') => Ok(Place::LastLf),
            (Place::LastLf, b'\n') => Ok(Place::End),
            (Place::Line, _) if is_token(byte) => {
                self.trailer_fields += 1;
                self.name_length = 0;
                self.note(byte);
                if self.trailer_fields > TRAILER_FIELDS {
                    Err(Malformed::LongTrailers)
                } else {
                    Ok(Place::Name)
                }
            }
            (Place::Name, b':') if self.forbidden() => Err(Malformed::TrailerField),
            (Place::Name, b':') => Ok(Place::Value),
            (Place::Name, _) if is_token(byte) => {
                self.note(byte);
                Ok(Place::Name)
            }
            (Place::Value, b'\r') => Ok(Place::ValueLf),
            (Place::Value, _) if is_value(byte) => Ok(Place::Value),
            (Place::ValueLf, b'\n') => Ok(Place::Line),
            _ => Err(Malformed::Trailer),
        }
    }

    fn note(&mut self, byte: u8) {
        if let Some(place) = self.name.get_mut(self.name_length) {
            *place = byte.to_ascii_lowercase();
        }
        self.name_length += 1;
    }

    fn forbidden(&self) -> bool {
        let length = self.name_length.min(trailers::DECISIVE);
        self.name.get(..length).is_some_and(trailers::is_forbidden)
    }
}
