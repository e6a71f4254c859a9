//! The canonical form of a path: what is matched is what is forwarded.
//!
//! RFC 3986, section 6.2.2: escapes of unreserved characters are decoded, other escapes get upper-case digits,
//! dot segments are resolved. Beyond it, runs of slashes become one and characters that no URI may hold are
//! escaped, because applications serve those spellings as the same resource. What they read in more than one
//! way is refused.

use std::borrow::Cow;

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
    /// A control character, plain or encoded.
    #[error("the path holds a control character")]
    Control,
    /// `..;x` or `;x`: some take the parameters away, and then resolve what is left as `..` or as nothing.
    #[error("the path holds a segment that is nothing without its parameters")]
    Parameters,
    /// More `..` than there are segments above.
    #[error("the path leads above the root")]
    AboveRoot,
}

/// The canonical form of the path of a request target.
///
/// # Errors
/// When the path could be read in more than one way.
pub fn canonical(raw: &str) -> Result<Cow<'_, str>, Ambiguous> {
    if raw == "*" || is_canonical(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    let rest = raw.strip_prefix('/').ok_or(Ambiguous::NotAbsolute)?;
    let mut segments: Vec<String> = Vec::new();
    let mut directory = false;
    for part in rest.split('/') {
        let segment = decode(part)?;
        directory = matches!(&*segment, "" | "." | "..");
        match &*segment {
            "" | "." => {}
            ".." => drop(segments.pop().ok_or(Ambiguous::AboveRoot)?),
            other if [";", ".;", "..;"].iter().any(|start| other.starts_with(start)) => {
                return Err(Ambiguous::Parameters);
            }
            _ => segments.push(segment),
        }
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
pub fn matched(canonical: &str) -> Cow<'_, str> {
    if !canonical.contains(['%', ';']) {
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

/// Most paths are, and then need no copy. What stands after a slash and is no name is left to the long way.
fn is_canonical(raw: &str) -> bool {
    let plain = raw.bytes().all(|b| b == b'/' || (is_path_char(b) && b != b'%'));
    raw.starts_with('/') && plain && !["//", "/.", "/;"].iter().any(|odd| raw.contains(odd))
}

/// `pchar` of RFC 3986 but for escapes.
fn is_path_char(b: u8) -> bool {
    is_unreserved(b) || matches!(b, b'!' | b'$' | b'&'..=b',' | b':' | b';' | b'=' | b'@')
}

fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

fn decode(segment: &str) -> Result<String, Ambiguous> {
    let mut out = String::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(raw) = bytes.next() {
        let escaped = raw == b'%';
        let byte = if escaped { hex_pair(bytes.next(), bytes.next())? } else { raw };
        match byte {
            b'/' => return Err(Ambiguous::EncodedSlash),
            b'\\' => return Err(Ambiguous::Backslash),
            0..=0x1f | 0x7f => return Err(Ambiguous::Control),
            _ if is_unreserved(byte) || (!escaped && is_path_char(byte)) => out.push(char::from(byte)),
            _ => {
                out.push('%');
                out.extend(hex_digits(byte));
            }
        }
    }
    Ok(out)
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Result<u8, Ambiguous> {
    let digit =
        |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    digit(high).zip(digit(low)).map(|(high, low)| high << 4 | low).ok_or(Ambiguous::Escape)
}

fn hex_digits(byte: u8) -> impl Iterator<Item = char> {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map(|c| c.to_ascii_uppercase());
    [byte >> 4, byte & 15].into_iter().filter_map(digit)
}

#[cfg(test)]
mod tests {
    use super::{Ambiguous, canonical, matched};

    #[test]
    fn rules_see_through_parameters_and_escapes_of_reserved_characters() {
        for (path, want) in [
            ("/v1/things%3Abatch", "/v1/things:batch"),
            ("/users/a%40b", "/users/a@b"),
            ("/api;a=1/v1;b/tasks;", "/api/v1/tasks"),
            ("/a%3Bb", "/a%3Bb"),
            ("/a%2Fb%20c", "/a%2Fb%20c"),
            ("/%25", "/%25"),
            ("/a%", "/a%"),
            ("/plain", "/plain"),
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
    fn a_slash_at_the_end_and_reserved_escapes_stay() {
        for (raw, want) in [
            ("/", "/"),
            ("//", "/"),
            ("/.", "/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/", "/a/"),
            ("/a%3fb", "/a%3Fb"),
            ("/a%2bb", "/a%2Bb"),
            ("/a+b;c=d", "/a+b;c=d"),
            ("/%252e", "/%252e"),
            ("/caf\u{e9}", "/caf%C3%A9"),
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
            ("/a%2Fb", Ambiguous::EncodedSlash),
            ("/a%5cb", Ambiguous::Backslash),
            ("/a\\b", Ambiguous::Backslash),
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
        ] {
            assert_eq!(canonical(raw), Err(why), "{raw}");
        }
    }

    #[test]
    fn the_canonical_form_is_its_own_canonical_form() {
        for raw in ["/a//b/%41/../c%20d/", "/%25/%252e", "/.a/..b/...", "/a/%2e%2e%2e"] {
            let once = canonical(raw).map(std::borrow::Cow::into_owned).unwrap_or_default();
            assert_eq!(canonical(&once).as_deref(), Ok(&*once), "{raw}");
        }
    }
}
