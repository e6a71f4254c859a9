//! Who shares a counter: a rule's key, resolved against a request.
//!
//! The outcome is one text of a plain alphabet, the same on every instance. Addresses, methods and the like
//! stand as they are; what may be a secret, is long, or holds other characters stands as a keyed hash. Parts
//! are joined by `,`, hashes start with `~`, stand-ins for something missing with `!` or `@`, values of a further
//! choice with `1=`, `2=` ...: no value can spell another.

mod client_id;
mod combinations;
mod values;

use std::fmt;

use http::HeaderName;

use super::Facts;
use super::paths::Paths;
use crate::redacted::Redacted;
pub(crate) use client_id::ClientIdError;
pub(super) use values::spellings;
use values::{Found, Request};

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
    /// All values of the first of these parts that the request has; none of them is such a list itself.
    FirstOf(Box<[Self]>),
}

impl KeyPart {
    /// Returns the parts that it reads: itself, unless it is a list.
    pub(crate) fn read(&self) -> &[Self] {
        match self {
            Self::FirstOf(parts) => parts,
            part => std::slice::from_ref(part),
        }
    }
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
            Self::FirstOf(parts) => {
                let parts: Vec<String> = parts.iter().map(Self::to_string).collect();
                write!(f, "one of {}", parts.join(", "))
            }
        }
    }
}

/// What stands for a part that the request lacks, or has empty.
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
    /// Several of them, up to four: parts have different values, and an upstream may take any of them. All are
    /// charged, so that no value is a way out of the counter of another.
    Clients(Vec<String>),
    /// The rule does not apply to this request.
    Skip,
    /// The request is to be refused: it lacks this part.
    Reject(String),
    /// The request is to be refused: with the values of this part there are more than four clients.
    TooMany(String),
}

/// The most counters of one limit that one request is charged to.
pub(crate) const MAX_CLIENTS: usize = 4;

/// Room for the counter's key, which the client's part becomes, where its values are of the usual length.
const KEY_BYTES: usize = 96;

impl KeySpec {
    /// The key of one request. `path` are the rule's paths.
    #[must_use]
    pub fn resolve(&self, facts: &Facts<'_>, path: &Paths, ipv6_prefix: u8, hash_key: &HashKey) -> Resolved {
        let request = Request { facts, path, ipv6_prefix, on_missing: self.on_missing };
        let mut text = String::with_capacity(KEY_BYTES);
        let mut parts = self.parts.iter();
        while let Some(part) = parts.next() {
            if !text.is_empty() {
                text.push(',');
            }
            match request.find(part) {
                Found::One(value) => value.push_to(&mut text, hash_key),
                Found::None => match request.stand_in(part) {
                    Ok(value) => value.push_to(&mut text, hash_key),
                    Err(resolved) => return resolved,
                },
                Found::Several(values) => {
                    return combinations::resolve(&request, hash_key, text, (part, values), parts.as_slice());
                }
            }
        }
        if text.is_empty() {
            text.push('*');
        }
        Resolved::Client(text)
    }
}

#[cfg(test)]
mod tests {
    use super::HashKey;

    #[test]
    fn debug_shows_no_part_of_the_key() {
        assert_eq!(format!("{:?}", HashKey::new(b"hunter2")), "HashKey(Redacted(..))");
    }
}
