//! Who shares a counter: a rule's key, resolved against a request.
//!
//! The outcome is one text of a plain alphabet, the same on every instance. Addresses, methods and the like
//! stand as they are; what may be a secret, is long, or holds other characters stands as a keyed hash. Parts
//! are joined by `,`, hashes start with `~`, stand-ins for something missing with `!` or `@`: no value can
//! spell another.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

use http::{HeaderName, header};

use super::Facts;
use super::template::Template;
use crate::address::network;
use crate::redacted::Redacted;

/// One part of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyPart {
    /// The client's address, an IPv6 address cut to its prefix.
    ClientIp,
    /// A header's value.
    Header(HeaderName),
    /// A cookie's value.
    Cookie(Box<str>),
    /// A query parameter's value, decoded.
    Query(Box<str>),
    /// A parameter of the rule's path template.
    Path(Box<str>),
    /// The host.
    Host,
    /// The method; HEAD counts as GET.
    Method,
    /// The first verified name in the client's certificate. A trusted proxy that forwards for somebody shows its
    /// own certificate: then the client's name is missing.
    TlsSan,
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Path(name) => write!(f, "path:{name}"),
            Self::Host => f.write_str("host"),
            Self::Method => f.write_str("method"),
            Self::TlsSan => f.write_str("tls:san"),
        }
    }
}

/// What stands for a part that the request lacks, or has empty. One that it has twice, with different values, is
/// counted by the client's address, or rejected where a missing one is: which of them the application takes is
/// anybody's guess, so none may choose the counter, and none may be a way out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMissing {
    /// The client's address.
    #[default]
    ClientIp,
    /// One counter for all such requests.
    Shared,
    /// The rule does not apply.
    Skip,
    /// The request is refused with 400.
    Reject,
}

/// A rule's key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySpec {
    /// None: all requests share one counter.
    pub parts: Vec<KeyPart>,
    /// What stands for a part that is missing.
    pub on_missing: OnMissing,
}

/// The key of the hash: the same on all instances, or each would count for itself.
#[derive(Clone, Debug)]
pub struct HashKey(Redacted<[u8; 32]>);

impl HashKey {
    /// A key made of the configured secret. Without one, hashes are the same everywhere, and a guessed value
    /// can be recognised by whoever reads the store.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Redacted::new(blake3::derive_key("tidegate 2026-11-23 client keys", secret)))
    }
}

impl Default for HashKey {
    fn default() -> Self {
        Self::new(&[])
    }
}

/// A resolved key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The client's part of the counter's key.
    Client(String),
    /// The rule does not apply to this request.
    Skip,
    /// The request is to be refused: it lacks this part.
    Reject(String),
}

/// The longest value that stands as it is.
const PLAIN: usize = 64;
/// How much of a hash stands for a value.
const HASH_BYTES: usize = 12;
/// Room for the counter's key, which the client's part becomes, where its values are of the usual length.
const KEY_BYTES: usize = 96;

impl KeySpec {
    /// The key of one request. `path` is the rule's template.
    #[must_use]
    pub fn resolve(
        &self,
        facts: &Facts<'_>,
        path: &Template,
        ipv6_prefix: u8,
        hash_key: &HashKey,
    ) -> Resolved {
        let mut text = String::with_capacity(KEY_BYTES);
        for part in &self.parts {
            if !text.is_empty() {
                text.push(',');
            }
            let found: Found<Value<'_>> = match part {
                KeyPart::ClientIp => {
                    push_address(&mut text, facts.client.address, ipv6_prefix);
                    continue;
                }
                KeyPart::Header(name) => header_value(facts, name),
                KeyPart::Cookie(name) => cookie(facts, name),
                KeyPart::Query(name) => query(facts.query, name),
                KeyPart::Path(name) => path_param(facts, path, name).into(),
                KeyPart::Host => Some(facts.host).filter(|host| !host.is_empty()).into(),
                KeyPart::Method => Found::One(Value::Plain(method(facts.method))),
                KeyPart::TlsSan => facts.own_names().first().map(String::as_str).into(),
            };
            match (found, self.on_missing) {
                (Found::One(value), _) => value.push_to(&mut text, hash_key),
                (Found::None, OnMissing::Shared) => text.push('!'),
                (Found::None, OnMissing::Skip) => return Resolved::Skip,
                (_, OnMissing::Reject) => return Resolved::Reject(part.to_string()),
                (Found::None, OnMissing::ClientIp) | (Found::Several, _) => {
                    text.push('@');
                    push_address(&mut text, facts.client.address, ipv6_prefix);
                }
            }
        }
        if text.is_empty() {
            text.push('*');
        }
        Resolved::Client(text)
    }
}

enum Value<'a> {
    /// May be a secret: always hashed.
    Secret(Cow<'a, [u8]>),
    Plain(&'a str),
}

impl Value<'_> {
    fn push_to(&self, text: &mut String, hash_key: &HashKey) {
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

fn push_address(text: &mut String, address: IpAddr, ipv6_prefix: u8) {
    match network(address, ipv6_prefix) {
        IpAddr::V4(v4) => {
            let mut digits = itoa::Buffer::new();
            for (place, octet) in v4.octets().into_iter().enumerate() {
                if place > 0 {
                    text.push('.');
                }
                text.push_str(digits.format(octet));
            }
        }
        IpAddr::V6(v6) => {
            // Writing to a String cannot fail.
            let _ = write!(text, "{v6}/{ipv6_prefix}");
        }
    }
}

/// HEAD counts as GET, and case does not: see `matcher::Match`.
fn method(method: &http::Method) -> &str {
    const KNOWN: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let name = method.as_str();
    if name.eq_ignore_ascii_case("HEAD") {
        return "GET";
    }
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name)
}

/// What a request holds of a key's part.
enum Found<T> {
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

fn header_value<'a>(facts: &Facts<'a>, name: &HeaderName) -> Found<Value<'a>> {
    let values = facts.headers.get_all(name).iter();
    only(values.map(|value| value.as_bytes().trim_ascii().into()))
}

/// As applications read cookies: with blanks around the name and quotes around the value.
fn cookie<'a>(facts: &Facts<'a>, name: &str) -> Found<Value<'a>> {
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

fn query<'a>(query: &'a str, name: &str) -> Found<Value<'a>> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    only(pairs.map(|(_, value)| match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
        Cow::Owned(value) => Cow::Owned(value.into_bytes()),
    }))
}

fn path_param<'a>(facts: &Facts<'a>, path: &'a Template, name: &str) -> Option<&'a str> {
    path.captures(facts.path)?.into_iter().find(|(param, _)| *param == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::HashKey;

    #[test]
    fn debug_shows_no_part_of_the_key() {
        assert_eq!(format!("{:?}", HashKey::new(b"hunter2")), "HashKey(Redacted(..))");
    }
}
