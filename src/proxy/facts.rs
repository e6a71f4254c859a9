//! What a request is about, read in one way only; what could be read in two is refused. Pure.

use std::net::IpAddr;

use http::{HeaderMap, Method, Request, StatusCode, Version, header};

use crate::policy::client::ClientIdentity;
use crate::policy::path::{Ambiguous, canonical};
use crate::policy::{Facts, path};

/// Why a request is refused before any rule is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// CONNECT asks for a tunnel to somewhere else, TRACE shows our own headers to whoever asks.
    #[error("the method {0} is not forwarded")]
    Method(Method),
    /// HTTP/1.1 demands a Host (RFC 9112, section 3.2).
    #[error("the request names no host")]
    NoHost,
    /// Two hosts, or the target's and the Host header's differ.
    #[error("the request names more than one host")]
    TwoHosts,
    /// The host holds something else than a name or an address, and a port.
    #[error("the request's host is not valid")]
    BadHost,
    /// See [`Ambiguous`].
    #[error(transparent)]
    Path(#[from] path::Ambiguous),
    /// The query cannot be forwarded.
    #[error("the query holds a character that no URI can hold")]
    Query,
    /// The rule's key needs this, and the request lacks it.
    #[error("the request must carry {0}, once and not empty")]
    MissingKey(String),
}

impl Refused {
    /// The status to answer with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        if matches!(self, Self::Method(_)) { StatusCode::METHOD_NOT_ALLOWED } else { StatusCode::BAD_REQUEST }
    }
}

/// What a request asks for: matched by the rules as it stands here, and forwarded as it stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host as the client wrote it, with the port if it gave one; empty if HTTP/1.0 named none.
    pub authority: String,
    /// The host in lower case, without port and trailing dot.
    pub host: String,
    /// The canonical path.
    pub path: String,
    /// The query without the question mark.
    pub query: Option<String>,
}

impl Target {
    /// Reads the target of a request.
    ///
    /// # Errors
    /// When the request can be read in more than one way, or asks for what no origin serves.
    pub fn of<B>(request: &Request<B>) -> Result<Self, Refused> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(Refused::Method(request.method().clone()));
        }
        let authority = authority(request)?;
        let host = host(authority)?.to_ascii_lowercase();
        let uri = request.uri();
        // The empty path of an absolute-form target means the root (RFC 9112, section 3.2.1).
        let raw = if uri.path().is_empty() { "/" } else { uri.path() };
        if raw == "*" && request.method() != Method::OPTIONS {
            return Err(Ambiguous::NotAbsolute.into());
        }
        let path = canonical(raw)?.into_owned();
        let query = uri.query().map(str::to_owned);
        if query.as_ref().is_some_and(|query| query.bytes().any(|b| b.is_ascii_control())) {
            return Err(Refused::Query);
        }
        Ok(Self { authority: authority.to_owned(), host, path, query })
    }

    /// All that the rules may ask about the request.
    #[must_use]
    pub fn facts<'a, B>(
        &'a self,
        request: &'a Request<B>,
        peer: IpAddr,
        client: &ClientIdentity,
    ) -> Facts<'a> {
        Facts {
            method: request.method(),
            host: &self.host,
            path: &self.path,
            query: self.query.as_deref().unwrap_or_default(),
            headers: request.headers(),
            peer: peer.to_canonical(),
            client: client.address(peer, request.headers()),
        }
    }
}

/// The one host that the request names.
fn authority<B>(request: &Request<B>) -> Result<&str, Refused> {
    let from_header = host_header(request.headers())?;
    let from_target = request.uri().authority().map(http::uri::Authority::as_str);
    match (from_target, from_header) {
        (Some(target), Some(header)) if !target.eq_ignore_ascii_case(header) => Err(Refused::TwoHosts),
        (Some(one), _) | (None, Some(one)) => Ok(one),
        (None, None) if request.version() == Version::HTTP_10 => Ok(""),
        (None, None) => Err(Refused::NoHost),
    }
}

fn host_header(headers: &HeaderMap) -> Result<Option<&str>, Refused> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refused::TwoHosts);
    }
    first.to_str().map(Some).map_err(|_| Refused::BadHost)
}

/// The name or address in `authority`, without the port and a trailing dot.
fn host(authority: &str) -> Result<&str, Refused> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) => {
            address.parse::<std::net::Ipv6Addr>().map_err(|_| Refused::BadHost)?;
            (address, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    let digits = port.strip_prefix(':').unwrap_or(port);
    let port_ok = port.is_empty() || port.starts_with(':') && digits.bytes().all(|b| b.is_ascii_digit());
    // An empty Host is legal where the target has no authority; it is no name that a rule could ask for.
    if !host.bytes().all(name) || !port_ok {
        return Err(Refused::BadHost);
    }
    Ok(host.strip_suffix('.').unwrap_or(host))
}
