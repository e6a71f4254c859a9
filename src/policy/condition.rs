//! One condition of a rule: whether it holds, and what follows from it.

use std::fmt;

use http::{HeaderName, Method};

use super::Facts;
use super::header;
use super::holds::Holds;
use super::host_pattern::HostPattern;
use super::networks::Networks;
use super::paths::Paths;
use super::pattern::ValuePattern;

/// A condition of a rule.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'m> {
    /// The path is one of these.
    Path(&'m Paths),
    /// The method is one of these; GET stands for HEAD too.
    Methods(&'m [Method]),
    /// The host is one of these.
    Hosts(&'m [HostPattern]),
    /// The header has such a value.
    Header(&'m HeaderName, &'m ValuePattern),
    /// The query parameter has such a value.
    Query(&'m str, &'m ValuePattern),
    /// The client's address is in one of these.
    Clients(&'m Networks),
    /// The request is an upgrade to WebSocket, or is none.
    WebSocket(bool),
}

/// Every upgrade to WebSocket is a GET, over HTTP/1.1 (RFC 6455, section 4.1), and as it is matched over HTTP/2.
const UPGRADE: Method = Method::GET;

impl Condition<'_> {
    /// Returns whether it holds for a request.
    #[must_use]
    pub fn holds(&self, facts: &Facts<'_>) -> Holds {
        match self {
            Self::Path(paths) => paths.matches(facts.path).into(),
            Self::Methods(methods) => has_method(methods, facts.method).into(),
            Self::Hosts(hosts) => has_host(hosts, facts.host).into(),
            Self::Header(name, pattern) => header::holds(name, pattern, facts.headers),
            Self::Query(name, pattern) => facts.query.holds(name, pattern),
            Self::Clients(networks) => networks.contains(facts.client.address).into(),
            Self::WebSocket(wanted) => (*wanted == facts.websocket).into(),
        }
    }

    /// Returns whether `other` holds for each request for which this one holds. `false` may be wrong.
    #[must_use]
    pub(super) fn implies(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Path(mine), Self::Path(theirs)) => theirs.cover(mine),
            (Self::Methods(mine), Self::Methods(theirs)) => {
                mine.iter().all(|method| has_method(theirs, method))
            }
            (Self::Hosts(mine), Self::Hosts(theirs)) => {
                mine.iter().all(|mine| theirs.iter().any(|theirs| theirs.covers(mine)))
            }
            (Self::Header(mine, pattern), Self::Header(theirs, demanded)) => {
                mine == theirs && pattern.implies(demanded)
            }
            (Self::Query(mine, pattern), Self::Query(theirs, demanded)) => {
                mine == theirs && pattern.implies(demanded)
            }
            (Self::Clients(mine), Self::Clients(theirs)) => mine.are_within(theirs),
            (Self::WebSocket(mine), Self::WebSocket(theirs)) => mine == theirs,
            (Self::WebSocket(true), Self::Methods(methods)) => has_method(methods, &UPGRADE),
            (Self::Methods(methods), Self::WebSocket(false)) => !has_method(methods, &UPGRADE),
            _ => false,
        }
    }

    /// Returns whether the two never hold for one request. `false` may be wrong.
    #[must_use]
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Methods(mine), Self::Methods(theirs)) => {
                let apart = |one: &[Method], two: &[Method]| !one.iter().any(|each| has_method(two, each));
                apart(mine, theirs) && apart(theirs, mine)
            }
            (Self::Clients(mine), Self::Clients(theirs)) => mine.are_apart_from(theirs),
            (Self::WebSocket(mine), Self::WebSocket(theirs)) => mine != theirs,
            (Self::WebSocket(true), Self::Methods(methods))
            | (Self::Methods(methods), Self::WebSocket(true)) => !has_method(methods, &UPGRADE),
            _ => false,
        }
    }
}

/// In the words of the configuration, on one line.
impl fmt::Display for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(paths) => list(f, "path", paths.templates().iter()),
            Self::Methods(methods) => list(f, "methods", methods.iter()),
            Self::Hosts(hosts) => list(f, "hosts", hosts.iter()),
            Self::Header(name, pattern) => write!(f, "headers {name}: {pattern}"),
            Self::Query(name, pattern) => write!(f, "query {name}: {pattern}"),
            Self::Clients(networks) => list(f, "clients", networks.iter()),
            Self::WebSocket(wanted) => write!(f, "websocket: {wanted}"),
        }
    }
}

/// Writes the first items of a list, and how many there are besides.
fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    key: &str,
    items: impl ExactSizeIterator<Item = T>,
) -> fmt::Result {
    const SHOWN: usize = 3;
    let more = items.len().saturating_sub(SHOWN);
    f.write_str(key)?;
    for (index, item) in items.take(SHOWN).enumerate() {
        write!(f, "{} {item}", if index == 0 { "" } else { "," })?;
    }
    if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
}

/// Returns whether one of these methods is the given one.
pub(super) fn has_method(methods: &[Method], method: &Method) -> bool {
    // Methods differ by case (RFC 9110, section 9.1), but there are applications that do not know.
    let listed = |method: &str| methods.iter().any(|each| each.as_str().eq_ignore_ascii_case(method));
    listed(method.as_str()) || (method.as_str().eq_ignore_ascii_case("HEAD") && listed("GET"))
}

/// Returns whether one of these patterns admits the host.
pub(super) fn has_host(hosts: &[HostPattern], host: &str) -> bool {
    hosts.iter().any(|pattern| pattern.admits(host))
}
