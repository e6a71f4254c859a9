//! Accepting connections, bounding them, and letting them go without losing a request.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Version, header};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::ConnectionGuard;

/// A connection beyond these is closed at once, so that those that are open are served.
pub const CONNECTIONS: usize = 10_000;
/// hyper bounds nothing until it knows the protocol: a peer that says nothing, or half of HTTP/2's first words,
/// would be held for ever.
const FIRST_WORDS: Duration = Duration::from_secs(10);
/// How long what the kernel has accepted for us is still taken from it when the listener is to close.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How long a connection without a request is kept from then on.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How often to look whether a peer that has begun with HTTP/2's first words has gone on.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Also ends an idle connection, so it is above the idle time of common load balancers (60 s): it is they who
/// close first, and no request crosses the closing.
const HEAD_OR_IDLE: Duration = Duration::from_secs(75);
const MAX_HEADERS: usize = 100;
const HEADER_BYTES: usize = 64 * 1024;
/// HTTP/2. The connection's window is fixed: one that adapts is misled by small frames (h2 >= 0.4.16).
const STREAMS: u32 = 100;
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
const PENDING_RESETS: usize = 20;
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_ANSWER: Duration = Duration::from_secs(10);
/// After an error such as "too many open files", which accepting again at once would only repeat.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The two steps in which a listener ends.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    /// Still accepting, but each answer of HTTP/1 says `Connection: close`: clients leave of their own accord.
    pub leaving: CancellationToken,
    /// No longer accepting; requests under way are finished, idle connections closed.
    pub closing: CancellationToken,
}

/// Serves `listener` until `drain` says otherwise, and returns when the last connection is gone. `handle`
/// answers one request.
pub async fn run<H, F, B>(listener: TcpListener, drain: Drain, handle: H)
where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let builder = builder();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let open = TaskTracker::new();
    let mut last_call = pin!(async {
        drain.closing.cancelled().await;
        tokio::time::sleep(LAST_CALL).await;
    });
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            () = &mut last_call => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(_) if drain.closing.is_cancelled() => break,
            Err(error) => {
                tracing::debug!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::debug!(%peer, "refused: {CONNECTIONS} connections are open");
            continue;
        };
        let builder = builder.clone();
        let (handle, leaving, closing) = (handle.clone(), drain.leaving.clone(), drain.closing.clone());
        open.spawn(async move {
            let _place = place;
            let _counted = ConnectionGuard::open();
            let protocol = {
                let mut protocol = pin!(protocol(&stream));
                tokio::select! {
                    protocol = &mut protocol => protocol,
                    // Who is asking just now is answered; who has asked nothing loses nothing.
                    () = closing.cancelled() => timeout(LAST_WORDS, protocol).await.ok().flatten(),
                }
            };
            let builder = match protocol {
                Some(Protocol::Http1) => builder.http1_only(),
                Some(Protocol::Http2) => builder.http2_only(),
                None => return,
            };
            let service = service_fn(move |request: Request<Incoming>| {
                let version = request.version();
                let answer = handle(request, peer);
                let leaving = leaving.clone();
                async move {
                    let mut answer = answer.await;
                    if leaving.is_cancelled() && version < Version::HTTP_2 {
                        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
            let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
            let ended = tokio::select! {
                // The connection first: what it has been sent already is answered, then it is told to end.
                biased;
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, error, "the connection ended early");
            }
        });
    }
    drop(listener);
    open.close();
    open.wait().await;
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Http1,
    Http2,
}

/// What the peer's first words are of. None: it does not say in time, or leaves.
async fn protocol(stream: &TcpStream) -> Option<Protocol> {
    // Answers are written whole; waiting to fill a packet (Nagle's algorithm) only delays them.
    stream.set_nodelay(true).ok()?;
    let look = async {
        loop {
            let mut seen = [0; HTTP2_PREFACE.len()];
            let seen = match stream.peek(&mut seen).await {
                Ok(count @ 1..) => seen.get(..count)?,
                _ => return None,
            };
            if seen == HTTP2_PREFACE {
                return Some(Protocol::Http2);
            }
            if !HTTP2_PREFACE.starts_with(seen) {
                return Some(Protocol::Http1);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    timeout(FIRST_WORDS, look).await.ok().flatten()
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_OR_IDLE)
        .max_headers(MAX_HEADERS)
        .max_buf_size(HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(64 * 1024)
        .max_pending_accept_reset_streams(PENDING_RESETS);
    builder
}
