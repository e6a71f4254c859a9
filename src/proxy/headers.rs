//! What is taken off, put on and passed along on the way through.

use std::fmt::Write as _;
use std::net::SocketAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::facts::Target;
use crate::limiter::Standing;

pub(super) const X_RATELIMIT_EXCEEDED: HeaderName = HeaderName::from_static("x-ratelimit-exceeded");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Fields that speak of one connection only (RFC 9110, section 7.6.1), besides those that Connection names.
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that Connection may not take away: they say where the message goes and where it ends.
const NEVER_HOP_BY_HOP: [HeaderName; 2] = [header::HOST, header::CONTENT_LENGTH];

/// Makes a request's header fit for the upstream.
pub(super) fn prepare_request(headers: &mut HeaderMap, target: &Target, peer: SocketAddr) {
    let trailers = headers.get_all(header::TE).iter().any(accepts_trailers);
    strip_hop_by_hop(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    // hyper has answered, or will answer, 100 (Continue) itself, once the upstream takes the body.
    headers.remove(header::EXPECT);
    // Only our own finding may say that a limit was exceeded.
    headers.remove(X_RATELIMIT_EXCEEDED);
    if let Ok(host) = HeaderValue::from_str(&target.authority) {
        headers.insert(header::HOST, host.clone());
        // What a proxy before us said of the first hop is truer than what we see.
        headers.entry(X_FORWARDED_HOST).or_insert(host);
    }
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    append_forwarded_for(headers, peer);
}

/// Makes a response's header fit for the client.
pub(super) fn prepare_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
}

/// Tells the client how it stands (draft-ietf-httpapi-ratelimit-headers-11). Both fields are lists: what the
/// application says of its own limits stays.
pub(super) fn advertise(headers: &mut HeaderMap, standing: &Standing) {
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
