//! Reads the head of an HTTP/1 request as strictly as RFC 9112 allows: where it ends, whether it is well-formed, and
//! what follows it. Pure, and without a copy.

#[cfg(test)]
mod tests;

use memchr::memchr;

use super::malformed::Malformed;
use crate::bounds::Bounds;

/// The number of empty lines before a request that are ignored, as some clients send one after a body (RFC 9112,
/// section 2.2).
pub(super) const EMPTY_LINES: usize = 2;
/// The maximum length of a method. The longest registered one has 17 bytes.
pub(super) const MAX_METHOD: usize = 64;
/// The maximum length of a request line without its target: method, two spaces, version, and the end of the line.
const AROUND_TARGET: usize = MAX_METHOD + " HTTP/1.1 \r\n".len();
/// The maximum content length. hyper uses the numbers above it for other purposes, and refuses them.
pub(super) const MAX_LENGTH: u64 = u64::MAX - 2;

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
pub(super) const TLS_HANDSHAKE: u8 = 0x16;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Following {
    /// A body of this number of bytes; 0 without a body.
    Length(u64),
    /// A chunked body: see [`super::chunks`].
    Chunked,
    /// No body, and a request to upgrade the connection to another protocol (RFC 9110, section 7.8).
    Upgrade,
}

/// The maximum sizes of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct HeadBounds {
    /// All fields in bytes: names, values, and four for each field, for its colon, space and line end.
    pub header_bytes: usize,
    /// The number of fields.
    pub header_fields: usize,
    /// The target in bytes.
    pub target_bytes: usize,
}

impl From<&Bounds> for HeadBounds {
    fn from(bounds: &Bounds) -> Self {
        let Bounds { header_bytes, header_fields, target_bytes, .. } = *bounds;
        Self { header_bytes, header_fields, target_bytes }
    }
}

/// Returns the length of the empty lines before the request line that are ignored. Bytes with nothing else in them are
/// not a request yet.
fn skip_empty_lines(bytes: &[u8]) -> usize {
    2 * bytes.chunks(2).take(EMPTY_LINES).take_while(|pair| *pair == b"\r\n").count()
}

/// Returns where a request head ends in `bytes`, if all of it is there: the index after the empty line. A line that
/// ends in a bare LF counts as a line, so that [`judge`] can refuse it.
pub(in crate::server) fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut at = skip_empty_lines(bytes);
    let empty = |at: usize| {
        let rest = bytes.get(at..)?;
        let length = if rest.starts_with(b"\r\n") { 2 } else { 1 };
        (length == 2 || rest.starts_with(b"\n")).then_some(at + length)
    };
    // There is one more empty line than are ignored.
    if let Some(end) = empty(at) {
        return Some(end);
    }
    while let Some(line) = memchr(b'\n', bytes.get(at..)?) {
        at += line + 1;
        if let Some(end) = empty(at) {
            return Some(end);
        }
    }
    None
}

/// Refuses a head, complete or not, that is longer than any that [`judge`] accepts.
pub(super) fn too_long(bytes: &[u8], bounds: &HeadBounds) -> Result<(), Malformed> {
    let line = bounds.target_bytes.saturating_add(AROUND_TARGET);
    let most = bounds.header_bytes.saturating_add(line).saturating_add(2 * EMPTY_LINES + 2);
    if bytes.len() <= most {
        return Ok(());
    }
    let mut lines = bytes.get(skip_empty_lines(bytes)..).unwrap_or_default().split(|b| *b == b'\n');
    let long_line = lines.next().is_none_or(|first| first.len() > line);
    Err(if long_line { Malformed::LongTarget } else { Malformed::LongHeader })
}

/// Returns where the head at the front of `bytes` ends, and what follows it. `None`: its end is not there.
///
/// # Errors
/// As [`judge`].
pub(super) fn read(bytes: &[u8], bounds: &HeadBounds) -> Result<Option<(usize, Following)>, Malformed> {
    // Nearly all heads are valid, and there as a whole: then one reading finds their end, too.
    if let Ok((following, rest)) = read_lines(bytes, bounds) {
        let end = bytes.len() - rest.len();
        too_long(bytes.get(..end).unwrap_or_default(), bounds)?;
        return Ok(Some((end, following)));
    }
    let Some(end) = end_of_head(bytes) else { return Ok(None) };
    Ok(Some((end, judge(bytes.get(..end).unwrap_or_default(), bounds)?)))
}

/// Returns what follows `head`, which ends at [`end_of_head`].
///
/// # Errors
/// When the head is not valid by RFC 9112, or can be read in two ways.
pub(in crate::server) fn judge(head: &[u8], bounds: &HeadBounds) -> Result<Following, Malformed> {
    too_long(head, bounds)?;
    let (following, rest) = read_lines(head, bounds)?;
    // If bytes follow the empty line, another reader could find the end of the head elsewhere.
    if rest.is_empty() { Ok(following) } else { Err(Malformed::LineEnd) }
}

/// Reads lines up to the empty one. Returns what follows the head, and the bytes behind it.
fn read_lines<'a>(bytes: &'a [u8], bounds: &HeadBounds) -> Result<(Following, &'a [u8]), Malformed> {
    let bytes = bytes.get(skip_empty_lines(bytes)..).unwrap_or_default();
    let (line, mut rest) = first_line(bytes)?;
    let mut request = request_line(line, bounds)?;
    let (mut count, mut size) = (0, 0);
    loop {
        let (line, after) = first_line(rest)?;
        rest = after;
        if line.is_empty() {
            return Ok((request.following()?, rest));
        }
        let (name, value) = field(line)?;
        count += 1;
        size += name.len() + value.len() + 4;
        if count > bounds.header_fields {
            return Err(Malformed::ManyFields);
        }
        if size > bounds.header_bytes {
            return Err(Malformed::LongHeader);
        }
        request.note(name, value)?;
    }
}

/// Returns the first line without its CR LF, and the bytes after it.
fn first_line(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = memchr(b'\n', bytes).ok_or(Malformed::LineEnd)?;
    let (line, rest) = bytes.split_at_checked(end + 1).ok_or(Malformed::LineEnd)?;
    Ok((line.strip_suffix(b"\r\n").ok_or(Malformed::LineEnd)?, rest))
}

/// Returns `LineEnd` if the line has a bare CR, which then is the more helpful fault, and `otherwise` if not.
fn fault(line: &[u8], otherwise: Malformed) -> Malformed {
    if line.contains(&b'\r') { Malformed::LineEnd } else { otherwise }
}

/// Reads the request line (RFC 9112, section 3). Only single spaces are accepted, though the section allows more.
fn request_line(line: &[u8], bounds: &HeadBounds) -> Result<Request, Malformed> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(Malformed::Fold);
    }
    if line.starts_with(&[TLS_HANDSHAKE]) {
        return Err(Malformed::Tls);
    }
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(fault(line, Malformed::RequestLine));
    };
    if method.is_empty() || target.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Err(fault(line, Malformed::RequestLine));
    }
    // A client must not send a request that looks like the stand-in.
    if method == super::STAND_IN.as_bytes() {
        return Err(Malformed::RequestLine);
    }
    if method.len() > MAX_METHOD {
        return Err(Malformed::LongMethod);
    }
    if target.len() > bounds.target_bytes {
        return Err(Malformed::LongTarget);
    }
    check_target(line, target)?;
    let http11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        // The name is case-sensitive, the numbers are of one digit: RFC 9112, section 2.3.
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Malformed::Version);
        }
        _ => return Err(fault(line, Malformed::RequestLine)),
    };
    Ok(Request { http11, connect: method == b"CONNECT", ..Request::default() })
}

/// Checks the characters of a target. This accepts some that RFC 3986 forbids: clients send them, and they have one
/// meaning only. Those beyond ASCII must be UTF-8, and are forwarded as escapes.
fn check_target(line: &[u8], target: &[u8]) -> Result<(), Malformed> {
    // Most targets have only characters that every parser accepts.
    if target.starts_with(b"/") && target.iter().all(|b| is_plain(*b)) {
        return Ok(());
    }
    if target.iter().any(|b| b.is_ascii_control()) || std::str::from_utf8(target).is_err() {
        return Err(fault(line, Malformed::Target));
    }
    if target.contains(&b'#') {
        return Err(Malformed::Fragment);
    }
    // hyper's parser would refuse these targets without a helpful message.
    if http::Uri::try_from(target).is_err() { Err(Malformed::Target) } else { Ok(()) }
}

/// Returns the name and the value of a field line. The value has no white space around it.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let end = line.iter().position(|b| !is_token(*b));
    let Some((name, rest)) = end.and_then(|end| line.split_at_checked(end)) else {
        return Err(Malformed::NoColon);
    };
    let blank = rest.starts_with(b" ") || rest.starts_with(b"\t");
    match rest.strip_prefix(b":") {
        Some(value) if !name.is_empty() => {
            // No early end: so the compiler checks many bytes at once.
            if !value.iter().fold(true, |valid, b| valid & is_value(*b)) {
                return Err(fault(value, Malformed::FieldValue));
            }
            // `trim_ascii` removes control characters too, but `is_value` has refused them.
            Ok((name, value.trim_ascii()))
        }
        _ if blank && name.is_empty() => Err(Malformed::Fold),
        _ if !line.contains(&b':') => Err(fault(line, Malformed::NoColon)),
        _ if blank => Err(fault(line, Malformed::SpaceBeforeColon)),
        _ => Err(fault(line, Malformed::FieldName)),
    }
}

/// Returns whether a byte is one of those that most targets consist of. Each parser accepts these in a path.
fn is_plain(byte: u8) -> bool {
    PLAIN.get(usize::from(byte)).copied().unwrap_or_default()
}

const PLAIN: [bool; 256] = table(b"/-._?=&%+,");

/// Returns whether a byte is a `tchar` (RFC 9110, section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    TOKEN.get(usize::from(byte)).copied().unwrap_or_default()
}

const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

/// Returns a table with letters, digits and these bytes.
#[allow(clippy::indexing_slicing, reason = "when compiled, where an index out of range is an error")]
const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
}

/// Returns whether a byte may be in a field's value (RFC 9110, section 5.5). Bytes beyond ASCII may: they have no
/// meaning.
pub(super) fn is_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The parts of a head that decide where the request ends.
#[derive(Debug, Default)]
struct Request {
    http11: bool,
    connect: bool,
    host: Option<()>,
    length: Option<u64>,
    coding: Option<Coding>,
    connection_upgrade: bool,
    upgrade: bool,
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    Chunked,
    Unknown,
}

impl Request {
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        match name.len() {
            4 if is(b"host") => once(&mut self.host, (), Malformed::TwoHosts)?,
            7 if is(b"upgrade") => self.upgrade |= !value.is_empty(),
            10 if is(b"connection") => {
                let mut options = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
                self.connection_upgrade |= options.any(|option| option.eq_ignore_ascii_case(b"upgrade"));
            }
            14 if is(b"content-length") => {
                let length = length(value).ok_or(Malformed::Length)?;
                once(&mut self.length, length, Malformed::TwoLengths)?;
            }
            17 if is(b"transfer-encoding") => once(&mut self.coding, coding(value)?, Malformed::TwoCodings)?,
            _ => {}
        }
        Ok(())
    }

    /// Returns what follows the head (RFC 9112, section 6.3). Where the section allows two readings, this refuses the
    /// head.
    fn following(&self) -> Result<Following, Malformed> {
        match (self.coding, self.length) {
            (Some(_), Some(_)) => Err(Malformed::LengthAndCoding),
            (Some(_), None) if !self.http11 => Err(Malformed::CodingOfHttp10),
            (Some(Coding::Unknown), None) => Err(Malformed::UnknownCoding),
            (Some(Coding::Chunked), None) => Ok(Following::Chunked),
            (None, None | Some(0)) if self.requests_upgrade() => Ok(Following::Upgrade),
            (None, length) => Ok(Following::Length(length.unwrap_or(0))),
        }
    }

    /// Returns whether the head requests an upgrade. HTTP/1.0 has none (RFC 9110, section 7.8), and CONNECT is not one.
    fn requests_upgrade(&self) -> bool {
        self.http11 && !self.connect && self.upgrade && self.connection_upgrade
    }
}

fn once<T>(slot: &mut Option<T>, value: T, twice: Malformed) -> Result<(), Malformed> {
    if slot.replace(value).is_some() { Err(twice) } else { Ok(()) }
}

/// Reads a decimal number. Leading zeros are refused, as some readers take the number as octal.
fn length(value: &[u8]) -> Option<u64> {
    let plain = value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || !value.starts_with(b"0"));
    let text = std::str::from_utf8(value).ok().filter(|_| plain)?;
    text.parse().ok().filter(|length| *length <= MAX_LENGTH)
}

/// Reads the list of codings. tidegate supports only a single 'chunked'.
fn coding(value: &[u8]) -> Result<Coding, Malformed> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(Coding::Chunked);
    }
    let mut chunked = false;
    for element in value.split(|b| *b == b',') {
        // 'chunked' comes last, and once: RFC 9112, section 6.1. It has no parameters: section 7.1.
        let name = element.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if chunked || name.is_empty() || !name.iter().all(|b| is_token(*b)) {
            return Err(Malformed::Coding);
        }
        chunked = name.eq_ignore_ascii_case(b"chunked");
        if chunked && element.trim_ascii() != name {
            return Err(Malformed::Coding);
        }
    }
    Ok(Coding::Unknown)
}
