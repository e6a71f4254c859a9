//! The answers that are ours, not the application's: RFC 9457 problems, never cached.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full as Text};
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};

use super::headers::seconds;
use super::reserve::Overload;
use super::target::RequestError;
use crate::connection::Unreadable;
use crate::limiter::Limited;
use crate::permits::Exhausted;
use crate::policy::Refusal;
use crate::upstream::{Answer, UpstreamError};

/// The body of an answer: ours, or the upstream's as it comes.
pub type Body = Either<Text<Bytes>, Answer>;

/// Problem types of draft-ietf-httpapi-ratelimit-headers-11, section 8.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const REDUCED_CAPACITY: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// Status codes of gRPC.
const GRPC_RESOURCE_EXHAUSTED: i64 = 8;
const GRPC_UNAVAILABLE: i64 = 14;

/// RFC 9209: which intermediary answered, and why.
const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What a refused method is told instead (RFC 9110, section 15.5.6). Others are forwarded as well.
const FORWARDED_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// After how many seconds to try again when that is anybody's guess.
const RETRY_SOON: i64 = 1;

/// A body that a client sends to a request we refuse is read up to this size and for this long, so that the
/// connection can serve the next request.
const DRAIN_BYTES: usize = 64 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// 429, or what the rule says instead: a limit has no room.
pub(super) fn too_many_requests(request: Request<Incoming>, limited: &Limited<'_>) -> Response<Body> {
    let Limited { rule, standing, violated } = limited;
    let grpc = is_grpc(request.headers());
    drain(request);
    if grpc {
        return grpc_error(GRPC_RESOURCE_EXHAUSTED, "the rate limit is exceeded", standing.reset_ms);
    }
    let Refusal { status, body, headers } = &rule.refusal;
    let status = status.unwrap_or(StatusCode::TOO_MANY_REQUESTS);
    let violated: Vec<&str> = violated.iter().map(|name| &**name).collect();
    let retry = seconds(standing.reset_ms);
    let mut response = problem(
        status,
        &json!({
            "type": QUOTA_EXCEEDED,
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": status.as_u16(),
            "detail": format!("The limit is {} requests in {} s. Try again in {retry} s.",
                standing.quota, standing.window_ms as f64 / 1000.0),
            "violated-policies": violated,
        }),
    );
    retry_after(&mut response, retry);
    if let Some(body) = body {
        *response.body_mut() = Either::Left(Text::from(body.to_string()));
    }
    for (name, value) in headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

/// 503: the store gave no answer, and the rule refuses what it cannot check.
pub(super) fn reduced_capacity(request: Request<Incoming>) -> Response<Body> {
    let grpc = is_grpc(request.headers());
    drain(request);
    if grpc {
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

/// 400, 405, 414, 431 or 501: the request is not one that is forwarded.
pub(super) fn bad_request(request: Request<Incoming>, error: &RequestError) -> Response<Body> {
    drain(request);
    let mut response = plain_problem(error.status(), &error.to_string());
    if error.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(FORWARDED_METHODS));
    }
    response
}

/// 400, 408, 414, 431, 501 or 505: nobody can say what the request is. (Its connection ends.)
pub(super) fn unreadable(unreadable: &Unreadable) -> Response<Body> {
    plain_problem(unreadable.status, &unreadable.reason)
}

/// 429 or 503: too much is under way, of the client or in all.
pub(super) fn overloaded(request: Request<Incoming>, overload: Overload) -> Response<Body> {
    drain(request);
    let (status, detail) = match overload {
        Overload::Requests => (StatusCode::TOO_MANY_REQUESTS, "The client has too many requests under way."),
        Overload::Tunnels(Exhausted::Total) => {
            (StatusCode::SERVICE_UNAVAILABLE, "There are too many open tunnels.")
        }
        Overload::Tunnels(Exhausted::Client) => {
            (StatusCode::TOO_MANY_REQUESTS, "The client has too many open tunnels.")
        }
        Overload::Upstream => return upstream_failed(&UpstreamError::Full),
    };
    let mut response = plain_problem(status, detail);
    retry_after(&mut response, RETRY_SOON);
    response
}

/// 502, 503 or 504: the upstream gave no answer.
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

/// A problem of the type that says no more than its status (RFC 9457, section 4.2.1).
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
    let mut response = Response::new(Either::Left(Text::from(format!("{problem}\n"))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// gRPC's way to refuse: HTTP 200, the status where the trailers would be, and when to try again ("Trailers-Only"
/// and `grpc-retry-pushback-ms` of the gRPC protocol and its retry design).
fn grpc_error(status: i64, message: &'static str, retry_ms: i64) -> Response<Body> {
    let mut response = Response::new(Either::Left(Text::default()));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from(status));
    headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(message));
    headers.insert(HeaderName::from_static("grpc-retry-pushback-ms"), HeaderValue::from(retry_ms.max(1)));
    response
}

fn retry_after(response: &mut Response<Body>, seconds: i64) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
}

/// Reads what little body the client may still be sending, beside the answer. A larger or slower one ends with
/// the connection.
fn drain(request: Request<Incoming>) {
    let body = request.into_body();
    let small = body.size_hint().upper().is_some_and(|bytes| bytes <= DRAIN_BYTES as u64);
    if small && !body.is_end_stream() {
        let body = http_body_util::Limited::new(body, DRAIN_BYTES);
        tokio::spawn(tokio::time::timeout(DRAIN_TIME, body.collect()));
    }
}
