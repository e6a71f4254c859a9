//! HTTP on one connection, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::{Body, Incoming};
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::Drain;
use super::body::TrackedBody;
use super::handshake::Stream;
use super::http_config::HttpConfig;
use super::http1::STAND_IN;
use super::http1::malformed::Malformed;
use super::http1::reader_state::ReaderState;
use super::http1::strict::StrictHttp1;
use super::http2::guard::FloodGuard;
use super::idle::IdleTracker;
use crate::connection::{Connection, ConnectionGuards, Unreadable};
use crate::h2_error;
use crate::metrics::{self, Bound};

/// How long a client over HTTP/1 is idle before its connection is parked.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// How long a connection without a request stays open after its graceful shutdown has begun: the client may have sent a
/// request before it noticed.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
type BoxError = Box<dyn Error + Send + Sync>;
/// Boxed, as hyper's connection gets it and gives it back.
type HttpStream = Box<StrictHttp1<Either<Stream, FloodGuard<Stream>>>>;
type Io = TokioIo<HttpStream>;

/// A connection on which HTTP begins.
pub(super) struct HttpConnection {
    pub(super) stream: HttpStream,
    pub(super) http2: bool,
    pub(super) connection: Arc<Connection>,
}

impl HttpConnection {
    /// Serves the connection to its end. A tunnel outlives this.
    pub(super) fn serve<H, F, B>(
        self,
        http: Arc<HttpConfig>,
        drain: Drain,
        handle: H,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>
    where
        H: Fn(Request<Incoming>, Arc<Connection>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin + Send + 'static,
    {
        let Self { stream, http2, connection } = self;
        let Drain { leaving, closing } = drain;
        let (reader, idle_tracker) = (stream.state(), IdleTracker::start(stream.flushed()));
        let watch = ConnectionWatch {
            peer: connection.peer,
            closing,
            reader: Arc::clone(&reader),
            idle_tracker: Arc::clone(&idle_tracker),
            idle_timeout: http.idle_timeout,
        };
        let requests = Arc::new(Requests {
            handle,
            connection,
            reader,
            cut_short: stream.cut_short(),
            idle_tracker,
            next_number: AtomicU64::new(0),
            leaving,
            http2,
            streams: http.streams,
        });
        let service = service_fn(move |request| requests.respond(request));
        let io = TokioIo::new(stream);
        match http2 {
            true => Box::pin(watch.run_http2(http, io, service)),
            false => Box::pin(watch.run_http1(http, io, service)),
        }
    }
}

/// What ends a connection from this side, or parks it.
struct ConnectionWatch {
    peer: SocketAddr,
    closing: CancellationToken,
    reader: Arc<ReaderState>,
    idle_tracker: Arc<IdleTracker>,
    idle_timeout: Duration,
}

impl ConnectionWatch {
    async fn run_http2<S, B>(self, http: Arc<HttpConfig>, io: Io, service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>,
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        // Boxed before it is used, so that its bytes are not kept a second time where they were moved from.
        let mut serving = Box::pin(http.http2.serve_connection(io, service));
        let mut over = seldom(async {
            tokio::select! {
                () = self.closing.cancelled() => {}
                () = self.idle_tracker.idle_for(self.idle_timeout, self.idle_timeout / 4) => {}
            }
        });
        tokio::select! {
            // The connection first, so that requests which have already arrived get a response before it is shut down.
            biased;
            ended = serving.as_mut() => return self.report(ended),
            Some(()) = over.next() => {}
        }
        drop(over);
        serving.as_mut().graceful_shutdown();
        self.run_down(serving).await;
    }

    /// Runs HTTP/1 to the end of the connection. It is parked while the client is idle: hyper keeps two buffers of 8 KiB
    /// for each connection, whether it is used or not.
    async fn run_http1<S, B>(self, http: Arc<HttpConfig>, mut io: Io, mut service: S)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Unpin,
        B: Body<Error: Into<BoxError>> + 'static,
    {
        loop {
            let mut serving = Box::pin(http.http1.serve_connection(io, service).with_upgrades());
            let mut idle = seldom(async {
                tokio::select! {
                    () = self.closing.cancelled() => Idle::Close,
                    idle = self.idle_between_requests() => idle,
                }
            });
            let found = tokio::select! {
                // The connection first, as over HTTP/2.
                biased;
                ended = serving.as_mut() => return self.report(ended),
                Some(found) = idle.next() => found,
            };
            drop(idle);
            if let Idle::Close = found {
                serving.as_mut().graceful_shutdown();
                return self.run_down(serving).await;
            }
            let Some(parts) = Pin::into_inner(serving).into_parts() else { return };
            // hyper keeps no byte between two requests. If it kept one, the request that it belongs to would be unknown.
            if !parts.read_buf.is_empty() {
                return;
            }
            tracing::trace!(peer = %self.peer, "parked an idle connection");
            (io, service) = (parts.io, parts.service);
            tokio::select! {
                () = std::future::poll_fn(|context| io.inner_mut().poll_next_request(context)) => {}
                () = self.closing.cancelled() => {}
                () = self.idle_tracker.idle_for(self.idle_timeout, self.idle_timeout / 4) => {}
            }
        }
    }

    /// Waits until the client is idle, and returns what follows from that.
    async fn idle_between_requests(&self) -> Idle {
        let look_every = self.idle_timeout / 4;
        loop {
            self.idle_tracker.idle_for(PARK_AFTER.min(self.idle_timeout), look_every).await;
            if self.idle_tracker.idle().is_some_and(|idle| idle >= self.idle_timeout) {
                return Idle::Close;
            }
            if self.reader.is_between_requests() {
                return Idle::Park;
            }
            // A part of the next request has arrived, or the last one's body is still being thrown away.
            tokio::time::sleep(look_every).await;
        }
    }

    /// Runs a connection to its end after its graceful shutdown has begun.
    async fn run_down(&self, mut serving: Pin<Box<impl Future<Output = hyper::Result<()>>>>) {
        let idle = async {
            tokio::time::sleep(CLOSE_GRACE).await;
            self.idle_tracker.idle_for(CLOSE_GRACE, CLOSE_GRACE / 4).await;
        };
        tokio::select! {
            ended = serving.as_mut() => self.report(ended),
            () = idle => {}
        }
    }

    fn report(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else { return };
        if is_flood(&error) {
            Bound::Resets.count_exceeded();
        }
        let (peer, error): (_, &(dyn Error + 'static)) = (self.peer, &error);
        tracing::debug!(%peer, error, "the connection ended early");
    }
}

/// Returns a stream of the future's output. It polls the future only when something wakes that: looking for the end of a
/// connection each time that its socket or its upstream wakes it would cost more.
fn seldom<F: Future>(future: F) -> FuturesUnordered<F> {
    std::iter::once(future).collect()
}

/// What follows for a connection whose client is idle.
enum Idle {
    /// It is parked until the next request.
    Park,
    /// It is closed: it has been idle for too long, or tidegate ends.
    Close,
}

/// What the requests of one connection share.
struct Requests<H> {
    handle: H,
    connection: Arc<Connection>,
    reader: Arc<ReaderState>,
    cut_short: Arc<AtomicBool>,
    idle_tracker: Arc<IdleTracker>,
    next_number: AtomicU64,
    leaving: CancellationToken,
    http2: bool,
    /// The number of streams that a client may have open.
    streams: usize,
}

impl<H> Requests<H> {
    /// Returns the future of the response to a request. It is small, as hyper moves it several times: only the
    /// handler's future is boxed.
    fn respond<F, B>(
        self: &Arc<Self>,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<TrackedBody<B>>, Infallible>> + Send + use<H, F, B>
    where
        H: Fn(Request<Incoming>, Arc<Connection>) -> F + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
    {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let http10 = request.version() == Version::HTTP_10;
        let (under_way, at_once) = self.idle_tracker.begin();
        if self.http2 && at_once == self.streams {
            Bound::Streams.count_exceeded();
        }
        if self.http2 && request.method() == Method::CONNECT {
            request.extensions_mut().insert(ConnectionGuards(Arc::new(self.idle_tracker.begin().0)));
        }
        mark_stand_in(&mut request, &self.reader, self.connection.peer);
        self.connection.interim.as_ref().inspect(|interim| interim.begin_request());
        let handling = Box::pin((self.handle)(request, Arc::clone(&self.connection)));
        let requests = Arc::clone(self);
        async move {
            let mut response = handling.await;
            requests.connection.interim.as_ref().inspect(|interim| interim.begin_final_response());
            let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
            requests.reader.begin_response(number, switches);
            if !requests.http2 && !switches && requests.leaving.is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            let cut_short = http10.then(|| Arc::clone(&requests.cut_short));
            Ok(response.map(|body| TrackedBody::new(body, under_way, cut_short)))
        }
    }
}

/// Puts the fault of the request that a stand-in stands for into the stand-in's extensions.
fn mark_stand_in(request: &mut Request<Incoming>, reader: &ReaderState, peer: SocketAddr) {
    if request.method().as_str() != STAND_IN || request.version() > Version::HTTP_11 {
        return;
    }
    if let Some(fault) = reader.take_fault() {
        tracing::debug!(%peer, %fault, "refused a request that cannot be read");
        if fault == Malformed::Tls {
            metrics::handshake_failed();
        }
        if let Some(bound) = bound(fault) {
            bound.count_exceeded();
        }
        let status = StatusCode::from_u16(fault.status()).unwrap_or(StatusCode::BAD_REQUEST);
        request.extensions_mut().insert(Unreadable { status, reason: fault.to_string() });
    }
}

fn bound(fault: Malformed) -> Option<Bound> {
    match fault {
        Malformed::LongTarget => Some(Bound::TargetBytes),
        Malformed::ManyFields => Some(Bound::HeaderFields),
        Malformed::LongHeader => Some(Bound::HeaderBytes),
        Malformed::Late => Some(Bound::Header),
        _ => None,
    }
}

/// Returns whether the HTTP/2 library has ended the connection because of a flood.
fn is_flood(error: &(dyn Error + 'static)) -> bool {
    h2_error::find(error)
        .is_some_and(|error| error.is_library() && error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM))
}
