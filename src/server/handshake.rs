//! The steps of a connection before HTTP begins: the header of the PROXY protocol, TLS, and the first bytes of HTTP.
//! Each has its own bound.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use ipnet::IpNet;
use rustls::ServerConfig;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::proxy_protocol;
use crate::bounds::Bounds;
use crate::metrics::{self, Bound};
use crate::policy::live::Live;
use crate::tls;

/// A socket that a listener accepted.
pub(super) type Socket = Either<TcpStream, UnixStream>;
/// A socket with or without TLS.
pub(super) type Stream = Either<Socket, Box<TlsStream<Socket>>>;

/// RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The address of clients on a Unix socket, which have none: they are on this machine.
pub(super) const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The configuration of the steps before HTTP.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handshake {
    /// The current TLS configuration, which each new connection uses. None: without TLS.
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    /// Peers whose connections begin with a header of the PROXY protocol.
    pub proxy_protocol: Vec<IpNet>,
    /// The bounds of a client.
    pub bounds: Bounds,
    /// Configures how paths are read. A target that no reading accepts is refused before all of it has arrived.
    pub policy: Arc<Live>,
}

/// A connection on which HTTP is about to begin.
pub(super) struct Accepted {
    pub(super) stream: Stream,
    /// The bytes that were read already.
    pub(super) read: BytesMut,
    pub(super) http2: bool,
    pub(super) names: Vec<String>,
    pub(super) secure: bool,
}

impl Handshake {
    /// Returns the address of the client behind `peer`: the one in a header of the PROXY protocol, if `peer` sends
    /// them. `None`: the header is missing or wrong, and the connection ends.
    pub(super) async fn resolve_peer(&self, socket: &mut Socket, peer: SocketAddr) -> Option<SocketAddr> {
        let address = peer.ip().to_canonical();
        if !self.proxy_protocol.iter().any(|network| network.contains(&address)) {
            return Some(peer);
        }
        let header = timeout(self.bounds.proxy_header_timeout, proxy_protocol::read_header(socket)).await;
        match header {
            Ok(Ok(client)) => Some(client.unwrap_or(peer)),
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "closed: there is no valid header of the PROXY protocol");
                Bound::ProxyHeader.count_exceeded();
                None
            }
            Err(_) => {
                Bound::ProxyHeader.count_exceeded();
                None
            }
        }
    }

    /// Does the TLS handshake, and reads the first bytes. `None`: they did not arrive in time, or the handshake failed.
    pub(super) async fn accept(&self, socket: Socket) -> Option<Accepted> {
        let (mut stream, names) = match &self.tls {
            None => (Stream::Left(socket), Vec::new()),
            Some(config) => {
                let accepting = TlsAcceptor::from(config.load_full()).accept(socket);
                let stream = match timeout(self.bounds.handshake_timeout, accepting).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => {
                        metrics::handshake_failed();
                        tracing::debug!(%error, "closed: the TLS handshake failed");
                        return None;
                    }
                    Err(_) => {
                        Bound::Handshake.count_exceeded();
                        return None;
                    }
                };
                let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
                let names = certificate.map(tls::names).unwrap_or_default();
                (Stream::Right(Box::new(stream)), names)
            }
        };
        let Ok(first) = timeout(self.bounds.first_byte_timeout, first_bytes(&mut stream)).await else {
            Bound::FirstByte.count_exceeded();
            return None;
        };
        let (read, http2) = first?;
        Some(Accepted { stream, read, http2, names, secure: self.tls.is_some() })
    }
}

/// Reads until it is clear which protocol begins. True: HTTP/2. `None`: the peer has left.
async fn first_bytes(stream: &mut Stream) -> Option<(BytesMut, bool)> {
    let mut read = BytesMut::with_capacity(1024);
    loop {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        if read.starts_with(HTTP2_PREFACE) {
            return Some((read, true));
        }
        if !HTTP2_PREFACE.starts_with(&read) {
            return Some((read, false));
        }
    }
}

/// Makes a stream end with a reset when it is dropped, so that the client does not take the end for a regular one. (A
/// Unix socket has no reset.)
pub(super) fn reset(stream: &Stream) {
    let socket = match stream {
        Stream::Left(socket) => socket,
        Stream::Right(tls) => tls.get_ref().0,
    };
    if let Socket::Left(tcp) = socket {
        // If it fails, the connection is gone.
        let _ = tcp.set_zero_linger();
    }
}
