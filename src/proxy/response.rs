//! The responses that are tidegate's own, not the upstream's: RFC 9457 problems, never cached.

mod limited;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full as Text};
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};

use super::overload::Overload;
use super::target::RequestError;
use crate::connection::Unreadable;
use crate::grpc::is_grpc;
use crate::permits::Exhausted;
use crate::upstream::{ResponseBody, UpstreamError};
pub(super) use limited::limited;

/// The body of a response: tidegate's own, or the upstream's as it arrives.
pub(super) type Body = Either<Text<Bytes>, ResponseBody>;

/// Problem types of draft-ietf-httpapi-ratelimit-headers-11, section 8.
const ABNORMAL_USAGE: &str = "https://iana.org/assignments/http-problem-types#abnormal-usage-detected";
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// Status codes of gRPC.
const GRPC_PERMISSION_DENIED: i64 = 7;
const GRPC_RESOURCE_EXHAUSTED: i64 = 8;
const GRPC_UNAVAILABLE: i64 = 14;

/// RFC 9209: which intermediary generated the response, and why.
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// The methods in the response to a method that is not forwarded (RFC 9110, section 15.5.6). Extension methods are
/// forwarded too, and not listed.
const FORWARDED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Seconds until the client can try again, where tidegate cannot know better.
const RETRY_SOON: i64 = 1;

/// Room for the fields of a response.
const USUAL_FIELDS: usize = 6;

/// The body of a refused request is read up to this size and for this long, so that the connection can serve the next
/// request.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// 403: an operator has blocked the client. It does not say until when: the client is not meant to wait for it.
pub(super) fn blocked(request: &HeaderMap) -> Response<Body> {
    if is_grpc(request) {
        return grpc_refusal(GRPC_PERMISSION_DENIED, "the client is blocked");
    }
    problem(
        StatusCode::FORBIDDEN,
        &json!({
            "type": ABNORMAL_USAGE,
            "title": "Request not satisfied due to detection of abnormal request pattern",
            "status": StatusCode::FORBIDDEN.as_u16(),
            "detail": "The client is blocked.",
        }),
    )
}

/// 503: the store gave no decision in time, and the rule has `on_outage: closed`.
pub(super) fn reduced_capacity(request: &HeaderMap) -> Response<Body> {
    if is_grpc(request) {
        return grpc_error(GRPC_UNAVAILABLE, "the rate limit cannot be checked", RETRY_SOON * 1000);
    }
    let mut response = problem(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({
            "type": REDUCED_CAPACITY,
            "title": "Request cannot be satisfied due to temporary server capacity constraints",
            "status": StatusCode::SERVICE_UNAVAILABLE.as_u16(),
            "detail": "The request's rate limit cannot be checked at the moment.",
        }),
    );
    retry_after(&mut response, RETRY_SOON);
    response
}

/// 400, 405, 414, 431 or 501: tidegate does not forward the request.
pub(super) fn invalid(error: &RequestError) -> Response<Body> {
    not_forwarded(error.status(), &error.to_string())
}

/// 400, 405, 408, 414, 431, 501 or 505: the server rejected the request before it had read all of it, and the
/// connection ends.
pub(super) fn unreadable(unreadable: &Unreadable) -> Response<Body> {
    not_forwarded(unreadable.status, &unreadable.reason)
}

fn not_forwarded(status: StatusCode, reason: &str) -> Response<Body> {
    let mut response = plain_problem(status, reason);
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(FORWARDED_METHODS));
    }
    response
}

/// 400: the key of the request's rule needs this part.
pub(super) fn missing_key(part: &str) -> Response<Body> {
    plain_problem(StatusCode::BAD_REQUEST, &format!("the request must carry {part}, not empty"))
}

/// 400: the request has more different values for this part of its rule's key than are charged together.
pub(super) fn too_many_values(part: &str) -> Response<Body> {
    plain_problem(StatusCode::BAD_REQUEST, &format!("the request has too many different values for {part}"))
}

/// 400: an upstream could take the request for what more rules match than tidegate charges for one request.
pub(super) fn too_many_readings() -> Response<Body> {
    let reason = "the request repeats header fields or query parameters with too many different values";
    plain_problem(StatusCode::BAD_REQUEST, reason)
}

/// 429 or 503: too much is under way, of the client or in total.
pub(super) fn overloaded(request: &HeaderMap, overload: Overload) -> Response<Body> {
    if is_grpc(request) {
        let (status, message) = match overload {
            Overload::Requests => (GRPC_RESOURCE_EXHAUSTED, "the client has too many requests under way"),
            Overload::Tunnels(Exhausted::Client) => {
                (GRPC_RESOURCE_EXHAUSTED, "the client has too many open tunnels")
            }
            Overload::Tunnels(Exhausted::Total) => (GRPC_UNAVAILABLE, "there are too many open tunnels"),
            Overload::Upstream => (GRPC_UNAVAILABLE, "the upstream has too much to do"),
        };
        return grpc_error(status, message, RETRY_SOON * 1000);
    }
    let (status, detail) = match overload {
        Overload::Requests => (StatusCode::TOO_MANY_REQUESTS, "The client has too many requests under way."),
        Overload::Tunnels(Exhausted::Total) => {
            (StatusCode::SERVICE_UNAVAILABLE, "There are too many open tunnels.")
        }
        Overload::Tunnels(Exhausted::Client) => {
            (StatusCode::TOO_MANY_REQUESTS, "The client has too many open tunnels.")
        }
        Overload::Upstream => return upstream_failed(&UpstreamError::QueueFull),
    };
    let mut response = plain_problem(status, detail);
    retry_after(&mut response, RETRY_SOON);
    response
}

/// 502, 503 or 504: the upstream gave no response.
pub(super) fn upstream_failed(error: &UpstreamError) -> Response<Body> {
    let mut response = plain_problem(error.status(), &error.to_string());
    let status = format!("tidegate; error={}", error.proxy_status());
    if let Ok(status) = HeaderValue::from_str(&status) {
        response.headers_mut().insert(PROXY_STATUS, status);
    }
    if error.status() == StatusCode::SERVICE_UNAVAILABLE {
        retry_after(&mut response, RETRY_SOON);
    }
    response
}

/// A problem without a type of its own (RFC 9457, section 4.2.1).
fn plain_problem(status: StatusCode, detail: &str) -> Response<Body> {
    problem(
        status,
        &json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": detail,
        }),
    )
}

fn problem(status: StatusCode, problem: &Value) -> Response<Body> {
    problem_response(status, format!("{problem}\n").into())
}

fn problem_response(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Text::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // One allocation for the usual fields.
    headers.reserve(USUAL_FIELDS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error in the form of gRPC: HTTP 200, the status where the trailers would be, and when to try again
/// ("Trailers-Only" and `grpc-retry-pushback-ms` of the gRPC protocol and its retry design).
fn grpc_error(status: i64, message: &'static str, retry_ms: i64) -> Response<Body> {
    let mut response = grpc_refusal(status, message);
    let pushback = HeaderName::from_static("grpc-retry-pushback-ms");
    response.headers_mut().insert(pushback, HeaderValue::from(retry_ms.max(1)));
    response
}

/// The same where no later attempt succeeds.
fn grpc_refusal(status: i64, message: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Text::default()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(status));
    headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(message));
    response
}

fn retry_after(response: &mut Response<Body>, seconds: i64) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
}

/// Removes the body from a response to HEAD, which has none (RFC 9110, section 9.3.2), and keeps its length. hyper does that
/// over HTTP/1.1 alone.
pub(super) fn remove_body(response: &mut Response<Body>) {
    let Either::Left(text) = response.body_mut() else { return };
    let length = std::mem::take(text).size_hint().exact().unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}

/// Reads what little body the client may still be sending, beside the response. A larger or slower one ends with the
/// connection.
pub(super) fn drain(request: Request<Incoming>) {
    let body = request.into_body();
    let small = body.size_hint().upper().is_some_and(|bytes| bytes <= DRAIN_BYTES as u64);
    if small && !body.is_end_stream() {
        let body = http_body_util::Limited::new(body, DRAIN_BYTES);
        tokio::spawn(tokio::time::timeout(DRAIN_TIME, body.collect()));
    }
}
