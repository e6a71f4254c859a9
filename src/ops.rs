//! Probes, metrics and the state of this instance, on a listener of their own.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::connection::Unreadable;

/// Serves probes, metrics and the status page.
#[derive(Clone)]
pub(crate) struct Ops {
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    leaving: CancellationToken,
    status: Arc<dyn Fn() -> Value + Send + Sync>,
}

impl Ops {
    /// Serves what `metrics` and `status` return; not ready once `leaving` is cancelled.
    #[must_use]
    pub(crate) fn new(
        metrics: impl Fn() -> String + Send + Sync + 'static,
        leaving: CancellationToken,
        status: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Self {
        Self { metrics: Arc::new(metrics), leaving, status: Arc::new(status) }
    }

    /// Responds to one request. Readiness does not depend on Redis: without it requests are still forwarded, and to
    /// take all pods out of the service would be the outage that tidegate must not cause.
    pub(crate) fn handle<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if let Some(unreadable) = request.extensions().get::<Unreadable>() {
            return text(unreadable.status, format!("{}\n", unreadable.reason));
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            // Started means listening, and this response shows that.
            "/livez" | "/startupz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.leaving.is_cancelled() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n")
            }
            "/readyz" => text(StatusCode::OK, "ok\n"),
            "/metrics" => self.scraped(request.headers()),
            "/status" => {
                let mut response = text(StatusCode::OK, format!("{:#}\n", (self.status)()));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
            _ => text(StatusCode::NOT_FOUND, "/livez, /readyz, /startupz, /metrics, /status\n"),
        }
    }

    /// Returns the metrics in the text format of Prometheus, compressed if the scraper accepts that. The exporter's library
    /// does not write OpenMetrics.
    fn scraped(&self, request: &HeaderMap) -> Response<Full<Bytes>> {
        let rendered = (self.metrics)();
        let compressed = accepts_gzip(request).then(|| gzip(rendered.as_bytes())).flatten();
        let is_compressed = compressed.is_some();
        let mut response = text(StatusCode::OK, compressed.unwrap_or_else(|| rendered.into_bytes()));
        let headers = response.headers_mut();
        let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, version);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if is_compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Returns whether gzip is among the codings that the client accepts (RFC 9110, section 12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let mut codings = lines.flat_map(|line| line.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
    })
}

fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    encoder.write_all(text).ok()?;
    encoder.finish().ok()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, header};

    use super::accepts_gzip;

    fn accepts(field: &'static str) -> bool {
        let field = (header::ACCEPT_ENCODING, HeaderValue::from_static(field));
        accepts_gzip(&HeaderMap::from_iter([field]))
    }

    #[test]
    fn gzip_is_accepted_where_it_is_listed() {
        for field in ["gzip", "deflate, GZIP", "br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip; q=0.001"] {
            assert!(accepts(field), "{field}");
        }
    }

    #[test]
    fn gzip_is_not_accepted_where_it_is_absent_or_has_no_weight() {
        for field in ["", "identity", "gzip;q=0", "gzip; q=0.000", "gzip;q=x", "x-gzip2"] {
            assert!(!accepts(field), "{field}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
