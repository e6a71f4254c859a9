//! Removes, adds and keeps header fields of requests and responses.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::target::{RequestError, Target};
use crate::bounds::Bounds;
use crate::connection::Connection;
use crate::limiter::Standing;
use crate::policy::Rule;
use crate::policy::fields::{FieldNames, HOP_BY_HOP, X_RATELIMIT_EXCEEDED};
use crate::policy::limit::whole_seconds;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Fields that Connection cannot remove: they decide where the message goes and where it ends.
static NEVER_HOP_BY_HOP: [HeaderName; 2] = [header::HOST, header::CONTENT_LENGTH];

/// Removes the fields of a request that are not for the upstream. This happens before any rule reads the request: rules
/// match what is forwarded, so that a field which Connection removes cannot select a counter. `read` are the fields
/// that rules read.
pub(super) fn clean_request(
    headers: &mut HeaderMap,
    read: &FieldNames,
    bounds: &Bounds,
) -> Result<(), RequestError> {
    join_cookies(headers);
    // One walk over the fields costs less than a lookup of each name that is removed: most requests have none of them.
    let (mut size, mut removed) = (0, Vec::new());
    for (name, value) in &*headers {
        size += name.as_str().len() + value.len() + 4;
        if read.removes(name) {
            removed.push(name.clone());
        }
    }
    // Over HTTP/1 the strict reader has checked both before. HTTP/2 has no bound on the number of fields.
    if size > bounds.header_bytes {
        return Err(RequestError::LongHeader);
    }
    if headers.len() > bounds.header_fields {
        return Err(RequestError::ManyFields);
    }
    if removed.is_empty() {
        return Ok(());
    }
    let codings = headers.get_all(header::TRANSFER_ENCODING);
    if codings.iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(RequestError::TransferCoding);
    }
    let trailers = headers.get_all(header::TE).iter().any(accepts_trailers);
    remove_named_by_connection(headers);
    for name in &removed {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    Ok(())
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
    set_host(headers, &target.authority);
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(proto));
    append_forwarded_for(headers, &connection.peer_address);
}

/// Sets the host that the request names.
fn set_host(headers: &mut HeaderMap, authority: &HeaderValue) {
    if authority.is_empty() {
        // A request over HTTP/1.0 may have no host. The upstream's own name is sent instead.
        headers.remove(header::HOST);
        return;
    }
    if headers.get(header::HOST) != Some(authority) {
        headers.insert(header::HOST, authority.clone());
    }
    headers.entry(X_FORWARDED_HOST).or_insert_with(|| authority.clone());
}

/// Adds an element of `Forwarded` (RFC 7239, section 4): an IPv6 address in brackets and quotes.
fn append_forwarded(headers: &mut HeaderMap, target: &Target, connection: &Connection, proto: &str) {
    let mut element = match connection.peer.ip().to_canonical() {
        IpAddr::V4(v4) => format!("for={v4}"),
        IpAddr::V6(v6) => format!("for=\"[{v6}]\""),
    };
    // A host with a port and an IPv6 address are not tokens, and need quotes. No host needs an escape.
    let host = target.authority.to_str().unwrap_or_default();
    let quote = if host.contains(':') { "\"" } else { "" };
    if !host.is_empty() {
        let _ = write!(element, ";host={quote}{host}{quote}");
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

/// Marks the request with the names of the shadow rules that had no room for it.
pub(super) fn mark_exceeded(headers: &mut HeaderMap, exceeded: &[&Rule]) {
    for rule in exceeded {
        if let Ok(name) = HeaderValue::from_str(&rule.name) {
            headers.append(X_RATELIMIT_EXCEEDED, name);
        }
    }
}

/// Removes the fields of a response that are not for the client.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    let removed: Vec<HeaderName> = headers.keys().filter(|name| HOP_BY_HOP.contains(name)).cloned().collect();
    if removed.is_empty() {
        return;
    }
    remove_named_by_connection(headers);
    for name in &removed {
        headers.remove(name);
    }
}

/// Joins cookies into one field: HTTP/2 may send several, HTTP/1 only one (RFC 9113, section 8.2.3).
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

/// Sets the fields that report the limit and what is left of it (draft-ietf-httpapi-ratelimit-headers-11). Both fields
/// are lists, and an element of the upstream's own is kept. The older `X-RateLimit-*` fields were never specified: here
/// Reset is in seconds from now, the one of its meanings that needs no common clock.
pub(super) fn advertise(headers: &mut HeaderMap, standing: &Standing<'_>, x_ratelimit_headers: bool) {
    let Standing { limit, remaining, reset_ms } = standing;
    let reset = whole_seconds(*reset_ms);
    if let Some(policy) = limit.policy_field() {
        headers.append(RATELIMIT_POLICY, policy.clone());
        let (mut remaining_digits, mut reset_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (remaining, reset) = (remaining_digits.format(*remaining), reset_digits.format(reset));
        // As long as it becomes: a value with room to spare would be copied.
        let mut value = String::with_capacity(limit.name.len() + remaining.len() + reset.len() + 8);
        value.push('"');
        value.push_str(&limit.name);
        value.push_str("\";r=");
        value.push_str(remaining);
        value.push_str(";t=");
        value.push_str(reset);
        if let Ok(mut value) = HeaderValue::try_from(value) {
            seldom_repeated(&mut value);
            headers.append(RATELIMIT, value);
        }
    }
    if x_ratelimit_headers {
        // Each has one value, so the upstream's own is kept.
        for (name, value) in [
            (HeaderName::from_static("x-ratelimit-limit"), limit.limit.quota()),
            (HeaderName::from_static("x-ratelimit-remaining"), *remaining),
            (HeaderName::from_static("x-ratelimit-reset"), reset),
        ] {
            headers.entry(name).or_insert(HeaderValue::from(value));
        }
    }
}

/// Keeps a value out of HTTP/2's table of repeated fields: it is sent as a literal that is never indexed (RFC 7541, section
/// 6.2.3). In the table it would take the place of values that come again, and h2 would compare each new value of the
/// field with all of them.
pub(super) fn seldom_repeated(value: &mut HeaderValue) {
    value.set_sensitive(true);
}

fn accepts_trailers(value: &HeaderValue) -> bool {
    value.as_bytes().split(|&b| b == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Removes the fields that Connection names, besides those that Connection may not name.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    let mut named: Vec<HeaderName> = Vec::new();
    for line in headers.get_all(header::CONNECTION) {
        let names = line.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii);
        named.extend(names.filter_map(|name| HeaderName::from_bytes(name).ok()));
    }
    for name in named.iter().filter(|name| !NEVER_HOP_BY_HOP.contains(name)) {
        headers.remove(name);
    }
}

fn append_forwarded_for(headers: &mut HeaderMap, peer: &HeaderValue) {
    let mut list = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR) {
        if line.to_str().is_ok() {
            list.extend_from_slice(line.as_bytes());
            list.extend_from_slice(b", ");
        }
    }
    if list.is_empty() {
        headers.insert(X_FORWARDED_FOR, peer.clone());
        return;
    }
    list.extend_from_slice(peer.as_bytes());
    if let Ok(list) = HeaderValue::try_from(list) {
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
        let odd = odd.map(HeaderName::from_static);
        for name in HOP_BY_HOP.iter().chain(&REMOVED).chain(&odd) {
            assert!(is_hidden(name), "{name}");
            assert!(seen(name).is_empty(), "{name}");
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
