//! What is taken off, put on and passed along on the way through.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::target::{RequestError, Target};
use crate::bounds::Bounds;
use crate::connection::Connection;
use crate::limiter::Standing;
use crate::policy::Rule;
use crate::policy::fields::{self, FieldNames, HOP_BY_HOP, X_RATELIMIT_EXCEEDED};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Fields that Connection may not take away: they say where the message goes and where it ends.
const NEVER_HOP_BY_HOP: [HeaderName; 2] = [header::HOST, header::CONTENT_LENGTH];

/// Takes from a request what is not for the application, before any rule looks: what is matched is what is
/// forwarded, so a field that Connection takes away cannot choose a counter first. `read` are the fields that rules
/// look at.
pub(super) fn clean_request(
    headers: &mut HeaderMap,
    read: &FieldNames,
    bounds: &Bounds,
) -> Result<(), RequestError> {
    join_cookies(headers);
    // Over HTTP/1 the server has looked before; HTTP/2 knows no number of fields.
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > bounds.header_bytes {
        return Err(RequestError::LongHeader);
    }
    if headers.len() > bounds.header_fields {
        return Err(RequestError::ManyFields);
    }
    let codings = headers.get_all(header::TRANSFER_ENCODING);
    if codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(RequestError::TransferCoding);
    }
    let trailers = headers.get_all(header::TE).iter().any(accepts_trailers);
    strip_hop_by_hop(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    for name in &fields::REMOVED {
        headers.remove(name);
    }
    strip_imitations(headers, read);
    Ok(())
}

/// Takes away fields that an application might read as one of ours, or as one that a rule reads: `X_Api_Key` beside
/// `X-Api-Key`.
fn strip_imitations(headers: &mut HeaderMap, read: &FieldNames) {
    let imitates = |name: &&HeaderName| read.imitated_by(name) || fields::imitates_ours(name);
    // Hardly any request has one, and then nothing is allocated.
    let found: Vec<HeaderName> = headers.keys().filter(imitates).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Sets the fields that name the request's origin to the upstream. Fields of a trusted peer are kept: the peer has
/// seen the client, and tidegate has not. `forwarded`: the standard's field (RFC 7239) is set as well.
pub(super) fn set_origin(
    headers: &mut HeaderMap,
    target: &Target,
    connection: &Connection,
    trusted_peer: bool,
    forwarded: bool,
) {
    if !trusted_peer {
        let names_origin = |name: &&HeaderName| {
            let text = name.as_str();
            text.starts_with("x-forwarded-") || text == "x-real-ip" || *name == header::FORWARDED
        };
        let forged: Vec<HeaderName> = headers.keys().filter(names_origin).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
    }
    let proto = if connection.secure { "https" } else { "http" };
    if forwarded {
        append_forwarded(headers, target, connection, proto);
    }
    match HeaderValue::from_str(&target.authority) {
        Ok(host) if !host.is_empty() => {
            headers.insert(header::HOST, host.clone());
            headers.entry(X_FORWARDED_HOST).or_insert(host);
        }
        // HTTP/1.0 may name none; the upstream's own name then takes its place.
        _ => drop(headers.remove(header::HOST)),
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(proto));
    append_forwarded_for(headers, connection.peer);
}

/// Adds an element of `Forwarded` (RFC 7239, section 4): an IPv6 address in brackets and quotes.
fn append_forwarded(headers: &mut HeaderMap, target: &Target, connection: &Connection, proto: &str) {
    let mut element = match connection.peer.ip().to_canonical() {
        IpAddr::V4(v4) => format!("for={v4}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\""),
    };
    // Of what a host can hold only a port and an IPv6 address are no token, and nothing needs an escape.
    let quote = if target.authority.contains(':') { "\"" } else { "" };
    if !target.authority.is_empty() {
        let _ = write!(element, ";host={quote}{}{quote}", target.authority);
    }
    let _ = write!(element, ";proto={proto}");
    if let Ok(element) = HeaderValue::from_str(&element) {
        headers.append(header::FORWARDED, element);
    }
}

/// Notes that a message came through here (RFC 9110, section 7.6.3).
pub(super) fn note_via(headers: &mut HeaderMap, version: Version) {
    let via = match version {
        Version::HTTP_10 => "1.0 tidegate",
        Version::HTTP_2 => "2 tidegate",
        _ => "1.1 tidegate",
    };
    headers.append(header::VIA, HeaderValue::from_static(via));
}

/// Tells the application which rules on trial had no room for the request.
pub(super) fn mark_exceeded(headers: &mut HeaderMap, exceeded: &[&Rule]) {
    for rule in exceeded {
        if let Ok(name) = HeaderValue::from_str(&rule.name) {
            headers.append(X_RATELIMIT_EXCEEDED, name);
        }
    }
}

/// Takes from a response what is not for the client.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
}

/// HTTP/2 may send cookies as fields of their own; HTTP/1 knows one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, cookie);
    }
}

/// Tells the client how it stands (draft-ietf-httpapi-ratelimit-headers-11). Both fields are lists: what the
/// application says of its own limits stays. The older `X-RateLimit-*` fields were never specified; of their
/// readings, Reset in seconds from now is the one that needs no common clock.
pub(super) fn advertise(headers: &mut HeaderMap, standing: &Standing, x_ratelimit_headers: bool) {
    let Standing { policy, quota, window_ms, remaining, reset_ms } = standing;
    let fields = [
        (RATELIMIT_POLICY, format!("\"{policy}\";q={quota};w={}", seconds(*window_ms))),
        (RATELIMIT, format!("\"{policy}\";r={remaining};t={}", seconds(*reset_ms))),
    ];
    for (name, value) in fields {
        // Names of rules are plain text; see the configuration.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(name, value);
        }
    }
    if x_ratelimit_headers {
        // Each has one value: the application's own stands.
        for (name, value) in [
            (HeaderName::from_static("x-ratelimit-limit"), *quota),
            (HeaderName::from_static("x-ratelimit-remaining"), *remaining),
            (HeaderName::from_static("x-ratelimit-reset"), seconds(*reset_ms)),
        ] {
            headers.entry(name).or_insert(HeaderValue::from(value));
        }
    }
}

/// Whole seconds, rounded up, at least 1: a client that waits as long as told is admitted.
pub(super) fn seconds(milliseconds: i64) -> i64 {
    (milliseconds.max(1) - 1) / 1000 + 1
}

fn accepts_trailers(value: &HeaderValue) -> bool {
    value.as_bytes().split(|&b| b == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut named: Vec<HeaderName> = Vec::new();
    for line in headers.get_all(header::CONNECTION) {
        let names = line.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii);
        named.extend(names.filter_map(|name| HeaderName::from_bytes(name).ok()));
    }
    for name in named.iter().filter(|name| !NEVER_HOP_BY_HOP.contains(name)).chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

fn append_forwarded_for(headers: &mut HeaderMap, peer: SocketAddr) {
    let mut list = String::new();
    for line in headers.get_all(X_FORWARDED_FOR) {
        if let Ok(line) = line.to_str() {
            list.push_str(line);
            list.push_str(", ");
        }
    }
    // Writing to a String cannot fail.
    let _ = write!(list, "{}", peer.ip().to_canonical());
    if let Ok(list) = HeaderValue::from_str(&list) {
        headers.insert(X_FORWARDED_FOR, list);
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::{Bounds, FieldNames, clean_request};
    use crate::policy::fields::{HOP_BY_HOP, REMOVED, is_hidden};

    /// The names of the fields that rules see of a request with one field.
    fn seen(name: &HeaderName) -> Vec<HeaderName> {
        // The one value that no field is refused for, Transfer-Encoding included.
        let mut headers: HeaderMap =
            [(name.clone(), HeaderValue::from_static("chunked"))].into_iter().collect();
        assert!(clean_request(&mut headers, &FieldNames::default(), &Bounds::default()).is_ok(), "{name}");
        headers.keys().cloned().collect()
    }

    #[test]
    fn hidden_fields_reach_no_rule() {
        let odd = ["x_forwarded_for", "x.real.ip", "content_length", "keep_alive", "x_ratelimit_exceeded"];
        for name in HOP_BY_HOP.into_iter().chain(REMOVED).chain(odd.map(HeaderName::from_static)) {
            assert!(is_hidden(&name), "{name}");
            assert!(seen(&name).is_empty(), "{name}");
        }
    }

    #[test]
    fn other_fields_reach_the_rules() {
        for name in [
            "authorization",
            "content-length",
            "cookie",
            "trailer",
            "sec-websocket-key",
            "x-forwarded-for",
            "x-real-ip",
            "x_api_key",
        ] {
            let name = HeaderName::from_static(name);
            assert!(!is_hidden(&name), "{name}");
            assert_eq!(seen(&name), [name]);
        }
    }
}
