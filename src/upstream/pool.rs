//! Connections to the application, kept for the next request, and never more of them than allowed.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::connect::{ConnectionKind, Handshake, Protocol, connect};
use super::exchange::RequestBody;
use crate::clock::Stopwatch;
use crate::metrics;
use crate::settings::{UpstreamAddress, UpstreamSettings};

/// The most requests at once on one HTTP/2 connection, if the application allows more: beyond it a second one is
/// opened, so that one lost packet does not hold up everything.
const STREAMS: usize = 100;
/// HTTP/2, of an answer.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER: Duration = Duration::from_secs(10);
/// Of an answer.
const MAX_HEADERS: usize = 200;
const HEADER_BYTES: usize = 256 * 1024;

/// All connections to the application.
#[derive(Debug)]
pub(super) struct Pool {
    address: UpstreamAddress,
    protocol: Protocol,
    idle_timeout: Duration,
    /// One for each request that is under way or waits for its turn.
    reservations: Arc<Semaphore>,
    /// One for each request that is under way.
    places: Arc<Semaphore>,
    started: Stopwatch,
    /// Of HTTP/1.1: the one used last is last.
    idle: Mutex<Vec<Idle>>,
    /// Of HTTP/2.
    shared: Mutex<Vec<Shared>>,
    /// Whether the last connection was one of HTTP/2.
    http2: AtomicBool,
    /// Of HTTP/2 one connection is opened at a time: those who wait for it will share it.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<RequestBody>,
    driver: Driver,
    /// In milliseconds since the pool's start.
    since: i64,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    under_way: Arc<()>,
    /// What the application allows, as it last said.
    most: Arc<AtomicUsize>,
}

/// A connection that takes a request.
#[derive(Debug)]
pub(super) enum Sender {
    Http1 {
        sender: http1::SendRequest<RequestBody>,
        reused: bool,
        driver: Driver,
    },
    /// Counted as long as the other half is there.
    Http2 {
        sender: http2::SendRequest<RequestBody>,
        _under_way: Arc<()>,
    },
}

/// The task of an HTTP/1.1 connection. Without its sender it would end by itself, but not while the application
/// takes nothing of what it is sent.
#[derive(Debug)]
pub(super) struct Driver(Option<AbortHandle>);

impl Driver {
    /// The connection has left HTTP, and what is made of it lives on.
    pub(super) fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.take().inspect(AbortHandle::abort);
    }
}

/// The right to wait for a place among the requests under way.
#[derive(Debug)]
pub struct Reservation(OwnedSemaphorePermit);

/// A place among the requests under way.
#[derive(Debug)]
pub(super) struct Place {
    _under_way: OwnedSemaphorePermit,
    _reserved: OwnedSemaphorePermit,
}

/// What a request occupies until its answer has ended.
pub(super) struct Occupied {
    pub(super) pool: Arc<Pool>,
    pub(super) sender: Sender,
    pub(super) _place: Place,
    /// What the request holds of its client's.
    pub(super) _held: Box<dyn std::any::Any + Send + Sync>,
}

impl Occupied {
    /// The connection can serve the next request. (If it is dropped instead, it ends.)
    pub(super) fn give_back(self) {
        if let Sender::Http1 { sender, driver, .. } = self.sender
            && !sender.is_closed()
            && !self.pool.idle_timeout.is_zero()
        {
            self.pool.idle().push(Idle { sender, driver, since: self.pool.started.millis() });
        }
    }
}

impl Pool {
    pub(super) fn new(settings: &UpstreamSettings, protocol: Protocol) -> Arc<Self> {
        Arc::new(Self {
            address: settings.address.clone(),
            idle_timeout: settings.idle_timeout,
            reservations: Arc::new(Semaphore::new(settings.connections.saturating_add(settings.pending))),
            places: Arc::new(Semaphore::new(settings.connections)),
            started: Stopwatch::start(),
            idle: Mutex::default(),
            shared: Mutex::default(),
            http2: AtomicBool::new(matches!(protocol, Protocol::H2c)),
            protocol,
            opening: tokio::sync::Mutex::default(),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared(&self) -> MutexGuard<'_, Vec<Shared>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to wait for a place. None if as many requests wait as may.
    pub(super) fn reserve(&self) -> Option<Reservation> {
        Arc::clone(&self.reservations).try_acquire_owned().ok().map(Reservation)
    }

    /// A place among the requests under way: the next that is free. (None would mean that the pool is closed.)
    pub(super) async fn place(&self, Reservation(reserved): Reservation) -> Option<Place> {
        let under_way = Arc::clone(&self.places).acquire_owned().await.ok()?;
        Some(Place { _under_way: under_way, _reserved: reserved })
    }

    /// A connection that takes a request; a new one if `fresh`.
    pub(super) async fn sender(self: &Arc<Self>, fresh: bool, handshake: &Handshake) -> io::Result<Sender> {
        while !fresh && !self.http2.load(Ordering::Relaxed) {
            let Some((mut sender, driver)) = self.pop() else { break };
            // It has done with the last request, or has ended meanwhile.
            if sender.ready().await.is_ok() {
                return Ok(Sender::Http1 { sender, reused: true, driver });
            }
        }
        let may_share = !matches!(self.protocol, Protocol::Http1) && self.http2.load(Ordering::Relaxed);
        if !may_share {
            return self.open(ConnectionKind::Pooled, handshake).await;
        }
        if fresh {
            return self.open(ConnectionKind::Pooled, handshake).await;
        }
        if let Some(sender) = self.share() {
            return Ok(sender);
        }
        let _one_at_a_time = self.opening.lock().await;
        match self.share() {
            Some(sender) => Ok(sender),
            None => self.open(ConnectionKind::Pooled, handshake).await,
        }
    }

    /// The idle connection that was used last: so those that are not needed grow old.
    fn pop(&self) -> Option<(http1::SendRequest<RequestBody>, Driver)> {
        let mut idle = self.idle();
        while let Some(Idle { sender, driver, since }) = idle.pop() {
            if self.is_old(since) {
                // So are all below it.
                idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some((sender, driver));
            }
        }
        None
    }

    fn is_old(&self, since: i64) -> bool {
        let idle = u64::try_from(self.started.millis() - since).unwrap_or_default();
        Duration::from_millis(idle) >= self.idle_timeout
    }

    /// Lets go of connections that nobody has used for too long.
    pub(super) fn sweep(&self) {
        self.idle().retain(|idle| !self.is_old(idle.since) && !idle.sender.is_closed());
        // Of several of HTTP/2 that nobody uses one is enough.
        let mut spare = 1;
        self.shared().retain(|shared| {
            let unused = Arc::strong_count(&shared.under_way) == 1;
            spare -= i32::from(unused);
            !shared.sender.is_closed() && (!unused || spare >= 0)
        });
    }

    /// A connection of HTTP/2 that takes one more request.
    fn share(&self) -> Option<Sender> {
        let mut shared = self.shared();
        shared.retain(|shared| !shared.sender.is_closed());
        let free = shared.iter().find(|shared| {
            let most = shared.most.load(Ordering::Relaxed).min(STREAMS);
            // One reference is the pool's own.
            Arc::strong_count(&shared.under_way) <= most
        })?;
        Some(Sender::Http2 { sender: free.sender.clone(), _under_way: Arc::clone(&free.under_way) })
    }

    /// Opens a connection of this kind.
    pub(super) async fn open(
        self: &Arc<Self>,
        kind: ConnectionKind,
        handshake: &Handshake,
    ) -> io::Result<Sender> {
        let (stream, http2) = connect(&self.address, &self.protocol, kind, handshake).await?;
        let io = TokioIo::new(stream);
        let counted = metrics::upstream_connection();
        if http2 {
            let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(PING_ANSWER)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_header_list_size(u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX))
                .handshake(io)
                .await
                .map_err(io::Error::other)?;
            let (under_way, most) = (Arc::new(()), Arc::new(AtomicUsize::new(STREAMS)));
            let said = Arc::clone(&most);
            tokio::spawn(async move {
                let _counted = counted;
                let connection = std::future::poll_fn(|context| {
                    said.store(connection.current_max_send_streams(), Ordering::Relaxed);
                    Pin::new(&mut connection).poll(context)
                });
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the upstream ended");
                }
            });
            let shared = Shared { sender: sender.clone(), under_way: Arc::clone(&under_way), most };
            self.shared().push(shared);
            self.http2.store(true, Ordering::Relaxed);
            return Ok(Sender::Http2 { sender, _under_way: under_way });
        }
        let mut builder = http1::Builder::new();
        builder.max_headers(MAX_HEADERS).max_buf_size(HEADER_BYTES);
        let (sender, connection) = builder.handshake(io).await.map_err(io::Error::other)?;
        let driver = tokio::spawn(async move {
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
            self.http2.store(false, Ordering::Relaxed);
        }
        let driver = Driver(Some(driver.abort_handle()));
        Ok(Sender::Http1 { sender, reused: false, driver })
    }
}
