//! The beginning of a head that does not arrive at once. Refuses it at the first byte after which no head can follow that
//! [`judge`](super::head::judge) and `proxy::target` accept, so that no client is kept waiting for the rest of a message
//! that is invalid already. What two fields together say is left to them. Pure.

mod target;
#[cfg(test)]
mod tests;
mod value;

use super::STAND_IN;
use super::head::{EMPTY_LINES, HeadBounds, MAX_METHOD, TLS_HANDSHAKE, is_token, too_long};
use super::malformed::Malformed;
use crate::policy::path::PathPolicy;
use target::Target;
use value::Value;

const VERSION: &[u8; 7] = b"HTTP/1.";

/// How far a head has been read.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::server) struct Prefix {
    place: Place,
    /// The bytes that have been looked at: each is, once, in whatever portions they arrive.
    seen: usize,
    empty_lines: usize,
    /// Where the current method, target or name began.
    from: usize,
    fields: usize,
    /// The bytes of all complete names and values, counted as `judge` does.
    size: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the request line, where some empty lines are ignored.
    #[default]
    Start,
    EmptyLf,
    Method,
    Target(Target),
    /// The number of its bytes that have matched.
    Version(usize),
    LineLf,
    /// Where a field line or the last line begins.
    Line,
    Name,
    Value(Value),
    LastLf,
    End,
}

impl Prefix {
    /// Returns whether nothing has been read.
    pub(in crate::server) fn is_new(&self) -> bool {
        self.seen == 0 && self.empty_lines == 0
    }

    /// Reads on in `head`, which begins with all the bytes that were there before. Returns where the head ends, if it
    /// does.
    ///
    /// # Errors
    /// When no more bytes can make it valid.
    pub(in crate::server) fn scan(
        &mut self,
        head: &[u8],
        bounds: &HeadBounds,
        policy: &PathPolicy,
    ) -> Result<Option<usize>, Malformed> {
        while let Some(byte) = head.get(self.seen) {
            self.place = self.step(*byte, head, bounds, policy)?;
            self.seen += 1;
            if self.place == Place::End {
                return Ok(Some(self.seen));
            }
        }
        too_long(head, bounds)?;
        Ok(None)
    }

    /// Returns whether there were only empty lines, which are to be dropped: a client that sends no more than these is
    /// idle, not late. Their number is kept.
    pub(in crate::server) fn drop_empty_lines(&mut self) -> bool {
        let dropped = self.place == Place::Start;
        if dropped {
            self.seen = 0;
        }
        dropped
    }

    fn step(
        &mut self,
        byte: u8,
        head: &[u8],
        bounds: &HeadBounds,
        policy: &PathPolicy,
    ) -> Result<Place, Malformed> {
        match (self.place, byte) {
            (Place::EmptyLf, b'\n') => {
                self.empty_lines += 1;
                Ok(Place::Start)
            }
            (Place::LineLf, b'\n') => Ok(Place::Line),
            (Place::LastLf, b'\n') => Ok(Place::End),
            (Place::EmptyLf | Place::LineLf | Place::LastLf, _) | (_, b'\n') => Err(Malformed::LineEnd),
            (Place::Start | Place::Method, _) => self.method(byte, head),
            (Place::Target(_), b'\r') => Err(Malformed::RequestLine),
            (Place::Target(target), b' ') => target.end(policy).map(|()| Place::Version(0)),
            (Place::Target(_), _) if self.seen - self.from == bounds.target_bytes => {
                Err(Malformed::LongTarget)
            }
            (Place::Target(mut target), _) => {
                target.step(byte, head.get(..self.seen).unwrap_or_default(), policy)?;
                Ok(Place::Target(target))
            }
            (Place::Version(matched), _) => version(matched, byte),
            (Place::Line | Place::Name, _) => self.name(byte, head, bounds),
            (Place::Value(value), b'\r') => {
                value.end()?;
                self.size += value.length();
                Ok(Place::LineLf)
            }
            (Place::Value(mut value), _) => {
                value.step(byte, head.get(..self.seen).unwrap_or_default())?;
                if self.size.saturating_add(value.length()) > bounds.header_bytes {
                    return Err(Malformed::LongHeader);
                }
                Ok(Place::Value(value))
            }
            (Place::End, _) => Ok(Place::End),
        }
    }

    fn method(&mut self, byte: u8, head: &[u8]) -> Result<Place, Malformed> {
        if self.place == Place::Start {
            self.from = self.seen;
        }
        match byte {
            b'\r' if self.place == Place::Start && self.empty_lines < EMPTY_LINES => Ok(Place::EmptyLf),
            TLS_HANDSHAKE if self.place == Place::Start => Err(Malformed::Tls),
            b' ' | b'\t' if self.place == Place::Start => Err(Malformed::Fold),
            b' ' => {
                let target = match head.get(self.from..self.seen).unwrap_or_default() {
                    method if method == STAND_IN.as_bytes() => return Err(Malformed::RequestLine),
                    b"CONNECT" => return Err(Malformed::Method("CONNECT")),
                    b"TRACE" => return Err(Malformed::Method("TRACE")),
                    method => Target::of(method),
                };
                self.from = self.seen + 1;
                Ok(Place::Target(target))
            }
            _ if !is_token(byte) => Err(Malformed::RequestLine),
            _ if self.seen - self.from == MAX_METHOD => Err(Malformed::LongMethod),
            _ => Ok(Place::Method),
        }
    }

    fn name(&mut self, byte: u8, head: &[u8], bounds: &HeadBounds) -> Result<Place, Malformed> {
        let first = self.place == Place::Line;
        match byte {
            b'\r' if first => return Ok(Place::LastLf),
            b' ' | b'\t' if first => return Err(Malformed::Fold),
            b':' if !first => {
                let name = head.get(self.from..self.seen).unwrap_or_default();
                self.size += name.len() + 4;
                return Ok(Place::Value(Value::of(name)));
            }
            b'\r' => return Err(Malformed::NoColon),
            b' ' | b'\t' => return Err(Malformed::SpaceBeforeColon),
            _ if !is_token(byte) => return Err(Malformed::FieldName),
            _ => {}
        }
        if first {
            self.from = self.seen;
            self.fields += 1;
            if self.fields > bounds.header_fields {
                return Err(Malformed::ManyFields);
            }
        }
        let length = self.seen - self.from + 1;
        if self.size + length + 4 > bounds.header_bytes {
            Err(Malformed::LongHeader)
        } else {
            Ok(Place::Name)
        }
    }
}

/// `HTTP/1.0` or `HTTP/1.1`, and the end of the line.
fn version(matched: usize, byte: u8) -> Result<Place, Malformed> {
    const MAJOR: usize = 5;
    const MINOR: usize = 7;
    match (matched, byte) {
        (MINOR, b'0' | b'1') => Ok(Place::Version(MINOR + 1)),
        (0..MINOR, _) if VERSION.get(matched) == Some(&byte) => Ok(Place::Version(matched + 1)),
        (MAJOR | MINOR, b'0'..=b'9') => Err(Malformed::Version),
        (0..=MINOR, _) => Err(Malformed::RequestLine),
        (_, b'\r') => Ok(Place::LineLf),
        _ => Err(Malformed::RequestLine),
    }
}
