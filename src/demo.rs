//! The upstream of `tidegate demo`: its response to each request describes that request.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use serde_json::json;

/// Responds to one request with a description of it.
pub(crate) fn respond<B>(request: &Request<B>) -> Response<Full<Bytes>> {
    let headers: serde_json::Map<String, serde_json::Value> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let body = json!({
        "application": "the demo's own; it answers everything",
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "headers": headers,
    });
    let mut response = Response::new(Full::from(format!("{body:#}\n")));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns the text that shows what to try.
#[must_use]
pub(crate) fn invitation(proxy: impl std::fmt::Display, ops: std::net::SocketAddr) -> String {
    format!(
        "tidegate demo: a small application, the shipped limits, counters in memory.

  One request, with the RateLimit fields in its answer:
    curl -i http://{proxy}/api/v1/tasks

  5 imports a minute and a burst of 2: the 8th is refused, and Retry-After says for how long:
    for i in 1 2 3 4 5 6 7 8; do curl -s -o /dev/null -w '%{{http_code}}\\n' -X POST http://{proxy}/api/v1/prd/import; done
    curl -i -X POST http://{proxy}/api/v1/prd/import

  What was counted:
    curl -s http://{ops}/metrics | grep tidegate_requests_total

  Ctrl-C ends it.
"
    )
}
