//! The canonical form of a path: what is matched is what is forwarded.
//!
//! RFC 3986, section 6.2.2: escapes of unreserved characters are decoded, other escapes get upper-case digits,
//! dot segments are resolved. Beyond it, runs of slashes become one and characters that no URI may hold are
//! escaped, because applications serve those spellings as the same resource. What they read in more than one
//! way is refused, but for encoded separators, of which rules see both readings. Where an application is known to read it in one way, a [`PathPolicy`] says which.

mod beginning;
mod decoded;
mod reading;

use std::borrow::Cow;

pub use beginning::Beginning;
use decoded::DoubtfulSeparators;
pub use decoded::decoded;
pub use reading::{
    Backslashes, DotSegments, EmptySegments, EncodedSlashes, InvalidEscapes, LetterCase, PathPolicy,
};

/// Why a path is refused: an application could read it in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    /// Neither `*` nor a path from the root.
    #[error("the path does not start with '/'")]
    NotAbsolute,
    /// `%` without two hexadecimal digits.
    #[error("the path holds a '%' without two hexadecimal digits")]
    Escape,
    /// A slash that is part of a segment, or is not.
    #[error("the path holds an encoded slash")]
    EncodedSlash,
    /// A backslash, plain or encoded, which some take for a slash.
    #[error("the path holds a backslash")]
    Backslash,
    /// Both of these, each of which may be a slash or not: there would be four readings.
    #[error("the path holds an encoded slash and a backslash")]
    MixedSeparators,
    /// Some of these are in the parameters of a segment (`;v=1%2F2`), which an upstream may take away before it decodes.
    #[error("the path holds encoded separators inside and outside of parameters")]
    SeparatorsInParameters,
    /// A control character, plain or encoded.
    #[error("the path holds a control character")]
    Control,
    /// UTF-8 in more bytes than it takes: `%C0%AF`, which some take for a slash.
    #[error("the path holds an overlong form of UTF-8")]
    Overlong,
    /// `..;x` or `;x`: some take the parameters away, and then resolve what is left as `..` or as nothing.
    #[error("the path holds a segment that is nothing without its parameters")]
    Parameters,
    /// A dot segment that is not to be resolved, or one between slashes that are kept as data.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// An empty segment that is not to be merged, or one at the start: `//name/path` names a host.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// More `..` than there are segments above.
    #[error("the path leads above the root")]
    AboveRoot,
}

/// The canonical form of the path of a request target.
///
/// # Errors
/// When the path could be read in more than one way.
pub fn canonical<'r>(raw: &'r str, policy: &PathPolicy) -> Result<Cow<'r, str>, Ambiguous> {
    if raw == "*" || is_canonical(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    let parts = cut(raw.strip_prefix('/').ok_or(Ambiguous::NotAbsolute)?, policy)?;
    let last = parts.len().saturating_sub(1);
    let mut segments: Vec<String> = Vec::with_capacity(parts.len());
    let mut directory = false;
    for (index, part) in parts.into_iter().enumerate() {
        // Also where `..` takes it away: who decodes it sees another path.
        if is_overlong(&part) {
            return Err(Ambiguous::Overlong);
        }
        directory = part.is_empty() || is_dots(&part);
        match (&*part, policy.empty_segments) {
            // A slash at the end leaves nothing behind it: no segment, but a difference.
            ("", _) if index == last => {}
            ("", EmptySegments::Merge) => {}
            ("", EmptySegments::Keep) => segments.push(part),
            ("", EmptySegments::Reject) => return Err(Ambiguous::EmptySegment),
            ("." | "..", _) if policy.dot_segments == DotSegments::Reject => {
                return Err(Ambiguous::DotSegment);
            }
            (".", _) => {}
            ("..", _) => drop(segments.pop().ok_or(Ambiguous::AboveRoot)?),
            (name, _) if name.starts_with(';') || is_dots(bare(name)) => return Err(Ambiguous::Parameters),
            (name, _) if between_kept_slashes(name).any(|piece| is_dots(bare(piece))) => {
                return Err(Ambiguous::DotSegment);
            }
            (name, _) => {
                decoded::check(name, index == last, policy)?;
                segments.push(part);
            }
        }
    }
    if segments.first().is_some_and(String::is_empty) {
        return Err(Ambiguous::EmptySegment);
    }
    let mut path = String::with_capacity(raw.len());
    for segment in &segments {
        path.push('/');
        path.push_str(segment);
    }
    if directory || segments.is_empty() {
        path.push('/');
    }
    Ok(Cow::Owned(path))
}

/// What the rules compare of a canonical path: its segments without parameters (`;v=1`), and with those escapes
/// decoded that applications decode although the characters are reserved. As such spellings need not mean the
/// same, they are forwarded as they came; but a rule for one of them is a rule for all.
#[must_use]
pub fn matched<'c>(canonical: &'c str, policy: &PathPolicy) -> Cow<'c, str> {
    let seen = see_through(canonical);
    match policy.case {
        LetterCase::Insensitive if seen.bytes().any(|b| b.is_ascii_uppercase()) => {
            Cow::Owned(seen.to_ascii_lowercase())
        }
        _ => seen,
    }
}

fn see_through(canonical: &str) -> Cow<'_, str> {
    if !canonical.bytes().any(|b| matches!(b, b'%' | b';')) {
        return Cow::Borrowed(canonical);
    }
    let mut out = String::with_capacity(canonical.len());
    let mut rest = canonical;
    while let Some(at) = rest.find(['%', ';']) {
        let (before, special) = rest.split_at(at);
        out.push_str(before);
        let reserved =
            special.get(1..3).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|&b| is_path_char(b));
        rest = match (special.starts_with(';'), reserved) {
            (true, _) => special.get(special.find('/').unwrap_or(special.len())..).unwrap_or_default(),
            // An escaped semicolon is part of the name.
            (false, Some(byte)) if byte != b';' => {
                out.push(char::from(byte));
                special.get(3..).unwrap_or_default()
            }
            (false, _) => {
                out.push('%');
                special.get(1..).unwrap_or_default()
            }
        };
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Returns whether a path is in canonical form, as most paths are: they need no copy. It takes one pass, as every request
/// takes it. `false` may be wrong: a segment that starts with a dot or a semicolon is left to the general code.
fn is_canonical(raw: &str) -> bool {
    let mut after_slash = false;
    let canonical = raw.bytes().all(|b| {
        let odd = after_slash && matches!(b, b'/' | b'.' | b';');
        after_slash = b == b'/';
        !odd && PLAIN.get(usize::from(b)).copied().unwrap_or_default()
    });
    raw.starts_with('/') && canonical
}

/// The bytes that a canonical path may hold without an escape.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        #[allow(clippy::indexing_slicing, reason = "when compiled, and a byte is always below 256")]
        {
            table[byte as usize] = byte == b'/' || is_path_char(byte);
        }
        byte += 1;
    }
    table
};

/// `pchar` of RFC 3986 but for escapes.
const fn is_path_char(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'!' | b'$' | b'&'..=b',' | b':' | b';' | b'=' | b'@')
}

const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// The segments, each in canonical form.
fn cut(rest: &str, policy: &PathPolicy) -> Result<Vec<String>, Ambiguous> {
    let mut parts = Vec::new();
    let mut part = String::with_capacity(rest.len());
    let mut doubtful = DoubtfulSeparators::default();
    let mut rest = rest.as_bytes();
    while let Some((&raw, after)) = rest.split_first() {
        let escape = if raw == b'%' { hex_pair(after) } else { None };
        if raw == b'%' && escape.is_none() && policy.invalid_escapes == InvalidEscapes::Reject {
            return Err(Ambiguous::Escape);
        }
        let (byte, after) = escape.unwrap_or((raw, after));
        rest = after;
        let separates = match byte {
            b'/' if escape.is_none() => true,
            b'/' => match policy.encoded_slashes {
                EncodedSlashes::Reject => return Err(Ambiguous::EncodedSlash),
                EncodedSlashes::Both => doubtful.add(byte, part.contains(';'))?,
                EncodedSlashes::Keep => false,
                EncodedSlashes::Decode => true,
            },
            b'\\' => match policy.backslashes {
                Backslashes::Reject => return Err(Ambiguous::Backslash),
                Backslashes::Both => doubtful.add(byte, part.contains(';'))?,
                Backslashes::Keep => false,
                Backslashes::Slash => true,
            },
            0..=0x1f | 0x7f => return Err(Ambiguous::Control),
            _ => false,
        };
        if separates {
            parts.push(std::mem::take(&mut part));
        } else if is_unreserved(byte) || (escape.is_none() && is_path_char(byte)) {
            part.push(char::from(byte));
        } else {
            part.push('%');
            part.extend(hex_digits(byte));
        }
    }
    parts.push(part);
    Ok(parts)
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

/// Without its parameters.
fn bare(segment: &str) -> &str {
    segment.split_once(';').map_or(segment, |(name, _)| name)
}

/// The application that decodes what it should have kept must not find a way up in it.
fn between_kept_slashes(segment: &str) -> impl Iterator<Item = &str> {
    segment.split("%2F").flat_map(|piece| piece.split("%5C"))
}

/// Whether there are two bytes where one would do, or three or four where fewer would.
fn is_overlong(part: &str) -> bool {
    let mut escapes = part.match_indices('%').filter_map(|(at, _)| part.as_bytes().get(at + 1..at + 5));
    escapes.any(|pair| match *pair {
        [high, low, b'%', next] => hex_pair(&[high, low])
            .zip(hex_pair(&[next, b'0']))
            .is_some_and(|((lead, _), (next, _))| is_overlong_pair(lead, next >> 4)),
        _ => false,
    })
}

/// Whether `lead` and a byte of these upper four bits begin a character that fewer bytes would hold (RFC 3629, section 3).
fn is_overlong_pair(lead: u8, next: u8) -> bool {
    matches!((lead, next), (0xc0 | 0xc1, 8..=0xb) | (0xe0, 8 | 9) | (0xf0, 8))
}

/// The byte that two hexadecimal digits stand for, and what follows them.
fn hex_pair(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], after) = text.split_first_chunk()?;
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(high)? << 4 | digit(low)?, after))
}

fn hex_digits(byte: u8) -> impl Iterator<Item = char> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map(|c| c.to_ascii_uppercase());
    [byte >> 4, byte & 15].into_iter().filter_map(digit)
}

#[cfg(test)]
mod tests {
    use super::{Ambiguous, PathPolicy};

    fn canonical(raw: &str) -> Result<std::borrow::Cow<'_, str>, Ambiguous> {
        super::canonical(raw, &PathPolicy::default())
    }

    fn matched(path: &str) -> std::borrow::Cow<'_, str> {
        super::matched(path, &PathPolicy::default())
    }

    #[test]
    fn rules_see_through_parameters() {
        for (path, want) in [("/api;a=1/v1;b/tasks;", "/api/v1/tasks"), ("/plain", "/plain")] {
            assert_eq!(matched(path), want, "{path}");
        }
    }

    #[test]
    fn rules_see_through_escapes_of_reserved_characters() {
        for (path, want) in [
            ("/v1/things%3Abatch", "/v1/things:batch"),
            ("/users/a%40b", "/users/a@b"),
            ("/a%3Bb", "/a%3Bb"),
            ("/a%2Fb%20c", "/a%2Fb%20c"),
            ("/%25", "/%25"),
            ("/a%", "/a%"),
        ] {
            assert_eq!(matched(path), want, "{path}");
        }
    }

    #[test]
    fn spellings_of_one_resource_become_one() {
        for raw in [
            "/api/v1/tasks",
            "//api/v1/tasks",
            "/api//v1/tasks",
            "/api/./v1/tasks",
            "/api/x/../v1/tasks",
            "/api/%2e/v1/tasks",
            "/api/x/%2E%2e/v1/tasks",
            "/%61pi/v1/t%61sks",
            "/api/v1/%74asks",
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok("/api/v1/tasks"), "{raw}");
        }
    }

    #[test]
    fn a_slash_at_the_end_stays() {
        for (raw, want) in
            [("/", "/"), ("//", "/"), ("/.", "/"), ("/a/.", "/a/"), ("/a/b/..", "/a/"), ("/a/", "/a/")]
        {
            assert_eq!(canonical(raw).as_deref(), Ok(want), "{raw}");
        }
    }

    #[test]
    fn what_is_not_plain_has_one_spelling() {
        for (raw, want) in [
            ("/a%3fb", "/a%3Fb"),
            ("/a%2bb", "/a%2Bb"),
            ("/a+b;c=d", "/a+b;c=d"),
            ("/%252e", "/%252e"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/\u{20ac}%e0%a0%80%C0", "/%E2%82%AC%E0%A0%80%C0"),
            ("/a\"b", "/a%22b"),
            ("*", "*"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(want), "{raw}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (raw, why) in [
            ("api", Ambiguous::NotAbsolute),
            ("", Ambiguous::NotAbsolute),
            ("/a%2Fb%5cc", Ambiguous::MixedSeparators),
            ("/a\\b/../%2f", Ambiguous::MixedSeparators),
            ("/a%00", Ambiguous::Control),
            ("/a%0d%0a", Ambiguous::Control),
            ("/a%7F", Ambiguous::Control),
            ("/a%", Ambiguous::Escape),
            ("/a%4", Ambiguous::Escape),
            ("/a%zz", Ambiguous::Escape),
            ("/..", Ambiguous::AboveRoot),
            ("/a/../../b", Ambiguous::AboveRoot),
            ("/a/..;/b", Ambiguous::Parameters),
            ("/a/.;x/b", Ambiguous::Parameters),
            ("/a/;/b", Ambiguous::Parameters),
            ("/a/;x=1/b", Ambiguous::Parameters),
            ("/;/a", Ambiguous::Parameters),
            ("/a/b/;/", Ambiguous::Parameters),
            ("/a;/;", Ambiguous::Parameters),
            ("/a/%2e%2e;x=1/b", Ambiguous::Parameters),
            ("/%2e%2e/a", Ambiguous::AboveRoot),
            ("/a%+1", Ambiguous::Escape),
            ("/a%c0%af", Ambiguous::Overlong),
            ("/a%C1%81", Ambiguous::Overlong),
            ("/%e0%80%af", Ambiguous::Overlong),
            ("/%f0%80%80%af", Ambiguous::Overlong),
            ("/%c0%ae/../a", Ambiguous::Overlong),
        ] {
            assert_eq!(canonical(raw), Err(why), "{raw}");
        }
    }
}
