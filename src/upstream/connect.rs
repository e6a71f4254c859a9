//! Connects to the upstream: resolves the name, opens the socket, and does the TLS handshake.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::settings::UpstreamAddress;

/// The protocol of connections to the upstream.
#[derive(Clone, Debug)]
pub(crate) enum Protocol {
    /// HTTP/1.1 without TLS.
    Http1,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113, section 3.3).
    H2c,
    /// HTTP/2 or HTTP/1.1 over TLS: the upstream chooses. Each new connection uses the current TLS configuration.
    Tls(Arc<ArcSwap<UpstreamTls>>),
}

/// The connection that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionKind {
    /// A connection over HTTP/1.1 or HTTP/2 that serves other requests too.
    Pooled,
    /// A connection over HTTP/1.1 for this request alone, which leaves HTTP if the upstream accepts the upgrade.
    Upgrade,
}

/// TLS to the upstream.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamTls {
    /// The trusted roots and the client certificate.
    pub config: Arc<ClientConfig>,
    /// The name that the upstream's certificate must have.
    pub server_name: ServerName<'static>,
}

pub(super) type Stream = Either<Either<TcpStream, UnixStream>, Box<TlsStream<Either<TcpStream, UnixStream>>>>;

/// How far an attempt to connect has come, so that a timeout can be reported as that of the step it happened in.
#[derive(Debug, Default)]
pub(super) struct ConnectStage {
    in_tls_handshake: AtomicBool,
}

impl ConnectStage {
    fn begin_tls_handshake(&self) {
        self.in_tls_handshake.store(true, Ordering::Relaxed);
    }

    /// Returns whether the TLS handshake has begun.
    pub(super) fn is_in_tls_handshake(&self) -> bool {
        self.in_tls_handshake.load(Ordering::Relaxed)
    }
}

/// Returns a new connection, and whether it uses HTTP/2.
pub(super) async fn connect(
    address: &UpstreamAddress,
    protocol: &Protocol,
    kind: ConnectionKind,
    stage: &ConnectStage,
) -> io::Result<(Stream, bool)> {
    let socket = match address {
        UpstreamAddress::Tcp { host, port } => Either::Left(tcp(host, *port).await?),
        UpstreamAddress::Unix(path) => Either::Right(UnixStream::connect(path).await?),
    };
    match protocol {
        Protocol::Http1 => Ok((Either::Left(socket), false)),
        Protocol::H2c => Ok((Either::Left(socket), kind == ConnectionKind::Pooled)),
        Protocol::Tls(tls) => {
            let tls = tls.load_full();
            let mut config = ClientConfig::clone(&tls.config);
            config.alpn_protocols = match kind {
                ConnectionKind::Upgrade => vec![b"http/1.1".to_vec()],
                ConnectionKind::Pooled => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            };
            stage.begin_tls_handshake();
            let stream =
                TlsConnector::from(Arc::new(config)).connect(tls.server_name.clone(), socket).await?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok((Either::Right(Box::new(stream)), http2))
        }
    }
}

/// The time for each of several addresses but the last one, before the next address is tried instead.
const ADDRESS_TIMEOUT: Duration = Duration::from_millis(250);

/// Connects to the first address of a name that accepts a connection, in the resolver's order.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut addresses = tokio::net::lookup_host((host, port)).await?.peekable();
    while let Some(address) = addresses.next() {
        let connecting = TcpStream::connect(address);
        let connected = match addresses.peek() {
            None => connecting.await,
            Some(_) => match tokio::time::timeout(ADDRESS_TIMEOUT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            },
        };
        match connected {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
