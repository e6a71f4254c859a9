//! What a request holds of a part of a key, and how it is written in the key.

use std::borrow::Cow;

use http::{HeaderName, header};

use super::{Facts, HashKey, Template};

/// The longest value that stands as it is.
const PLAIN: usize = 64;
/// How much of a hash stands for a value.
const HASH_BYTES: usize = 12;

pub(super) enum Value<'a> {
    /// May be a secret: always hashed.
    Secret(Cow<'a, [u8]>),
    Plain(&'a str),
}

impl Value<'_> {
    pub(super) fn push_to(&self, text: &mut String, hash_key: &HashKey) {
        let bytes = match self {
            Self::Plain(value) if is_plain(value) => return text.push_str(value),
            Self::Plain(value) => value.as_bytes(),
            Self::Secret(bytes) => bytes,
        };
        text.push('~');
        let hash = blake3::keyed_hash(hash_key.0.expose(), bytes);
        let mut digits = [0; 2 * HASH_BYTES];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(hash.as_bytes()) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 15)];
        }
        // Digits are text.
        text.push_str(str::from_utf8(&digits).unwrap_or_default());
    }
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

fn is_plain(value: &str) -> bool {
    value.len() <= PLAIN
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':'))
}

/// HEAD counts as GET, and case does not: see `matcher::Match`.
pub(super) fn method(method: &http::Method) -> &str {
    const KNOWN: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let name = method.as_str();
    if name.eq_ignore_ascii_case("HEAD") {
        return "GET";
    }
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name)
}

/// What a request holds of a key's part.
pub(super) enum Found<T> {
    None,
    One(T),
    /// Different ones.
    Several,
}

impl<'a> From<Option<&'a str>> for Found<Value<'a>> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::None, |value| Self::One(Value::Plain(value)))
    }
}

/// The value that all of `values` are; empty ones count as nothing.
fn only<'a>(values: impl Iterator<Item = Cow<'a, [u8]>>) -> Found<Value<'a>> {
    let mut values = values.filter(|value| !value.is_empty());
    let Some(first) = values.next() else { return Found::None };
    if values.all(|value| value == first) { Found::One(Value::Secret(first)) } else { Found::Several }
}

pub(super) fn header_value<'a>(facts: &Facts<'a>, name: &HeaderName) -> Found<Value<'a>> {
    let values = facts.headers.get_all(name).iter();
    only(values.map(|value| value.as_bytes().trim_ascii().into()))
}

/// As applications read cookies: with blanks around the name and quotes around the value.
pub(super) fn cookie<'a>(facts: &Facts<'a>, name: &str) -> Found<Value<'a>> {
    let lines = facts.headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|&b| b == b';'));
    only(pairs.filter_map(|pair| {
        let at = pair.iter().position(|&b| b == b'=')?;
        let (found, value) = pair.split_at(at);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        (found.trim_ascii() == name.as_bytes()).then_some(bare.into())
    }))
}

pub(super) fn query<'a>(query: &'a str, name: &str) -> Found<Value<'a>> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    only(pairs.map(|(_, value)| match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
        Cow::Owned(value) => Cow::Owned(value.into_bytes()),
    }))
}

pub(super) fn path_param<'a>(facts: &Facts<'a>, path: &'a Template, name: &str) -> Option<&'a str> {
    path.captures(facts.path)?.into_iter().find(|(param, _)| *param == name).map(|(_, value)| value)
}
