//! HTTP on one connection, from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio_util::either::Either;

use super::Drain;
use super::body::TrackedBody;
use super::h2_stall::StreamExecutor;
use super::handshake::Stream;
use super::http1::STAND_IN;
use super::http1::malformed::Malformed;
use super::http1::reader_state::ReaderState;
use super::http1::strict::StrictHttp1;
use super::http2::guard::FloodGuard;
use super::idle::IdleTracker;
use crate::bounds::Bounds;
use crate::connection::{Connection, ConnectionGuards, Unreadable};
use crate::h2_error;
use crate::metrics::{self, Bound};

/// The bytes of requests that a client may send over HTTP/2 before they are read. The connection's window is fixed:
/// small frames mislead one that adapts (h2 >= 0.4.16).
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// The bytes of a response over HTTP/2 that are buffered until the client reads them, for each stream.
const SEND_BUFFER: usize = 64 * 1024;
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection without a request stays open after its graceful shutdown has begun: the client may have sent a
/// request before it noticed.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// The maximum number of fields of a request, unless hyper is configured otherwise.
const HYPER_MAX_HEADERS: usize = 100;
/// The size of the rest of a head, besides target and fields: method, version and line ends.
const HEAD_SLACK: usize = 8 * 1024;

/// A connection on which HTTP begins.
pub(super) struct HttpConnection {
    pub(super) stream: StrictHttp1<Either<Stream, FloodGuard<Stream>>>,
    pub(super) http2: bool,
    pub(super) connection: Arc<Connection>,
}

impl HttpConnection {
    /// Serves the connection to its end. A tunnel outlives this.
    pub(super) async fn serve<H, F, B>(self, http: HttpConfig, drain: Drain, handle: H)
    where
        H: Fn(Request<Incoming>, Arc<Connection>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Unpin + Send + 'static,
    {
        let Self { stream, http2, connection } = self;
        let Drain { leaving, closing } = drain;
        let (reader, cut_short, peer) = (stream.state(), stream.cut_short(), connection.peer);
        let idle_tracker = IdleTracker::start(stream.flushed());
        let (streams, next_number) = (http.streams, AtomicU64::new(0));
        let requests = Arc::clone(&idle_tracker);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let number = next_number.fetch_add(1, Ordering::Relaxed);
            let version = request.version();
            let (under_way, at_once) = requests.begin();
            if http2 && at_once == streams {
                Bound::Streams.count_exceeded();
            }
            if http2 && request.method() == Method::CONNECT {
                request.extensions_mut().insert(ConnectionGuards(Arc::new(requests.begin().0)));
            }
            mark_stand_in(&mut request, &reader, peer);
            connection.interim.as_ref().inspect(|interim| interim.begin_request());
            // Boxed, as hyper moves the future of a request several times.
            let handling = Box::pin(handle(request, Arc::clone(&connection)));
            let connection = Arc::clone(&connection);
            let (leaving, reader) = (leaving.clone(), Arc::clone(&reader));
            let cut_short = (version == Version::HTTP_10).then(|| Arc::clone(&cut_short));
            async move {
                let mut response = handling.await;
                connection.interim.as_ref().inspect(|interim| interim.begin_final_response());
                let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
                reader.begin_response(number, switches);
                if leaving.is_cancelled() && !http2 && !switches {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(response.map(|body| TrackedBody::new(body, under_way, cut_short)))
            }
        });
        let builder = if http2 { http.builder.http2_only() } else { http.builder.http1_only() };
        let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        let ended = tokio::select! {
            // The connection first, so that requests which have already arrived get a response before it is shut down.
            biased;
            ended = serving.as_mut() => Some(ended),
            () = closing.cancelled() => None,
            () = idle_tracker.idle_for(http.idle_timeout) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                serving.as_mut().graceful_shutdown();
                let idle = async {
                    tokio::time::sleep(CLOSE_GRACE).await;
                    idle_tracker.idle_for(CLOSE_GRACE).await;
                };
                tokio::select! {
                    ended = serving.as_mut() => ended,
                    () = idle => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            if is_flood(&*error) {
                Bound::Resets.count_exceeded();
            }
            tracing::debug!(%peer, error, "the connection ended early");
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

/// The configuration of HTTP on a listener.
#[derive(Clone)]
pub(super) struct HttpConfig {
    builder: auto::Builder<StreamExecutor>,
    streams: usize,
    idle_timeout: Duration,
}

impl HttpConfig {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let mut builder = auto::Builder::new(StreamExecutor { timeout: bounds.body_idle_timeout });
        // The strict reader and the idle tracker have the timeouts: hyper has only one, for header and idle connection.
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(bounds.header_bytes + bounds.target_bytes + HEAD_SLACK);
        // The strict reader counts the fields. For any bound of its own but the default hyper allocates for each request.
        if bounds.header_fields > HYPER_MAX_HEADERS {
            builder.http1().max_headers(bounds.header_fields);
        }
        // HTTP/2 counts the target as a field, and 32 bytes more for each field (RFC 9113, section 6.5.2). hyper
        // refuses longer lists before tidegate counts them.
        let header_list = bounds.header_bytes + bounds.target_bytes + 32 * bounds.header_fields + HEAD_SLACK;
        builder
            .http2()
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(bounds.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_header_list_size(u32::try_from(header_list).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(bounds.resets);
        let streams = usize::try_from(bounds.streams).unwrap_or(usize::MAX);
        Self { builder, streams, idle_timeout: bounds.idle_timeout }
    }
}
