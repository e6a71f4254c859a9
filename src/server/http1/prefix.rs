//! Reads the beginning of a head that does not arrive at once. Refuses it at the first byte after which it cannot
//! become a head that [`judge`](super::head::judge) and `proxy::target` accept, so that tidegate does not wait for the
//! rest of an invalid message. Contradictions between two fields are left to them. Pure.

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
    state: State,
    /// The number of bytes that have been read. Each byte is read once, in whatever portions they arrive.
    seen: usize,
    empty_lines: usize,
    /// The index at which the current method, target or name begins.
    from: usize,
    fields: usize,
    /// The size of all complete names and values, as `judge` computes it.
    size: usize,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The beginning of the request line, before which some empty lines are ignored.
    #[default]
    Start,
    EmptyLf,
    Method,
    Target(Target),
    /// The version, with the number of its bytes that have matched.
    Version(usize),
    LineLf,
    /// The beginning of a field line or of the last line.
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

    /// Reads the new bytes of `head`, which begins with all bytes of the calls before. Returns where the head ends, if
    /// its end is there.
    ///
    /// # Errors
    /// When the head cannot become valid.
    pub(in crate::server) fn scan(
        &mut self,
        head: &[u8],
        bounds: &HeadBounds,
        policy: &PathPolicy,
    ) -> Result<Option<usize>, Malformed> {
        while let Some(byte) = head.get(self.seen) {
            self.state = self.step(*byte, head, bounds, policy)?;
            self.seen += 1;
            if self.state == State::End {
                return Ok(Some(self.seen));
            }
        }
        too_long(head, bounds)?;
        Ok(None)
    }

    /// Returns whether only empty lines have been read. The caller drops them: a client that sends no more than these
    /// is idle, not late. Their number is kept.
    pub(in crate::server) fn drop_empty_lines(&mut self) -> bool {
        let only_empty_lines = self.state == State::Start;
        if only_empty_lines {
            self.seen = 0;
        }
        only_empty_lines
    }

    fn step(
        &mut self,
        byte: u8,
        head: &[u8],
        bounds: &HeadBounds,
        policy: &PathPolicy,
    ) -> Result<State, Malformed> {
        match (self.state, byte) {
            (State::EmptyLf, b'\n') => {
                self.empty_lines += 1;
                Ok(State::Start)
            }
            (State::LineLf, b'\n') => Ok(State::Line),
            (State::LastLf, b'\n') => Ok(State::End),
            (State::EmptyLf | State::LineLf | State::LastLf, _) | (_, b'\n') => Err(Malformed::LineEnd),
            (State::Start | State::Method, _) => self.method(byte, head),
            (State::Target(_), b'\r') => Err(Malformed::RequestLine),
            (State::Target(target), b' ') => target.end(policy).map(|()| State::Version(0)),
            (State::Target(_), _) if self.seen - self.from == bounds.target_bytes => {
                Err(Malformed::LongTarget)
            }
            (State::Target(mut target), _) => {
                target.step(byte, head.get(..self.seen).unwrap_or_default(), policy)?;
                Ok(State::Target(target))
            }
            (State::Version(matched), _) => version(matched, byte),
            (State::Line | State::Name, _) => self.name(byte, head, bounds),
            (State::Value(value), b'\r') => {
                value.end()?;
                self.size += value.length();
                Ok(State::LineLf)
            }
            (State::Value(mut value), _) => {
                value.step(byte, head.get(..self.seen).unwrap_or_default())?;
                if self.size.saturating_add(value.length()) > bounds.header_bytes {
                    return Err(Malformed::LongHeader);
                }
                Ok(State::Value(value))
            }
            (State::End, _) => Ok(State::End),
        }
    }

    fn method(&mut self, byte: u8, head: &[u8]) -> Result<State, Malformed> {
        if self.state == State::Start {
            self.from = self.seen;
        }
        match byte {
            b'\r' if self.state == State::Start && self.empty_lines < EMPTY_LINES => Ok(State::EmptyLf),
            TLS_HANDSHAKE if self.state == State::Start => Err(Malformed::Tls),
            b' ' | b'\t' if self.state == State::Start => Err(Malformed::Fold),
            b' ' => {
                let target = match head.get(self.from..self.seen).unwrap_or_default() {
                    method if method == STAND_IN.as_bytes() => return Err(Malformed::RequestLine),
                    b"CONNECT" => return Err(Malformed::Method("CONNECT")),
                    b"TRACE" => return Err(Malformed::Method("TRACE")),
                    method => Target::of(method),
                };
                self.from = self.seen + 1;
                Ok(State::Target(target))
            }
            _ if !is_token(byte) => Err(Malformed::RequestLine),
            _ if self.seen - self.from == MAX_METHOD => Err(Malformed::LongMethod),
            _ => Ok(State::Method),
        }
    }

    fn name(&mut self, byte: u8, head: &[u8], bounds: &HeadBounds) -> Result<State, Malformed> {
        let first = self.state == State::Line;
        match byte {
            b'\r' if first => return Ok(State::LastLf),
            b' ' | b'\t' if first => return Err(Malformed::Fold),
            b':' if !first => {
                let name = head.get(self.from..self.seen).unwrap_or_default();
                self.size += name.len() + 4;
                return Ok(State::Value(Value::of(name)));
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
            Ok(State::Name)
        }
    }
}

/// Reads a byte of `HTTP/1.0` or `HTTP/1.1`, or of the end of the line.
fn version(matched: usize, byte: u8) -> Result<State, Malformed> {
    const MAJOR: usize = 5;
    const MINOR: usize = 7;
    match (matched, byte) {
        (MINOR, b'0' | b'1') => Ok(State::Version(MINOR + 1)),
        (0..MINOR, _) if VERSION.get(matched) == Some(&byte) => Ok(State::Version(matched + 1)),
        (MAJOR | MINOR, b'0'..=b'9') => Err(Malformed::Version),
        (0..=MINOR, _) => Err(Malformed::RequestLine),
        (_, b'\r') => Ok(State::LineLf),
        _ => Err(Malformed::RequestLine),
    }
}
