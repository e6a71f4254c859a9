//! Accepts connections, bounds them, and closes them without losing a request.

mod body;
mod h2_stall;
mod handshake;
mod http1;
mod http2;
mod http_config;
mod http_connection;
mod idle;
mod listener;
mod proxy_protocol;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::connection::{Connection, ConnectionGuards};
use crate::metrics::{self, Bound, GaugeGuard};
use crate::permits::PermitPool;
pub(crate) use handshake::Handshake;
use handshake::{Accepted, LOCAL, Socket, reset};
use http_config::HttpConfig;
use http_connection::HttpConnection;
use http1::strict::StrictHttp1;
use http2::guard::FloodGuard;
pub(crate) use listener::Listener;

/// How long to keep draining the accept backlog after shutdown begins.
const BACKLOG_DRAIN: Duration = Duration::from_millis(50);
/// How long a handshake may still take once shutdown has begun.
const HANDSHAKE_DRAIN: Duration = Duration::from_millis(500);
/// The pause after an error such as "too many open files", which accepting again at once would only repeat.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The two steps in which a listener ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drain {
    /// The listener still accepts, but each response over HTTP/1 has `Connection: close`, so that clients connect
    /// elsewhere.
    pub leaving: CancellationToken,
    /// The listener no longer accepts. Requests under way are finished, idle connections are closed.
    pub closing: CancellationToken,
}

/// Serves `listener` until `drain` ends it, and returns when the last connection has closed, tunnels included.
/// `handle` responds to one request. A request with [`crate::connection::Unreadable`] in its extensions stands for one
/// that the server could not read.
pub(crate) async fn run<H, F, B>(listener: Listener, handshake: Handshake, drain: Drain, handle: H)
where
    H: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(handshake.bounds.connections));
    let http = Arc::new(HttpConfig::new(&handshake.bounds));
    let acceptor = Arc::new(Acceptor::new(handshake));
    let open = TaskTracker::new();
    let mut backlog_drained = pin!(async {
        drain.closing.cancelled().await;
        tokio::time::sleep(BACKLOG_DRAIN).await;
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut backlog_drained => break,
            accepted = listener.accept() => accepted,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(_) if drain.closing.is_cancelled() => break,
            Err(error) => {
                tracing::debug!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            Bound::Connections.count_exceeded();
            continue;
        };
        let (acceptor, http, handle, drain) =
            (Arc::clone(&acceptor), Arc::clone(&http), handle.clone(), drain.clone());
        let guards = (open.token(), permit, metrics::client_connection());
        open.spawn(async move {
            // Boxed, so that the connection does not keep the memory of its handshake.
            let accepted = Box::pin(async {
                let mut accepting = pin!(acceptor.accept(socket, peer, guards));
                tokio::select! {
                    accepted = &mut accepting => accepted,
                    // A request that is just arriving is served. A client that has sent none loses nothing.
                    () = drain.closing.cancelled() => timeout(HANDSHAKE_DRAIN, accepting).await.ok().flatten(),
                }
            });
            if let Some(connection) = accepted.await {
                connection.serve(http, drain, handle).await;
            }
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Takes connections from their acceptance to HTTP.
struct Acceptor {
    handshake: Handshake,
    per_client: Arc<PermitPool>,
}

impl Acceptor {
    fn new(handshake: Handshake) -> Self {
        let per_client = PermitPool::new(usize::MAX, handshake.bounds.connections_per_client);
        Self { handshake, per_client }
    }

    /// Returns a connection on which HTTP begins. None: the connection was closed, and counted if a bound was reached.
    async fn accept(
        &self,
        mut socket: Socket,
        peer: SocketAddr,
        guards: (TaskTrackerToken, OwnedSemaphorePermit, GaugeGuard),
    ) -> Option<HttpConnection> {
        let peer = self.handshake.resolve_peer(&mut socket, peer).await?;
        // All clients on a Unix socket have the same address, so it cannot tell them apart.
        let own = (peer != LOCAL).then(|| self.per_client.try_acquire(peer.ip())).transpose();
        let Ok(own) = own else {
            Bound::ConnectionsPerClient.count_exceeded();
            return None;
        };
        let Accepted { stream, read, http2, names, secure } = self.handshake.accept(socket).await?;
        let stream = match http2 {
            false => StrictHttp1::http1(Either::Left(stream), read, &self.handshake, |stream| {
                if let Either::Left(stream) = stream {
                    reset(stream);
                }
            }),
            true => {
                let guard = FloodGuard::new(stream, &read, &self.handshake.bounds);
                StrictHttp1::pass_through(Either::Right(guard), read, &self.handshake)
            }
        };
        let interim = (!http2).then(|| stream.interim());
        let guards = ConnectionGuards(Arc::new((guards, own)));
        let peer_address = Connection::address_text(peer);
        let connection = Connection { peer, peer_address, secure, names, interim, guards };
        Some(HttpConnection { stream: Box::new(stream), http2, connection: Arc::new(connection) })
    }
}
