//! Who is let through without a check.

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use subtle::ConstantTimeEq;

use super::Facts;
use super::networks::Networks;
use super::paths::Paths;
use crate::redacted::Redacted;

/// One way past the limiter.
#[derive(Clone, Debug)]
pub struct Bypass {
    /// Its name in metrics and logs.
    pub name: std::sync::Arc<str>,
    /// What must hold.
    pub on: Condition,
}

/// What lets a request through.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The path matches one of these.
    Paths(Paths),
    /// The client's address is in one of these, behind trusted proxies too.
    Clients(Networks),
    /// The request comes straight from one of these networks. An address that a header claims never counts,
    /// so neither does a request that a trusted proxy forwards for somebody else.
    Networks(Vec<IpNet>),
    /// This header, sent once, holds the secret.
    Secret {
        /// The header's name.
        header: HeaderName,
        /// Hash of the secret: its length does not show in the time to compare.
        hash: Redacted<[u8; 32]>,
    },
    /// One of the verified names in the client's certificate is one of these. As with networks, what a trusted
    /// proxy forwards for somebody else does not pass by the proxy's own name.
    Names(Vec<NamePattern>),
}

/// A name in a certificate, or what it starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// `spiffe://prod/ns/jobs/sa/nightly`: a URI, to the letter.
    Uri(Box<str>),
    /// `batch.example.com`: a DNS name, in which case makes no difference.
    Dns(Box<str>),
    /// `spiffe://prod/ns/jobs/*`, kept without the star: at least one character more.
    Start(Box<str>),
}

impl NamePattern {
    fn admits(&self, name: &str) -> bool {
        match self {
            Self::Uri(uri) => **uri == *name,
            Self::Dns(dns) => dns.eq_ignore_ascii_case(name),
            Self::Start(start) => name.len() > start.len() && name.starts_with(&**start),
        }
    }
}

impl Condition {
    /// Describes what a request lacks that it does not let through.
    #[must_use]
    pub(crate) fn lacking(&self) -> String {
        match self {
            Self::Paths(paths) => format!("no match: {}", super::condition::Condition::Path(paths)),
            Self::Clients(networks) => {
                format!("no match: {}", super::condition::Condition::Clients(networks))
            }
            Self::Networks(_) => {
                "no match: cidrs (the peer, where it is not a trusted proxy that names a client)".to_owned()
            }
            Self::Names(_) => "no match: client_san (the names in the peer's certificate)".to_owned(),
            Self::Secret { header, .. } => format!("no match: header {header} (its secret, once)"),
        }
    }

    /// Returns whether every request that `other` lets through passes by this one too. `false` may be wrong.
    #[must_use]
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Paths(mine), Self::Paths(theirs)) => mine.cover(theirs),
            (Self::Clients(mine), Self::Clients(theirs)) => theirs.are_within(mine),
            (Self::Networks(mine), Self::Networks(theirs)) => {
                theirs.iter().all(|theirs| mine.iter().any(|mine| mine.contains(theirs)))
            }
            (Self::Names(mine), Self::Names(theirs)) => theirs.iter().all(|name| mine.contains(name)),
            _ => false,
        }
    }

    /// The condition that `header` holds `secret`.
    #[must_use]
    pub fn secret(header: HeaderName, secret: &[u8]) -> Self {
        Self::Secret { header, hash: Redacted::new(blake3::hash(secret).into()) }
    }
}

impl Bypass {
    /// Whether the request may pass.
    #[must_use]
    pub fn admits(&self, facts: &Facts<'_>) -> bool {
        match &self.on {
            Condition::Paths(paths) => paths.matches(facts.path),
            Condition::Clients(networks) => networks.contains(facts.client.address),
            Condition::Networks(networks) => {
                facts.client.direct && networks.iter().any(|network| network.contains(&facts.client.peer))
            }
            Condition::Names(patterns) => {
                facts.own_names().iter().any(|name| patterns.iter().any(|pattern| pattern.admits(name)))
            }
            Condition::Secret { header, .. } => {
                only(facts.headers, header).is_some_and(|value| self.is_secret(value.as_bytes()))
            }
        }
    }

    /// The field that holds its secret. None: it goes by something else.
    #[must_use]
    pub fn header(&self) -> Option<&HeaderName> {
        match &self.on {
            Condition::Secret { header, .. } => Some(header),
            _ => None,
        }
    }

    /// Whether this value of its field is its secret.
    fn is_secret(&self, value: &[u8]) -> bool {
        let Condition::Secret { hash, .. } = &self.on else { return false };
        blake3::hash(value).as_bytes()[..].ct_eq(hash.expose()).into()
    }
}

/// The value of a field that comes once.
fn only<'h>(headers: &'h HeaderMap, header: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(header).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether this value of `header` is the secret of one of the bypasses.
fn is_a_secret(bypasses: &[Bypass], header: &HeaderName, value: &[u8]) -> bool {
    bypasses.iter().any(|bypass| bypass.header() == Some(header) && bypass.is_secret(value))
}

/// The bypasses whose field the request has, but not once with a secret of theirs, or of another one that reads the
/// same field.
pub(crate) fn rejecting<'b>(bypasses: &'b [Bypass], headers: &HeaderMap) -> impl Iterator<Item = &'b Bypass> {
    bypasses.iter().filter(|bypass| {
        bypass.header().filter(|header| headers.contains_key(*header)).is_some_and(|header| {
            !only(headers, header).is_some_and(|value| is_a_secret(bypasses, header, value.as_bytes()))
        })
    })
}

/// Removes the secrets from what is forwarded. Other values of their fields stay: a field may be the upstream's own.
pub(crate) fn remove_secrets(bypasses: &[Bypass], headers: &mut HeaderMap) {
    for header in bypasses.iter().filter_map(Bypass::header) {
        // With blanks around it, as HTTP/2 may bring it, it lets nothing through; an upstream of HTTP/1 drops them.
        let is_other = |value: &&HeaderValue| !is_a_secret(bypasses, header, value.as_bytes().trim_ascii());
        if headers.get_all(header).iter().all(|value| is_other(&value)) {
            continue;
        }
        let others: Vec<HeaderValue> = headers.get_all(header).iter().filter(is_other).cloned().collect();
        headers.remove(header);
        for value in others {
            headers.append(header, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::Condition;

    #[test]
    fn debug_shows_no_part_of_a_secret() {
        let condition = Condition::secret(HeaderName::from_static("x-secret"), b"hunter2");
        assert_eq!(format!("{condition:?}"), r#"Secret { header: "x-secret", hash: Redacted(..) }"#);
    }
}
