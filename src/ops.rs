//! Probes, metrics and the state of this instance, on a listener of their own.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::connection::Unreadable;

/// Serves probes, metrics and the status page.
#[derive(Clone)]
pub(crate) struct Ops {
    metrics: PrometheusHandle,
    leaving: CancellationToken,
    status: Arc<dyn Fn() -> Value + Send + Sync>,
}

impl Ops {
    /// Renders `metrics` and `status`; not ready once `leaving` is cancelled.
    #[must_use]
    pub(crate) fn new(
        metrics: PrometheusHandle,
        leaving: CancellationToken,
        status: impl Fn() -> Value + Send + Sync + 'static,
    ) -> Self {
        Self { metrics, leaving, status: Arc::new(status) }
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
            "/metrics" => {
                let mut response = text(StatusCode::OK, self.metrics.render());
                let version = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, version);
                response
            }
            "/status" => {
                let mut response = text(StatusCode::OK, format!("{:#}\n", (self.status)()));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }
            _ => text(StatusCode::NOT_FOUND, "/livez, /readyz, /startupz, /metrics, /status\n"),
        }
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    response
}
