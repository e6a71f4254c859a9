//! Reads the value of a field while it arrives. Checks the characters, the host, and the two fields that decide where
//! the message ends. Pure.

use crate::policy::host::Beginning;
use crate::server::http1::head::{MAX_LENGTH, is_token, is_value};
use crate::server::http1::malformed::Malformed;

const CHUNKED: &[u8; 7] = b"chunked";

/// How far a value has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value {
    kind: Kind,
    /// The length without the white space around the value.
    length: usize,
    /// The length of the white space since the last other byte.
    blanks: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    /// A decimal number, as far as it has been read.
    Length(Option<u64>),
    /// `chunked`, with the number of its bytes that have matched.
    Coding(usize),
    Host(Beginning),
}

impl Value {
    /// Creates the reader of the value of the field with this name.
    pub(super) fn of(name: &[u8]) -> Self {
        let kind = match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => Kind::Host(Beginning::default()),
            14 if name.eq_ignore_ascii_case(b"content-length") => Kind::Length(None),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => Kind::Coding(0),
            _ => Kind::Any,
        };
        Self { kind, length: 0, blanks: 0 }
    }

    /// Returns the length without the white space around the value.
    pub(super) fn length(self) -> usize {
        self.length
    }

    /// Reads the next byte. `before` ends with all bytes that have been read.
    pub(super) fn step(&mut self, byte: u8, before: &[u8]) -> Result<(), Malformed> {
        if matches!(byte, b' ' | b'\t') {
            self.blanks += 1;
            // Nothing but white space may follow, so the value must be complete.
            return match self.kind {
                Kind::Coding(matched) if (1..CHUNKED.len()).contains(&matched) => {
                    Err(Malformed::UnknownCoding)
                }
                Kind::Host(host) if self.length > 0 && !host.may_end() => Err(Malformed::Host),
                _ => Ok(()),
            };
        }
        if !is_value(byte) {
            return Err(Malformed::FieldValue);
        }
        let second_word = self.length > 0 && self.blanks > 0;
        self.length += 1 + if second_word { self.blanks } else { 0 };
        self.blanks = 0;
        match &mut self.kind {
            Kind::Any => {}
            Kind::Host(_) if second_word => return Err(Malformed::Host),
            Kind::Host(host) => *host = host.step(byte, before).ok_or(Malformed::Host)?,
            Kind::Length(number) => {
                let longer = if second_word { None } else { append(*number, byte) };
                *number = Some(longer.ok_or(Malformed::Length)?);
            }
            Kind::Coding(matched) => {
                if second_word || CHUNKED.get(*matched) != Some(&byte.to_ascii_lowercase()) {
                    return Err(coding_fault(*matched, byte, second_word));
                }
                *matched += 1;
            }
        }
        Ok(())
    }

    /// Ends the value.
    pub(super) fn end(self) -> Result<(), Malformed> {
        match self.kind {
            Kind::Length(None) => Err(Malformed::Length),
            Kind::Host(host) if !host.may_end() => Err(Malformed::Host),
            Kind::Coding(0) => Err(Malformed::Coding),
            Kind::Coding(matched) if matched < CHUNKED.len() => Err(Malformed::UnknownCoding),
            _ => Ok(()),
        }
    }
}

/// Returns what is wrong with the byte after `matched` bytes of `chunked`. A coding that is well-formed so far is
/// unknown.
fn coding_fault(matched: usize, byte: u8, second_word: bool) -> Malformed {
    let another = is_token(byte) || ((1..CHUNKED.len()).contains(&matched) && matches!(byte, b',' | b';'));
    if another && !second_word { Malformed::UnknownCoding } else { Malformed::Coding }
}

/// Returns the number with one more digit. Leading zeros are refused.
fn append(number: Option<u64>, byte: u8) -> Option<u64> {
    let digit = u64::from(char::from(byte).to_digit(10)?);
    let longer = match number {
        None => digit,
        Some(0) => return None,
        Some(number) => number.checked_mul(10)?.checked_add(digit)?,
    };
    Some(longer).filter(|length| *length <= MAX_LENGTH)
}
