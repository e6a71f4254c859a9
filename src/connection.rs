//! A client's connection: what the server has found out about it, and the proxy goes by.

mod interim;

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;

pub use interim::Interim;

/// What is known of the connection that a request came over. It lasts as long as anything of the connection does:
/// a tunnel holds it after HTTP has ended.
#[derive(Debug)]
pub struct Connection {
    /// The other end, or whom a trusted balancer speaks for (PROXY protocol). Behind a Unix socket it is 127.0.0.1,
    /// port 0.
    pub peer: SocketAddr,
    /// Whether it is encrypted.
    pub secure: bool,
    /// The names in the client's certificate, which has been verified: URIs first, then DNS names.
    pub names: Vec<String>,
    /// The way for interim answers. None: HTTP/2.
    pub interim: Option<Arc<Interim>>,
    /// What is given back when the last of it is gone.
    pub held: Held,
}

/// Whatever is to be dropped when the last who holds it is gone. In the extensions of a request that may become a
/// tunnel: for the tunnel to hold.
#[derive(Clone)]
pub struct Held(pub Arc<dyn std::any::Any + Send + Sync>);

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Held(..)")
    }
}

/// In the extensions of a request that stands for one that could not be read: how it is to be answered.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// 400, 405, 408, 414, 431, 501 or 505.
    pub status: StatusCode,
    /// What is wrong, in words for the client.
    pub reason: String,
}
