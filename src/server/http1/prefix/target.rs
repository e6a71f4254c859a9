//! The target of a request while it arrives: the characters that the parser behind lets pass, form by form. Pure.

use crate::server::http1::malformed::Malformed;

/// How far a target has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    form: Form,
    /// A character beyond ASCII as far as it is there, and its number of bytes.
    character: [u8; 4],
    bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Empty,
    Path,
    Query,
    /// An authority, or a scheme: which it is shows at the first colon.
    Host(Scheme, Authority),
}

/// What of a scheme is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// All bytes so far could be one of this length.
    Name(usize),
    /// The colon directly behind it.
    Colon,
    /// The first slash.
    Slash,
    /// All of it, with both slashes.
    Whole,
    /// There is none.
    None,
}

/// What of an authority is there, counted as the `http` crate does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Authority {
    length: usize,
    colons: u8,
    percent: bool,
    brackets: Brackets,
    /// The last byte is an at sign.
    at: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Brackets {
    #[default]
    None,
    Open,
    Closed,
}

/// The `http` crate knows none that is longer.
const MAX_SCHEME: usize = 64;
/// As many as an IPv6 address and a port have.
const MAX_COLONS: u8 = 8;

impl Target {
    /// Whether it may be complete.
    pub(super) fn may_end(&self) -> bool {
        self.bytes == 0
            && match self.form {
                Form::Empty | Form::Host(Scheme::Slash, _) => false,
                Form::Path | Form::Query => true,
                Form::Host(_, authority) => authority.may_end(),
            }
    }

    pub(super) fn step(&mut self, byte: u8) -> Result<(), Malformed> {
        if byte == b'#' {
            return Err(Malformed::Fragment);
        }
        self.character(byte)?;
        let form = match self.form {
            Form::Empty if byte == b'/' => Some(Form::Path),
            Form::Empty => host(Scheme::Name(0), Authority::default(), byte),
            Form::Path if byte == b'?' => Some(Form::Query),
            Form::Path => in_path(byte).then_some(Form::Path),
            Form::Query => in_query(byte).then_some(Form::Query),
            Form::Host(scheme, authority) => host(scheme, authority, byte),
        };
        self.form = form.ok_or(Malformed::Target)?;
        Ok(())
    }

    /// Bytes beyond ASCII are UTF-8.
    fn character(&mut self, byte: u8) -> Result<(), Malformed> {
        if byte.is_ascii() && self.bytes == 0 {
            return Ok(());
        }
        *self.character.get_mut(self.bytes).ok_or(Malformed::Target)? = byte;
        self.bytes += 1;
        match std::str::from_utf8(self.character.get(..self.bytes).unwrap_or_default()) {
            Ok(_) => self.bytes = 0,
            // More of it is to come.
            Err(error) if error.error_len().is_none() => {}
            Err(_) => return Err(Malformed::Target),
        }
        Ok(())
    }
}

/// A byte of a scheme or an authority, or the first behind it.
fn host(scheme: Scheme, authority: Authority, byte: u8) -> Option<Form> {
    match (scheme, byte) {
        (Scheme::Colon, b'/') => return Some(Form::Host(Scheme::Slash, authority)),
        (Scheme::Slash, b'/') => return Some(Form::Host(Scheme::Whole, Authority::default())),
        (Scheme::Whole, b'/') => return authority.may_end().then_some(Form::Path),
        (Scheme::Whole, b'?') => return authority.may_end().then_some(Form::Query),
        (Scheme::Slash, _) => return None,
        _ => {}
    }
    let scheme = match (scheme, byte) {
        (Scheme::Name(length), b':') if length <= MAX_SCHEME => Scheme::Colon,
        (Scheme::Name(length), _) if in_scheme(byte) => Scheme::Name(length.saturating_add(1)),
        (Scheme::Whole, _) => Scheme::Whole,
        _ => Scheme::None,
    };
    Some(Form::Host(scheme, authority.with(byte)?))
}

impl Authority {
    /// None: no authority goes on with this byte.
    fn with(self, byte: u8) -> Option<Self> {
        let next = Self { length: self.length.saturating_add(1), at: byte == b'@', ..self };
        match (byte, self.brackets) {
            (b':', _) => (self.colons < MAX_COLONS).then_some(Self { colons: self.colons + 1, ..next }),
            (b'%', _) => Some(Self { percent: true, ..next }),
            // Behind user information the colons and escapes in it are of no account.
            (b'@', _) => Some(Self { colons: 0, percent: false, ..next }),
            (b'[', Brackets::None) if !self.percent => Some(Self { brackets: Brackets::Open, ..next }),
            (b']', Brackets::Open) => {
                Some(Self { colons: 0, percent: false, brackets: Brackets::Closed, ..next })
            }
            (b'[' | b']', _) => None,
            _ => in_authority(byte).then_some(next),
        }
    }

    fn may_end(self) -> bool {
        self.length > 0 && self.colons <= 1 && !self.percent && !self.at && self.brackets != Brackets::Open
    }
}

fn in_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'~')
}

fn in_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&'..=b',' | b';' | b'=')
}

fn in_path(byte: u8) -> bool {
    !byte.is_ascii() || (byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'`'))
}

fn in_query(byte: u8) -> bool {
    !byte.is_ascii() || (byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>'))
}
