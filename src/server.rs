//! Accepting connections, bounding them, and letting them go without losing a request.

mod activity;
mod conversation;
mod entrance;
mod http1;
mod http2;
mod proxy_protocol;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::connection::{Connection, Held};
use crate::metrics::{Bound, ConnectionGuard};
use crate::permits::PermitPool;
use conversation::{Conversation, Http};
pub use entrance::Entrance;
use entrance::{Entered, LOCAL, Socket, reset};
use http1::screen::Screen;
use http2::guard::FloodGuard;

/// How long what the kernel has accepted for us is still taken from it when the listener is to close.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How long a connection without a request is kept from then on.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// After an error such as "too many open files", which accepting again at once would only repeat.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where clients connect.
#[derive(Debug)]
pub enum Listener {
    /// By TCP.
    Tcp(TcpListener),
    /// On this machine.
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<(Socket, SocketAddr)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are written whole; waiting to fill a packet (Nagle's algorithm) only delays them. (It fails
                // for a connection that is gone, which is found out soon enough.)
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

/// The two steps in which a listener ends.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    /// Still accepting, but each answer of HTTP/1 says `Connection: close`: clients leave of their own accord.
    pub leaving: CancellationToken,
    /// No longer accepting; requests under way are finished, idle connections closed.
    pub closing: CancellationToken,
}

/// Serves `listener` until `drain` says otherwise, and returns when the last connection is gone, tunnels included.
/// `handle` answers one request; one with [`crate::connection::Unreadable`] in its extensions stands for one that
/// could not be read.
pub async fn run<H, F, B>(listener: Listener, entrance: Entrance, drain: Drain, handle: H)
where
    H: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(entrance.bounds.connections));
    let http = Http::new(&entrance.bounds);
    let hall = Arc::new(Hall::new(entrance));
    let open = TaskTracker::new();
    let mut last_call = pin!(async {
        drain.closing.cancelled().await;
        tokio::time::sleep(LAST_CALL).await;
    });
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut last_call => break,
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
            Bound::Connections.exceeded();
            continue;
        };
        let (hall, http, handle, drain) = (Arc::clone(&hall), http.clone(), handle.clone(), drain.clone());
        let held = (open.token(), permit, ConnectionGuard::open());
        open.spawn(async move {
            let mut entering = pin!(hall.enter(socket, peer, held));
            let entered = tokio::select! {
                entered = &mut entering => entered,
                // Who is asking just now is answered; who has asked nothing loses nothing.
                () = drain.closing.cancelled() => timeout(LAST_WORDS, entering).await.ok().flatten(),
            };
            if let Some(conversation) = entered {
                conversation.serve(http, drain, handle).await;
            }
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

/// Where connections are between their acceptance and HTTP.
struct Hall {
    entrance: Entrance,
    per_client: Arc<PermitPool>,
}

impl Hall {
    fn new(entrance: Entrance) -> Self {
        let per_client = PermitPool::new(usize::MAX, entrance.bounds.connections_per_client);
        Self { entrance, per_client }
    }

    /// None: the connection was closed, and counted if a bound was reached.
    async fn enter(
        &self,
        mut socket: Socket,
        peer: SocketAddr,
        held: (TaskTrackerToken, OwnedSemaphorePermit, ConnectionGuard),
    ) -> Option<Conversation> {
        let bounds = &self.entrance.bounds;
        let peer = self.entrance.client(&mut socket, peer).await?;
        // All that come over a Unix socket have one address, which says nothing about them.
        let own = (peer != LOCAL).then(|| self.per_client.try_acquire(peer.ip())).transpose();
        let Ok(own) = own else {
            Bound::ConnectionsPerClient.exceeded();
            return None;
        };
        let Entered { stream, read, http2, names, secure } = self.entrance.enter(socket).await?;
        let screen = match http2 {
            false => Screen::http1(Either::Left(stream), read, bounds, |stream| {
                if let Either::Left(stream) = stream {
                    reset(stream);
                }
            }),
            true => {
                let guard = FloodGuard::new(stream, &read, bounds);
                Screen::http2(Either::Right(guard), read, bounds)
            }
        };
        let interim = (!http2).then(|| screen.interim());
        let connection = Connection { peer, secure, names, interim, held: Held(Arc::new((held, own))) };
        Some(Conversation { screen, http2, connection: Arc::new(connection) })
    }
}
