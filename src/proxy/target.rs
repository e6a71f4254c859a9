//! Reads the target of a request in one way only, and refuses a request that could be read in two. Pure.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};

use crate::bounds::Bounds;
use crate::metrics::Bound;
use crate::policy::path::{Ambiguous, PathPolicy, canonical, decoded, matched};
use crate::policy::{host, path};

/// Why a request is refused before any rule is checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    /// CONNECT is for a tunnel to another host, and TRACE would show tidegate's own fields to any client.
    #[error("the method {0} is not forwarded")]
    Method(Method),
    /// A transfer coding other than chunked. tidegate cannot decode it, and must not pass it to the next hop.
    #[error("the transfer coding is not supported")]
    TransferCoding,
    /// `GET host HTTP/1.1`: a form for CONNECT only (RFC 9112, section 3.2.3).
    #[error("the request's target is neither a path nor a URI")]
    Form,
    /// Path and query are longer than [`Bounds::target_bytes`].
    #[error("the request's target is too long")]
    LongTarget,
    /// All fields together are longer than [`Bounds::header_bytes`].
    #[error("the request's header is too long")]
    LongHeader,
    /// There are more fields than [`Bounds::header_fields`].
    #[error("the request has too many header fields")]
    ManyFields,
    /// HTTP/1.1 requires Host (RFC 9112, section 3.2).
    #[error("the request names no host")]
    NoHost,
    /// There are two hosts, or the target's host and that of the Host field differ.
    #[error("the request names more than one host")]
    TwoHosts,
    /// The host is not a name or an address, with a port or without.
    #[error("the request's host is not valid")]
    BadHost,
    /// See [`Ambiguous`].
    #[error(transparent)]
    Path(#[from] path::Ambiguous),
    /// The query cannot be forwarded.
    #[error("the query holds a character that no URI can hold")]
    Query,
}

impl RequestError {
    /// Returns the status of the response.
    #[must_use]
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::LongTarget => StatusCode::URI_TOO_LONG,
            Self::LongHeader | Self::ManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns the bound that was reached, if any.
    #[must_use]
    pub(super) fn bound(&self) -> Option<Bound> {
        match self {
            Self::LongTarget => Some(Bound::TargetBytes),
            Self::LongHeader => Some(Bound::HeaderBytes),
            Self::ManyFields => Some(Bound::HeaderFields),
            _ => None,
        }
    }
}

/// The target of a request: the part that rules match, and the part that is forwarded. What is the same in both is held
/// once, and shares its bytes with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The host as the client sent it, with its port if it has one. Empty: a request over HTTP/1.0 without a host.
    pub(super) authority: HeaderValue,
    /// The host that rules match. None: it is the `authority`.
    host: Option<String>,
    /// The part that is forwarded: the canonical path, and the query as it arrived.
    pub(super) path_and_query: PathAndQuery,
    /// The paths that rules match. None: it is the one that is forwarded.
    paths: Option<Box<MatchedPaths>>,
}

/// The paths that rules match, where that is not the forwarded path alone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct MatchedPaths {
    as_sent: String,
    /// See [`decoded`].
    decoded: Option<String>,
}

impl Target {
    /// Reads the target of a request.
    ///
    /// # Errors
    /// When the request can be read in more than one way, or cannot be forwarded.
    pub(super) fn of<B>(
        request: &Request<B>,
        reading: &PathPolicy,
        bounds: &Bounds,
    ) -> Result<Self, RequestError> {
        if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
            return Err(RequestError::Method(request.method().clone()));
        }
        let uri = request.uri();
        if uri.path_and_query().is_some_and(|target| target.as_str().len() > bounds.target_bytes) {
            return Err(RequestError::LongTarget);
        }
        if uri.authority().is_some() && uri.scheme().is_none() {
            return Err(RequestError::Form);
        }
        let authority = authority(request)?;
        let text = authority.to_str().map_err(|_| RequestError::BadHost)?;
        let name = host::name(text).ok_or(RequestError::BadHost)?;
        let same = name.len() == text.len() && !name.bytes().any(|b| b.is_ascii_uppercase());
        let host = (!same).then(|| name.to_ascii_lowercase());
        // The empty path of an absolute-form target means the root (RFC 9112, section 3.2.1).
        let raw = if uri.path().is_empty() { "/" } else { uri.path() };
        if raw == "*" && request.method() != Method::OPTIONS {
            return Err(Ambiguous::NotAbsolute.into());
        }
        let path = canonical(raw, reading)?;
        if uri.query().is_some_and(|query| query.bytes().any(|b| b.is_ascii_control())) {
            return Err(RequestError::Query);
        }
        let path_and_query = match (&path, uri.path_and_query(), uri.query()) {
            // Nothing of the target changes: the clone shares its bytes.
            (Cow::Borrowed(path), Some(target), _) if *path == target.path() => Ok(target.clone()),
            (path, _, Some(query)) => PathAndQuery::try_from(format!("{path}?{query}")),
            (path, _, None) => PathAndQuery::try_from(&**path),
        };
        // Escapes make the target longer.
        let path_and_query = path_and_query.map_err(|_| RequestError::LongTarget)?;
        let decoded = match &path {
            // It has no escape in it.
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => decoded(path, reading),
        };
        let paths = MatchedPaths::of(&path, decoded.as_deref(), path_and_query.path(), reading);
        let paths = paths.map(Box::new);
        Ok(Self { authority, host, path_and_query, paths })
    }

    /// Returns the host that rules match: in lower case, without port and trailing dot.
    pub(super) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or_else(|| self.authority.to_str().unwrap_or_default())
    }

    /// Returns the path that rules match: see [`matched`].
    pub(super) fn path(&self) -> &str {
        self.paths.as_ref().map_or(self.path_and_query.path(), |paths| &paths.as_sent)
    }

    /// Returns the path that rules match as well: the same with its encoded separators decoded.
    pub(super) fn decoded_path(&self) -> Option<&str> {
        self.paths.as_ref()?.decoded.as_deref()
    }
}

impl MatchedPaths {
    /// Returns what rules match of both readings of a path. None: they match what is `forwarded`, and nothing else.
    fn of(canonical: &str, decoded: Option<&str>, forwarded: &str, reading: &PathPolicy) -> Option<Self> {
        let as_sent = matched(canonical, reading);
        let decoded = decoded.map(|decoded| matched(decoded, reading).into_owned());
        (decoded.is_some() || *as_sent != *forwarded).then(|| Self { as_sent: as_sent.into_owned(), decoded })
    }
}

/// Returns the one host of the request.
fn authority<B>(request: &Request<B>) -> Result<HeaderValue, RequestError> {
    let from_header = host_header(request.headers())?;
    let from_target = request.uri().authority().map(http::uri::Authority::as_str);
    match (from_target, from_header) {
        (Some(target), Some((header, _))) if !same_host(target, header, request.uri().scheme_str()) => {
            Err(RequestError::TwoHosts)
        }
        // Host is required beside an absolute URI too (RFC 9112, section 3.2).
        (Some(_), None) if request.version() == Version::HTTP_11 => Err(RequestError::NoHost),
        (_, Some(("", _))) => Err(RequestError::BadHost),
        (Some(target), _) => HeaderValue::from_str(target).map_err(|_| RequestError::BadHost),
        (None, Some((_, value))) => Ok(value.clone()),
        (None, None) if request.version() == Version::HTTP_10 => Ok(HeaderValue::from_static("")),
        (None, None) => Err(RequestError::NoHost),
    }
}

/// Returns whether two authorities are the same one, in upper or lower case, with the scheme's default port or without
/// it (RFC 9110, section 4.2.3).
fn same_host(one: &str, other: &str, scheme: Option<&str>) -> bool {
    let port = if scheme == Some("https") { ":443" } else { ":80" };
    let bare = |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_ascii_lowercase();
    one.eq_ignore_ascii_case(other) || bare(one) == bare(other)
}

/// Returns the value of the Host field, as text and as it is.
fn host_header(headers: &HeaderMap) -> Result<Option<(&str, &HeaderValue)>, RequestError> {
    let mut values = headers.get_all(header::HOST).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(RequestError::TwoHosts);
    }
    let text = first.to_str().map_err(|_| RequestError::BadHost)?;
    Ok(Some((text, first)))
}
