//! A request to the upstream, with what is needed to send it.

use std::pin::Pin;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use tokio::time::Sleep;

use super::connect::ConnectionKind;
use super::pool::Reservation;
use super::progress::Progress;
use super::request_body::RequestBody;
use crate::bounds::Bounds;
use crate::grpc::is_grpc;
use crate::metrics::Bound;

/// A request to send.
pub(crate) struct Outgoing {
    /// The request with the fields for the upstream.
    pub request: Request<Incoming>,
    /// The target.
    pub path_and_query: PathAndQuery,
    /// Whether the client waits for 100 (Continue).
    pub expects_continue: bool,
    /// The connection that the request needs.
    pub kind: ConnectionKind,
    /// Receives interim responses other than 100 (Continue).
    pub interim: Option<OnInterim>,
    /// The fields that hold secrets of bypasses: a trailer section is forwarded without them.
    pub secret_fields: Arc<[HeaderName]>,
    /// The request's place among those that wait for the upstream or are under way.
    pub reservation: Reservation,
    /// Dropped when the response has ended.
    pub guards: Box<dyn std::any::Any + Send + Sync>,
}

/// A request with its progress, while it is sent.
pub(super) struct Exchange {
    pub(super) request: Request<RequestBody>,
    pub(super) path_and_query: PathAndQuery,
    pub(super) expects_continue: bool,
    /// Whether the request has no body.
    pub(super) bodiless: bool,
    /// Whether the request has no body, and its method is safe.
    pub(super) safe: bool,
    pub(super) kind: ConnectionKind,
    pub(super) interim: Option<OnInterim>,
    pub(super) reservation: Reservation,
    pub(super) guards: Box<dyn std::any::Any + Send + Sync>,
    pub(super) progress: Arc<Progress>,
    /// The bound that counts a stall of the response.
    pub(super) stall_bound: Bound,
    /// The body of the response breaks off then.
    pub(super) deadline: Option<Pin<Box<Sleep>>>,
}

impl Exchange {
    /// Begins the exchange. Not a part of the future that sends the request: an argument that an async function takes
    /// apart is held twice.
    pub(super) fn new(outgoing: Outgoing, bounds: &Bounds) -> Self {
        let Outgoing {
            request,
            path_and_query,
            expects_continue,
            kind,
            interim,
            secret_fields,
            reservation,
            guards,
        } = outgoing;
        let (stall_timeout, stall_bound) = match is_grpc(request.headers()) {
            true => (bounds.stream_idle_timeout, Bound::StreamIdle),
            false => (bounds.body_idle_timeout, Bound::BodyIdle),
        };
        let progress = Progress::start(stall_timeout, expects_continue);
        let bodiless = request.body().is_end_stream();
        let safe = request.method().is_safe() && bodiless;
        let mut request = request.map(|body| RequestBody::new(body, Arc::clone(&progress), secret_fields));
        request.extensions_mut().clear();
        if expects_continue {
            request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        let deadline = bounds.request_timeout.map(|timeout| Box::pin(tokio::time::sleep(timeout)));
        Self {
            request,
            path_and_query,
            expects_continue,
            bodiless,
            safe,
            kind,
            interim,
            reservation,
            guards,
            progress,
            stall_bound,
            deadline,
        }
    }
}

/// Receives the status and the fields of an interim response.
pub(crate) type OnInterim = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;
