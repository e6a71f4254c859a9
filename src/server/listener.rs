//! The sockets on which clients arrive.

use std::net::SocketAddr;

use tokio::net::{TcpListener, UnixListener};

use super::handshake::{LOCAL, Socket};

/// A bound socket that accepts clients.
#[derive(Debug)]
pub(crate) enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Returns the next connection, and the address of its peer.
    pub(super) async fn accept(&self) -> std::io::Result<(Socket, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Responses are written whole: waiting to fill a packet (Nagle's algorithm) only delays them. The call
                // fails for a connection that has closed, which reading it reports.
                let _ = stream.set_nodelay(true);
                Ok((Socket::Left(stream), peer))
            }
            Self::Unix(listener) => {
                let (stream, _unnamed) = listener.accept().await?;
                Ok((Socket::Right(stream), LOCAL))
            }
        }
    }
}
