//! Reaching the application: names, sockets, TLS.

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

/// How the application is spoken to.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// HTTP/1.1 in the clear.
    Http1,
    /// HTTP/2 in the clear, without asking first (RFC 9113, section 3.3).
    H2c,
    /// HTTP/2 or HTTP/1.1 over TLS, as the application chooses, by whatever configuration is in force when a
    /// connection is made.
    Tls(Arc<ArcSwap<Tls>>),
}

/// The connection that a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionKind {
    /// A connection of HTTP/1.1 or HTTP/2 that serves other requests too.
    Pooled,
    /// A connection of HTTP/1.1 for this request alone, which leaves HTTP if the upstream accepts the upgrade.
    Upgrade,
}

/// TLS towards the application.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Whom to believe, and what to show.
    pub config: Arc<ClientConfig>,
    /// The name that the application's certificate must have.
    pub server_name: ServerName<'static>,
}

pub(super) type Stream = Either<Either<TcpStream, UnixStream>, Box<TlsStream<Either<TcpStream, UnixStream>>>>;

/// Whether a connection that is being made has reached the TLS handshake: if it comes to nothing, that is why.
#[derive(Debug, Default)]
pub(super) struct Handshake(AtomicBool);

impl Handshake {
    fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A new connection, and whether it is for HTTP/2.
pub(super) async fn connect(
    address: &UpstreamAddress,
    protocol: &Protocol,
    kind: ConnectionKind,
    handshake: &Handshake,
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
            handshake.begin();
            let stream =
                TlsConnector::from(Arc::new(config)).connect(tls.server_name.clone(), socket).await?;
            let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            Ok((Either::Right(Box::new(stream)), http2))
        }
    }
}

/// How long one of several addresses may take before the next is tried as well.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Connects to the first address of a name that answers, in the resolver's order.
async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let mut addresses = tokio::net::lookup_host((host, port)).await?.peekable();
    while let Some(address) = addresses.next() {
        let connecting = TcpStream::connect(address);
        let connected = match addresses.peek() {
            None => connecting.await,
            Some(_) => match tokio::time::timeout(NEXT_ADDRESS, connecting).await {
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
