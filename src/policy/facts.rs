//! What the rules may ask about a request. Pure.

use http::{HeaderMap, Method};

use super::client::Client;
use super::query::Query;

/// All that the rules may ask about a request.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The request's own method; override headers do not count.
    pub method: &'a Method,
    /// Lower case, without port and trailing dot.
    pub host: &'a str,
    /// As [`super::path::matched`] makes it of the canonical path, which is what is forwarded.
    pub path: &'a str,
    /// The same of the path with its encoded separators decoded: see [`super::path::decoded`]. What applies to either path applies
    /// to the request. None: the path has none.
    pub decoded_path: Option<&'a str>,
    /// The query, decoded if a rule demands something of it.
    pub query: Query<'a>,
    /// As received.
    pub headers: &'a HeaderMap,
    /// Whether the request is an upgrade to WebSocket, over HTTP/1.1 (RFC 6455) or HTTP/2 (RFC 8441), which is
    /// forwarded as one. Its fields are hidden from the rules (`fields::is_hidden`), and its method is GET.
    pub websocket: bool,
    /// The sender of the request.
    pub client: Client,
    /// The verified names in the certificate that the peer showed: URIs first, then DNS names. Empty if it showed
    /// none.
    pub names: &'a [String],
}

impl<'a> Facts<'a> {
    /// The names in the certificate of whom the request comes from. A proxy's certificate says nothing of those
    /// for whom it forwards.
    #[must_use]
    pub fn own_names(&self) -> &'a [String] {
        if self.client.direct { self.names } else { &[] }
    }

    /// Returns the facts under the decoded reading of the path, if it has one.
    pub(crate) fn decoded(&self) -> Option<Self> {
        let path = self.decoded_path?;
        Some(Self { path, decoded_path: None, query: Query::new(self.query.text()), ..*self })
    }
}
