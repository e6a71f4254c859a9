//! Reads the target of a request while it arrives. It accepts the same targets as hyper's parser and `proxy::target`
//! together. Pure.

use crate::policy::path::PathPolicy;
use crate::policy::{host, path};
use crate::server::http1::malformed::Malformed;

/// How far a target has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    form: Form,
    /// The bytes of a character beyond ASCII that have been read, and their number.
    character: [u8; 4],
    bytes: usize,
}

/// The forms of a target (RFC 9112, section 3.2) without that of CONNECT, which is not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nothing has been read. The asterisk is for OPTIONS only.
    Empty {
        asterisk: bool,
    },
    Asterisk,
    Path(path::Beginning),
    Query,
    Scheme(Scheme),
    Host(host::Beginning),
}

/// How far a scheme, and what separates it from the host, has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// This many bytes of its name.
    Name(usize),
    Colon,
    /// The first slash.
    Slash,
}

impl Default for Form {
    fn default() -> Self {
        Self::Empty { asterisk: false }
    }
}

/// The maximum length of a scheme in the `http` crate.
const MAX_SCHEME: usize = 64;

impl Target {
    /// Creates the reader of the target of a request with this method.
    pub(super) fn of(method: &[u8]) -> Self {
        Self { form: Form::Empty { asterisk: method == b"OPTIONS" }, ..Self::default() }
    }

    /// Ends the target.
    pub(super) fn end(&self, policy: &PathPolicy) -> Result<(), Malformed> {
        match self.form {
            _ if self.bytes > 0 => Err(Malformed::Target),
            Form::Empty { .. } => Err(Malformed::RequestLine),
            Form::Asterisk | Form::Query => Ok(()),
            Form::Path(path) => Ok(path.end(policy)?),
            Form::Scheme(_) => Err(Malformed::Form),
            Form::Host(host) if host.may_end() => Ok(()),
            Form::Host(_) => Err(Malformed::Host),
        }
    }

    /// Reads the next byte. `before` ends with all bytes that have been read.
    pub(super) fn step(&mut self, byte: u8, before: &[u8], policy: &PathPolicy) -> Result<(), Malformed> {
        if byte == b'#' {
            return Err(Malformed::Fragment);
        }
        self.character(byte)?;
        self.form = match self.form {
            Form::Empty { .. } if byte == b'/' => Form::Path(path::Beginning::default()),
            Form::Empty { asterisk: true } if byte == b'*' => Form::Asterisk,
            Form::Empty { .. } => scheme(Scheme::Name(0), byte)?,
            Form::Asterisk => return Err(Malformed::Form),
            Form::Path(path) if byte == b'?' => {
                path.end(policy)?;
                Form::Query
            }
            Form::Path(mut path) if in_path(byte) => {
                path.step(byte, policy)?;
                Form::Path(path)
            }
            Form::Query if in_query(byte) => Form::Query,
            Form::Path(_) | Form::Query => return Err(Malformed::Target),
            Form::Scheme(read) => scheme(read, byte)?,
            Form::Host(host) if byte == b'/' && host.may_end() => Form::Path(path::Beginning::default()),
            Form::Host(host) if byte == b'?' && host.may_end() => Form::Query,
            Form::Host(host) => Form::Host(host.step(byte, before).ok_or(Malformed::Host)?),
        };
        Ok(())
    }

    /// Checks that bytes beyond ASCII are UTF-8.
    fn character(&mut self, byte: u8) -> Result<(), Malformed> {
        if byte.is_ascii() && self.bytes == 0 {
            return Ok(());
        }
        *self.character.get_mut(self.bytes).ok_or(Malformed::Target)? = byte;
        self.bytes += 1;
        match std::str::from_utf8(self.character.get(..self.bytes).unwrap_or_default()) {
            Ok(_) => self.bytes = 0,
            // The character is not complete.
            Err(error) if error.error_len().is_none() => {}
            Err(_) => return Err(Malformed::Target),
        }
        Ok(())
    }
}

/// Reads a byte of a scheme or of what separates it from the host.
fn scheme(scheme: Scheme, byte: u8) -> Result<Form, Malformed> {
    match (scheme, byte) {
        (Scheme::Name(_), b':') => Ok(Form::Scheme(Scheme::Colon)),
        (Scheme::Name(length), _) if in_scheme(byte) && length < MAX_SCHEME => {
            Ok(Form::Scheme(Scheme::Name(length + 1)))
        }
        (Scheme::Colon, b'/') => Ok(Form::Scheme(Scheme::Slash)),
        (Scheme::Slash, b'/') => Ok(Form::Host(host::Beginning::default())),
        _ if byte.is_ascii_graphic() => Err(Malformed::Form),
        _ => Err(Malformed::Target),
    }
}

fn in_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'~')
}

fn in_path(byte: u8) -> bool {
    !byte.is_ascii() || (byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'`'))
}

fn in_query(byte: u8) -> bool {
    !byte.is_ascii() || (byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>'))
}
