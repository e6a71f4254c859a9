//! The admin API: what this instance does, and changes at run time, for operators and programs.
//!
//! It has a listener of its own. `gate` decides which requests may come in, before any route is looked up. Each route is a
//! function with the annotations from which the OpenAPI document is made, so that the two cannot differ.

mod access;
mod client_id;
mod clients;
mod condition;
pub(crate) mod explain;
mod gate;
mod instances;
mod json;
mod limit_view;
mod listener;
mod openapi;
mod override_view;
mod overrides;
mod problem;
mod rate;
mod reload;
pub(crate) mod reloads;
mod rules;
mod status;

use std::convert::Infallible;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use tower_service::Service as _;

use crate::bounds::Bounds;
use crate::clock::Stopwatch;
use crate::connection::Connection;
use crate::limiter::Limiter;
use crate::metrics;
use crate::overrides::Overrides;
use crate::settings::AdminSettings;
use gate::Gate;
pub(crate) use instances::report_all;
pub(crate) use listener::bounds;
use reloads::Reloads;
pub(crate) use status::StoreStatus;

/// What the API shows and changes.
#[derive(Clone)]
pub(crate) struct Parts {
    /// The rules, and what operators change of them.
    pub(crate) overrides: Overrides,
    /// The limiter, with its store.
    pub(crate) limiter: Arc<Limiter>,
    /// The bounds of clients of the proxy.
    pub(crate) bounds: Bounds,
    /// What the configuration was read from.
    pub(crate) reloads: Reloads,
    /// Who may use the API. A reload changes it.
    pub(crate) settings: Arc<ArcSwap<AdminSettings>>,
}

/// What each route can use.
#[derive(Clone)]
struct Shared {
    parts: Parts,
    started: Stopwatch,
    /// The OpenAPI document.
    document: bytes::Bytes,
}

/// The API.
pub(crate) struct Admin {
    gate: Gate,
    router: Router,
}

impl Admin {
    pub(crate) fn new(parts: Parts) -> Self {
        let gate = Gate::new(Arc::clone(&parts.settings));
        let (router, document) = openapi::routes();
        let router = router.with_state(Shared { parts, started: Stopwatch::start(), document });
        Self { gate, router }
    }

    /// Responds to one request.
    pub(crate) async fn handle(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        connection: Arc<Connection>,
    ) -> Response<Body> {
        let mut response = match self.gate.admit(&request, connection.peer) {
            Ok(author) => {
                request.extensions_mut().insert(author);
                let responding = self.router.clone().call(request.map(Body::new)).await;
                responding.unwrap_or_else(|never: Infallible| match never {})
            }
            Err(problem) => problem.response(),
        };
        metrics::admin_request(response.status());
        let headers = response.headers_mut();
        // A browser must neither keep what was shown here, nor take it for anything that it could execute.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}
