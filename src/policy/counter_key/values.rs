//! What a request holds of a part of a key, and how it is written in the key.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use http::{HeaderName, header};

use super::{Facts, HashKey, KeyPart, MAX_CLIENTS, OnMissing, Paths, Resolved};
use crate::address::network;

/// The longest value that stands as it is.
const PLAIN: usize = 64;
/// How much of a hash stands for a value.
const HASH_BYTES: usize = 12;

pub(super) enum Value<'a> {
    /// May be a secret: always hashed.
    Secret(Cow<'a, [u8]>),
    Plain(&'a str),
    /// The same of a further choice of `first_of`, by its index: another choice may have the same value for another
    /// client.
    PlainChoice(usize, &'a str),
    /// The client's address, and the prefix that an IPv6 address is cut to.
    Address(IpAddr, u8),
    /// The same of a further choice of `first_of`, by its index.
    AddressChoice(usize, IpAddr, u8),
    /// The same in place of a part that is missing.
    StandIn(IpAddr, u8),
    /// In place of a part that is missing, for all such requests.
    Shared,
}

impl Value<'_> {
    pub(super) fn push_to(&self, text: &mut String, hash_key: &HashKey) {
        let bytes = match self {
            Self::Address(address, ipv6_prefix) => return push_address(text, *address, *ipv6_prefix),
            Self::StandIn(address, ipv6_prefix) => {
                text.push('@');
                return push_address(text, *address, *ipv6_prefix);
            }
            Self::Shared => return text.push('!'),
            Self::PlainChoice(index, value) => {
                push_index(text, *index);
                return Self::Plain(value).push_to(text, hash_key);
            }
            Self::AddressChoice(index, address, ipv6_prefix) => {
                push_index(text, *index);
                return push_address(text, *address, *ipv6_prefix);
            }
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

/// Pushes the index of a choice, with a sign that no value has.
pub(super) fn push_index(text: &mut String, index: usize) {
    text.push_str(itoa::Buffer::new().format(index));
    text.push('=');
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

fn is_plain(value: &str) -> bool {
    value.len() <= PLAIN
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':'))
}

/// Returns how the parts of a counter's key can spell this clear value.
pub(in crate::policy) fn spellings(value: &[u8], ipv6_prefix: u8, hash_key: &HashKey) -> Vec<String> {
    let (mut hashed, mut plain) = (String::new(), String::new());
    Value::Secret(value.into()).push_to(&mut hashed, hash_key);
    if let Ok(text) = str::from_utf8(value) {
        match text.parse::<IpAddr>() {
            Ok(address) => push_address(&mut plain, address.to_canonical(), ipv6_prefix),
            Err(_) => Value::Plain(text).push_to(&mut plain, hash_key),
        }
    }
    [hashed, plain].into_iter().filter(|spelling| !spelling.is_empty()).collect()
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
pub(super) fn method(method: &http::Method) -> &str {
    const KNOWN: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let name = method.as_str();
    if name.eq_ignore_ascii_case("HEAD") {
        return "GET";
    }
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(name)).unwrap_or(name)
}

/// What a request holds of a key's part.
pub(super) enum Found<'a> {
    None,
    One(Value<'a>),
    /// Different ones, of each of which there is one; not many more than [`MAX_CLIENTS`].
    Several(Vec<Value<'a>>),
}

impl<'a> From<Option<&'a str>> for Found<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::None, |value| Self::One(Value::Plain(value)))
    }
}

/// A request, as a key is resolved against it.
pub(super) struct Request<'r> {
    pub(super) facts: &'r Facts<'r>,
    /// The template of the rule.
    pub(super) path: &'r Paths,
    pub(super) ipv6_prefix: u8,
    pub(super) on_missing: OnMissing,
}

impl<'r> Request<'r> {
    /// Returns what the request holds of a part.
    pub(super) fn find(&self, part: &'r KeyPart) -> Found<'r> {
        let facts = self.facts;
        match part {
            KeyPart::ClientIp => Found::One(Value::Address(facts.client.address, self.ipv6_prefix)),
            KeyPart::Header(name) => header_value(facts, name),
            KeyPart::Cookie(name) => cookie(facts, name),
            KeyPart::Query(name) => query(facts.query.text(), name),
            KeyPart::Path(name) => path_param(facts, self.path, name).into(),
            KeyPart::Host => Some(facts.host).filter(|host| !host.is_empty()).into(),
            KeyPart::Method => Found::One(Value::Plain(method(facts.method))),
            KeyPart::TlsSan => facts.own_names().first().map(String::as_str).into(),
            KeyPart::FirstOf(parts) => self.find_first(parts),
        }
    }

    /// Returns what the request holds of the first part that it has. The same secret is one client wherever it was sent: a
    /// key in a header or in a parameter.
    fn find_first(&self, parts: &'r [KeyPart]) -> Found<'r> {
        for (index, part) in parts.iter().enumerate() {
            match self.find(part) {
                Found::None => {}
                Found::One(Value::Plain(value)) if index > 0 => {
                    return Found::One(Value::PlainChoice(index, value));
                }
                Found::One(Value::Address(address, ipv6_prefix)) if index > 0 => {
                    return Found::One(Value::AddressChoice(index, address, ipv6_prefix));
                }
                found => return found,
            }
        }
        Found::None
    }

    /// Returns what stands for a part that the request lacks.
    pub(super) fn stand_in(&self, part: &KeyPart) -> Result<Value<'r>, Resolved> {
        match self.on_missing {
            OnMissing::ClientIp => Ok(Value::StandIn(self.facts.client.address, self.ipv6_prefix)),
            OnMissing::Shared => Ok(Value::Shared),
            OnMissing::Skip => Err(Resolved::Skip),
            OnMissing::Reject => Err(Resolved::Reject(part.to_string())),
        }
    }
}

/// The different values among `values`; empty ones count as nothing.
fn distinct<'a>(values: impl Iterator<Item = Cow<'a, [u8]>>) -> Found<'a> {
    let mut values = values.filter(|value| !value.is_empty());
    let Some(first) = values.next() else { return Found::None };
    match values.find(|value| *value != first) {
        None => Found::One(Value::Secret(first)),
        Some(second) => several(first, second, values),
    }
}

#[cold]
fn several<'a>(
    first: Cow<'a, [u8]>,
    second: Cow<'a, [u8]>,
    rest: impl Iterator<Item = Cow<'a, [u8]>>,
) -> Found<'a> {
    let mut values = vec![first, second];
    for value in rest {
        if values.len() <= MAX_CLIENTS && !values.contains(&value) {
            values.push(value);
        }
    }
    Found::Several(values.into_iter().map(Value::Secret).collect())
}

fn header_value<'a>(facts: &Facts<'a>, name: &HeaderName) -> Found<'a> {
    let values = facts.headers.get_all(name).iter();
    distinct(values.map(|value| value.as_bytes().trim_ascii().into()))
}

/// As applications read cookies: with blanks around the name and quotes around the value.
fn cookie<'a>(facts: &Facts<'a>, name: &str) -> Found<'a> {
    let lines = facts.headers.get_all(header::COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|&b| b == b';'));
    distinct(pairs.filter_map(|pair| {
        let at = pair.iter().position(|&b| b == b'=')?;
        let (found, value) = pair.split_at(at);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        (found.trim_ascii() == name.as_bytes()).then_some(bare.into())
    }))
}

fn query<'a>(query: &'a str, name: &str) -> Found<'a> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    distinct(pairs.map(|(_, value)| match value {
        Cow::Borrowed(value) => Cow::Borrowed(value.as_bytes()),
        Cow::Owned(value) => Cow::Owned(value.into_bytes()),
    }))
}

fn path_param<'a>(facts: &Facts<'a>, path: &'a Paths, name: &str) -> Option<&'a str> {
    path.captures(facts.path)?.into_iter().find(|(param, _)| *param == name).map(|(_, value)| value)
}
