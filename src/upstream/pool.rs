//! The connections to the upstream. Idle ones are kept for later requests, and their number is bounded.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::connect::{ConnectStage, ConnectionKind, Protocol, connect};
use super::request_body::RequestBody;
use crate::clock::Stopwatch;
use crate::metrics;
use crate::settings::{UpstreamAddress, UpstreamSettings};

/// The maximum number of requests at once on one HTTP/2 connection, where the upstream allows more. Another connection
/// is opened for those beyond it, so that one lost packet does not delay all requests.
const MAX_STREAMS: usize = 100;
/// The bytes of responses that an upstream may send over HTTP/2 before they are read.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// HTTP/2 connections are pinged, to detect an upstream that has left without closing them.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of the head of a response over HTTP/1.1. (hyper bounds the number of its fields.)
const MAX_HEADER_BYTES: usize = 256 * 1024;

/// All connections to the upstream.
#[derive(Debug)]
pub(super) struct Pool {
    address: UpstreamAddress,
    protocol: Protocol,
    idle_timeout: Duration,
    /// One permit for each request that is under way or waits for that.
    reservations: Arc<Semaphore>,
    /// One permit for each request that is under way.
    under_way: Arc<Semaphore>,
    started: Stopwatch,
    /// The idle connections over HTTP/1.1. The one used last is last.
    idle: Mutex<Vec<IdleConnection>>,
    /// The connections over HTTP/2.
    http2: Mutex<Vec<Http2Connection>>,
    /// Whether the last connection used HTTP/2.
    last_was_http2: AtomicBool,
    /// Locked while an HTTP/2 connection is dialed: the requests that wait for the lock share that connection.
    dialing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct IdleConnection {
    sender: http1::SendRequest<RequestBody>,
    task: ConnectionTask,
    /// When it became idle, in milliseconds since the pool's start.
    since: i64,
}

#[derive(Debug)]
struct Http2Connection {
    sender: http2::SendRequest<RequestBody>,
    /// One reference for each request under way, and one that is the pool's own.
    streams: Arc<()>,
    /// The maximum number of requests at once that the upstream last announced.
    max_streams: Arc<AtomicUsize>,
}

/// The sending side of a connection that is ready for a request.
#[derive(Debug)]
pub(super) enum Sender {
    Http1 {
        sender: http1::SendRequest<RequestBody>,
        reused: bool,
        task: ConnectionTask,
    },
    /// `_stream` counts the request at its connection.
    Http2 {
        sender: http2::SendRequest<RequestBody>,
        _stream: Arc<()>,
    },
}

/// The task of a connection over HTTP/1.1. Dropping this aborts the task: when only the sender is dropped, the task
/// goes on while the upstream reads nothing of what it is sent.
#[derive(Debug)]
pub(super) struct ConnectionTask(Option<AbortHandle>);

impl ConnectionTask {
    /// Lets the task go on without this: the connection has left HTTP, and a tunnel uses it.
    pub(super) fn detach(&mut self) {
        self.0 = None;
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        self.0.take().inspect(AbortHandle::abort);
    }
}

/// A place among the requests that wait for the upstream or are under way. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Reservation(OwnedSemaphorePermit);

/// The permit of one request to be under way. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct RequestPermit {
    _under_way: OwnedSemaphorePermit,
    _reservation: OwnedSemaphorePermit,
}

/// A connection of the pool while one request uses it. If it is dropped, a connection over HTTP/1.1 ends.
pub(super) struct PooledConnection {
    pool: Arc<Pool>,
    sender: Sender,
    _permit: RequestPermit,
    /// The permits of the request's client.
    _guards: Box<dyn std::any::Any + Send + Sync>,
}

impl PooledConnection {
    pub(super) fn new(
        pool: Arc<Pool>,
        sender: Sender,
        permit: RequestPermit,
        guards: Box<dyn std::any::Any + Send + Sync>,
    ) -> Self {
        Self { pool, sender, _permit: permit, _guards: guards }
    }

    /// Keeps the connection for later requests, if it can serve any.
    pub(super) fn return_to_pool(self) {
        if let Sender::Http1 { sender, task, .. } = self.sender
            && !sender.is_closed()
            && !self.pool.idle_timeout.is_zero()
        {
            self.pool.keep(sender, task);
        }
    }
}

impl Pool {
    pub(super) fn new(settings: &UpstreamSettings, protocol: Protocol) -> Arc<Self> {
        Arc::new(Self {
            address: settings.address.clone(),
            idle_timeout: settings.idle_timeout,
            reservations: Arc::new(Semaphore::new(settings.connections.saturating_add(settings.pending))),
            under_way: Arc::new(Semaphore::new(settings.connections)),
            started: Stopwatch::start(),
            idle: Mutex::default(),
            http2: Mutex::default(),
            last_was_http2: AtomicBool::new(matches!(protocol, Protocol::H2c)),
            protocol,
            dialing: tokio::sync::Mutex::default(),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<IdleConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn http2(&self) -> MutexGuard<'_, Vec<Http2Connection>> {
        self.http2.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a place among the requests that wait or are under way. `None`: all are taken.
    pub(super) fn reserve(&self) -> Option<Reservation> {
        Arc::clone(&self.reservations).try_acquire_owned().ok().map(Reservation)
    }

    /// Turns a reservation into the permit to be under way, if one is free.
    pub(super) fn try_acquire(
        &self,
        Reservation(reservation): Reservation,
    ) -> Result<RequestPermit, Reservation> {
        match Arc::clone(&self.under_way).try_acquire_owned() {
            Ok(under_way) => Ok(RequestPermit { _under_way: under_way, _reservation: reservation }),
            Err(_) => Err(Reservation(reservation)),
        }
    }

    /// Waits for the permit to be under way. (`None` would mean that the pool is closed.)
    pub(super) async fn acquire(&self, Reservation(reservation): Reservation) -> Option<RequestPermit> {
        let under_way = Arc::clone(&self.under_way).acquire_owned().await.ok()?;
        Some(RequestPermit { _under_way: under_way, _reservation: reservation })
    }

    /// Returns a connection that is ready for a request now, if there is one.
    pub(super) fn try_checkout(&self) -> Option<Sender> {
        if self.last_was_http2.load(Ordering::Relaxed) {
            return if self.may_share() { self.share() } else { None };
        }
        let (sender, task) = self.pop_idle()?;
        if sender.is_ready() {
            return Some(Sender::Http1 { sender, reused: true, task });
        }
        // Its task has not yet noticed that the last response has ended.
        self.keep(sender, task);
        None
    }

    /// Returns a connection that is ready for a request, dialing one if none is, or if it must be `fresh`.
    pub(super) async fn checkout(self: &Arc<Self>, fresh: bool, stage: &ConnectStage) -> io::Result<Sender> {
        while !fresh && !self.last_was_http2.load(Ordering::Relaxed) {
            let Some((mut sender, task)) = self.pop_idle() else { break };
            // Fails if the upstream has closed the connection.
            if sender.ready().await.is_ok() {
                return Ok(Sender::Http1 { sender, reused: true, task });
            }
        }
        if fresh || !self.may_share() {
            return self.dial(ConnectionKind::Pooled, stage).await;
        }
        if let Some(sender) = self.share() {
            return Ok(sender);
        }
        let _one_at_a_time = self.dialing.lock().await;
        match self.share() {
            Some(sender) => Ok(sender),
            None => self.dial(ConnectionKind::Pooled, stage).await,
        }
    }

    /// Returns whether requests share connections: over HTTP/2.
    fn may_share(&self) -> bool {
        !matches!(self.protocol, Protocol::Http1) && self.last_was_http2.load(Ordering::Relaxed)
    }

    /// Keeps a connection over HTTP/1.1 for later requests.
    fn keep(&self, sender: http1::SendRequest<RequestBody>, task: ConnectionTask) {
        self.idle().push(IdleConnection { sender, task, since: self.started.millis() });
    }

    /// Takes the idle connection that was used last, so that connections that are not needed reach their idle timeout.
    fn pop_idle(&self) -> Option<(http1::SendRequest<RequestBody>, ConnectionTask)> {
        let mut idle = self.idle();
        while let Some(IdleConnection { sender, task, since }) = idle.pop() {
            if self.has_expired(since) {
                // All below it have been idle for even longer.
                idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some((sender, task));
            }
        }
        None
    }

    /// Returns whether a connection that became idle at `since` has reached its idle timeout.
    fn has_expired(&self, since: i64) -> bool {
        let idle = u64::try_from(self.started.millis() - since).unwrap_or_default();
        Duration::from_millis(idle) >= self.idle_timeout
    }

    /// Closes connections over HTTP/1.1 that have been idle for too long, and all unused ones over HTTP/2 but one.
    pub(super) fn sweep(&self) {
        self.idle().retain(|idle| !self.has_expired(idle.since) && !idle.sender.is_closed());
        let mut spare = 1;
        self.http2().retain(|connection| {
            let unused = Arc::strong_count(&connection.streams) == 1;
            spare -= i32::from(unused);
            !connection.sender.is_closed() && (!unused || spare >= 0)
        });
    }

    /// Returns an HTTP/2 connection that has room for one more request.
    fn share(&self) -> Option<Sender> {
        let mut http2 = self.http2();
        http2.retain(|connection| !connection.sender.is_closed());
        let free = http2.iter().find(|connection| {
            let max_streams = connection.max_streams.load(Ordering::Relaxed).min(MAX_STREAMS);
            // One reference is the pool's own.
            Arc::strong_count(&connection.streams) <= max_streams
        })?;
        Some(Sender::Http2 { sender: free.sender.clone(), _stream: Arc::clone(&free.streams) })
    }

    /// Opens a connection of this kind.
    pub(super) async fn dial(
        self: &Arc<Self>,
        kind: ConnectionKind,
        stage: &ConnectStage,
    ) -> io::Result<Sender> {
        let (stream, http2) = connect(&self.address, &self.protocol, kind, stage).await?;
        let io = TokioIo::new(stream);
        let counted = metrics::upstream_connection();
        if http2 {
            let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_TIMEOUT)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
                .handshake(io)
                .await
                .map_err(io::Error::other)?;
            let (streams, max_streams) = (Arc::new(()), Arc::new(AtomicUsize::new(MAX_STREAMS)));
            let announced = Arc::clone(&max_streams);
            tokio::spawn(async move {
                let _counted = counted;
                let connection = std::future::poll_fn(|context| {
                    announced.store(connection.current_max_send_streams(), Ordering::Relaxed);
                    Pin::new(&mut connection).poll(context)
                });
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the upstream ended");
                }
            });
            let connection =
                Http2Connection { sender: sender.clone(), streams: Arc::clone(&streams), max_streams };
            self.http2().push(connection);
            self.last_was_http2.store(true, Ordering::Relaxed);
            return Ok(Sender::Http2 { sender, _stream: streams });
        }
        let mut builder = http1::Builder::new();
        // The number of fields keeps hyper's bound of 100: for any other, hyper allocates memory for each response.
        builder.max_buf_size(MAX_HEADER_BYTES);
        let (sender, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        let task = tokio::spawn(async move {
            let _counted = counted;
            let ended = match kind {
                ConnectionKind::Upgrade => connection.with_upgrades().await,
                ConnectionKind::Pooled => connection.await,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection to the upstream ended");
            }
        });
        if kind == ConnectionKind::Pooled {
            self.last_was_http2.store(false, Ordering::Relaxed);
        }
        let task = ConnectionTask(Some(task.abort_handle()));
        Ok(Sender::Http1 { sender, reused: false, task })
    }
}
