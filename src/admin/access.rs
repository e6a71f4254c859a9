//! Which requests may come in: their `Host`, their origin, and their token. Nothing is read but the head of the request.

use std::net::IpAddr;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, Uri, header};
use subtle::{Choice, ConstantTimeEq as _};

use crate::settings::{AdminSettings, AdminToken, Role};

/// Fetch metadata: where a browser's request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// `Host` has a name that a web page could have made resolve to this address (DNS rebinding).
    Host,
    /// A web page from elsewhere sends it (cross-site request forgery).
    Origin,
    /// It has no token, or one that cannot be read.
    NoToken,
    /// It has a token that is not configured.
    WrongToken,
}

/// Returns whether the page that sends the request, if one does, comes from this listener.
pub(super) fn check_origin(uri: &Uri, headers: &HeaderMap, hosts: &[String]) -> Result<(), Denied> {
    let own = host(uri, headers).filter(|own| is_allowed(own, hosts)).ok_or(Denied::Host)?;
    let same_site = |value: &http::HeaderValue| matches!(value.as_bytes(), b"same-origin" | b"none");
    if !headers.get_all(SEC_FETCH_SITE).iter().all(same_site) {
        return Err(Denied::Origin);
    }
    let is_own = |value: &http::HeaderValue| {
        let origin = value.to_str().ok().and_then(|text| text.parse::<Uri>().ok());
        origin.as_ref().and_then(Uri::authority) == Some(&own)
    };
    if headers.get_all(header::ORIGIN).iter().all(is_own) { Ok(()) } else { Err(Denied::Origin) }
}

/// The one host that the request names. In the target and in `Host` it must be the same.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter().map(|value| value.to_str().ok()?.parse().ok());
    let named: Option<Authority> = match hosts.next() {
        Some(host) => Some(host?),
        None => None,
    };
    let target = uri.authority().cloned();
    match (named, target, hosts.next()) {
        (Some(named), None, None) => Some(named),
        (None, Some(target), None) => Some(target),
        (Some(named), Some(target), None) if named == target => Some(named),
        _ => None,
    }
}

/// Returns whether a web page cannot have chosen the name: an IP address is where it was loaded from, and browsers resolve
/// `localhost` themselves.
fn is_allowed(host: &Authority, hosts: &[String]) -> bool {
    let name = host.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
}

/// Returns the token that a request has. None: none is configured, so it needs none.
pub(super) fn check_token<'t>(
    headers: &HeaderMap,
    settings: &'t AdminSettings,
) -> Result<Option<&'t AdminToken>, Denied> {
    if settings.tokens.is_empty() {
        return Ok(None);
    }
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return Err(Denied::NoToken) };
    let (scheme, token) = field.as_bytes().split_at_checked(BEARER.len()).ok_or(Denied::NoToken)?;
    if !scheme.eq_ignore_ascii_case(BEARER) {
        return Err(Denied::NoToken);
    }
    let hash = blake3::hash(token.trim_ascii());
    // All are compared, each of them in constant time: how long it takes says nothing about any of them.
    let mut found = None;
    for token in &settings.tokens {
        let same: Choice = hash.as_bytes()[..].ct_eq(token.hash.expose());
        if same.into() {
            found = Some(token);
        }
    }
    found.map(Some).ok_or(Denied::WrongToken)
}

const BEARER: &[u8] = b"Bearer ";

/// The sender of an admitted request.
#[derive(Clone, Debug)]
pub(super) struct Author {
    /// The name of its token.
    pub(super) name: String,
    /// What it may do.
    pub(super) role: Role,
    /// Its address.
    pub(super) peer: std::net::SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Redacted;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    fn checked(uri: &'static str, fields: &[(&'static str, &'static str)]) -> Result<(), Denied> {
        check_origin(&Uri::from_static(uri), &headers(fields), &["admin.prod.svc".to_owned()])
    }

    #[test]
    fn hosts_that_no_page_can_have_chosen() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9901",
            "[::1]:9901",
            "10.1.2.3:80",
            "localhost:9901",
            "LocalHost",
            "localhost.",
            "admin.prod.svc:9901",
            "ADMIN.prod.svc",
        ] {
            assert_eq!(checked("/v1/status", &[("host", host)]), Ok(()), "{host}");
        }
    }

    #[test]
    fn hosts_that_a_page_can_have_chosen() {
        for host in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "prod.svc", "0x7f.1", ""]
        {
            assert_eq!(checked("/v1/status", &[("host", host)]), Err(Denied::Host), "{host}");
        }
        assert_eq!(checked("/v1/status", &[]), Err(Denied::Host), "without a host");
    }

    #[test]
    fn every_host_that_is_named_counts() {
        let two = [("host", "127.0.0.1"), ("host", "evil.example")];
        assert_eq!(checked("/v1/status", &two), Err(Denied::Host));
        assert_eq!(checked("http://evil.example/", &[("host", "127.0.0.1")]), Err(Denied::Host));
        assert_eq!(checked("http://127.0.0.1:1/", &[]), Ok(()), "HTTP/2 has it in the target");
        assert_eq!(checked("http://evil.example/", &[]), Err(Denied::Host));
    }

    #[test]
    fn pages_from_elsewhere_are_denied() {
        let host = ("host", "127.0.0.1:9901");
        for origin in ["http://evil.example", "null", "http://127.0.0.1:8080", "https://127.0.0.1", ""] {
            assert_eq!(checked("/", &[host, ("origin", origin)]), Err(Denied::Origin), "{origin}");
        }
        assert_eq!(checked("/", &[host, ("origin", "http://127.0.0.1:9901")]), Ok(()));
        assert_eq!(checked("/", &[host, ("sec-fetch-site", "cross-site")]), Err(Denied::Origin));
        assert_eq!(checked("/", &[host, ("sec-fetch-site", "same-site")]), Err(Denied::Origin));
        assert_eq!(checked("/", &[host, ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(checked("/", &[host, ("sec-fetch-site", "none")]), Ok(()));
    }

    fn token(name: &str, token: &str) -> AdminToken {
        let hash = Redacted::new(blake3::hash(token.as_bytes()).into());
        AdminToken { name: name.to_owned(), role: Role::Read, hash }
    }

    #[test]
    fn each_token_has_its_name() {
        let tokens = vec![token("one", "first"), token("two", "second")];
        let settings = AdminSettings { tokens, ..AdminSettings::default() };
        let name = |field| {
            let found = check_token(&headers(&[("authorization", field)]), &settings);
            found.map(|token| token.map_or("", |token| &token.name))
        };
        assert_eq!(name("Bearer first"), Ok("one"));
        assert_eq!(name("bearer second"), Ok("two"));
        for wrong in ["Bearer third", "Bearer ", "Bearer firs", "Bearer firstt", "Bearer first second"] {
            assert_eq!(name(wrong), Err(Denied::WrongToken), "{wrong}");
        }
        for none in ["Basic first", "first", "Bearerfirst", ""] {
            assert_eq!(name(none), Err(Denied::NoToken), "{none}");
        }
        let two = headers(&[("authorization", "Bearer first"), ("authorization", "Bearer second")]);
        assert_eq!(check_token(&two, &settings), Err(Denied::NoToken));
    }

    #[test]
    fn without_tokens_every_request_is_admitted() {
        let fields = headers(&[("authorization", "Bearer anything")]);
        assert_eq!(check_token(&fields, &AdminSettings::default()), Ok(None));
    }
}
