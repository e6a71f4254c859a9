//! A client's connection: what the server knows about it, for the proxy.

mod interim;

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};

pub(crate) use interim::InterimResponses;

/// What is known about the connection that a request arrived on. It lasts as long as any part of the connection: a
/// tunnel holds it after HTTP has ended.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The address of the peer, or the one that a trusted load balancer gives for it (PROXY protocol). Behind a Unix
    /// socket it is 127.0.0.1, port 0.
    pub peer: SocketAddr,
    /// The peer's IP address as text: each request is forwarded with it.
    pub peer_address: HeaderValue,
    /// Whether the connection uses TLS.
    pub secure: bool,
    /// The names in the client's certificate, which is verified: URIs first, then DNS names.
    pub names: Vec<String>,
    /// The queue of interim responses. None: HTTP/2, which cannot have any.
    pub interim: Option<Arc<InterimResponses>>,
    /// The permits of the connection, given back when its last part has ended.
    #[expect(dead_code, reason = "held for its drop")]
    pub guards: ConnectionGuards,
}

impl Connection {
    /// Returns the text of a peer's IP address. An IPv4 address that the socket has as IPv6 is written as IPv4.
    pub(crate) fn address_text(peer: SocketAddr) -> HeaderValue {
        let text = peer.ip().to_canonical().to_string();
        // Each address is a valid value. `unknown` is the word of RFC 7239, section 6.2.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unknown"))
    }
}

/// Guards of a connection, which are dropped with the last clone. A request that may become a tunnel has them in its
/// extensions: while the tunnel holds them, the connection does not count as idle.
#[derive(Clone)]
pub(crate) struct ConnectionGuards(
    #[expect(dead_code, reason = "held for its drop")] pub Arc<dyn std::any::Any + Send + Sync>,
);

impl std::fmt::Debug for ConnectionGuards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConnectionGuards(..)")
    }
}

/// Why the server could not read a request. In the extensions of the stand-in: the request that takes its place.
#[derive(Clone, Debug)]
pub(crate) struct Unreadable {
    /// The status of the response: 400, 405, 408, 414, 431, 501 or 505.
    pub status: StatusCode,
    /// What is wrong with the request, in words for the client.
    pub reason: String,
}
