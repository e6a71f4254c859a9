//! A port that belongs to one test, and on which nothing listens yet.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Bound, so that the system gives the port to no other process, but not listening, so that it refuses connections.
pub struct ReservedPort(TcpSocket);

impl ReservedPort {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self(socket)
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Accepts connections from now on.
    pub fn listen(self) -> TcpListener {
        self.0.listen(16).unwrap()
    }
}
