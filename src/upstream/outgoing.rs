//! A request to the upstream, with what is needed to send it.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Request, StatusCode};
use hyper::body::Incoming;

use super::connect::ConnectionKind;
use super::pool::Reservation;

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

/// Receives the status and the fields of an interim response.
pub(crate) type OnInterim = Arc<dyn Fn(StatusCode, &HeaderMap) + Send + Sync>;
