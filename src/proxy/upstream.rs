//! The application behind the proxy.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::facts::Target;
use crate::clock::Stopwatch;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the last byte of the request that the upstream took to the head of its answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Below the keep-alive of common application servers, so that it is us who close an idle connection.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Of an answer.
const MAX_HEADERS: usize = 200;

/// Why there is no answer of the upstream.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Nobody listens, or not in time: the request was not sent.
    #[error("the application cannot be reached")]
    Unreachable(#[source] hyper_util::client::legacy::Error),
    /// The connection ended, or what came was no HTTP.
    #[error("the application gave no valid answer")]
    Broken(#[source] hyper_util::client::legacy::Error),
    /// It said 101 (Switching Protocols), which nobody asked for.
    #[error("the application changed the protocol unasked")]
    Unsolicited,
    /// It took longer than a minute.
    #[error("the application did not answer in time")]
    Timeout,
    /// Its answer ends in two places: by length and by coding (RFC 9112, section 6.3).
    #[error("the application's answer can be read in two ways")]
    Framing,
    /// The client's body broke off, or was no HTTP.
    #[error("the request's body is not valid, or broke off")]
    ClientBroken,
    /// The client did not go on with its body.
    #[error("the request's body did not come in time")]
    ClientTimeout,
    /// The request's target makes no URI.
    #[error("the request cannot be forwarded")]
    Target(#[from] http::uri::InvalidUriParts),
}

impl UpstreamError {
    /// The status to answer with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) | Self::Unsolicited | Self::Framing => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ClientBroken | Self::Target(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// As the metric's label has it; none if the application has no part in it.
    pub(super) fn label(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable(_) => Some("unreachable"),
            Self::Broken(_) => Some("broken"),
            Self::Unsolicited => Some("unsolicited"),
            Self::Framing => Some("framing"),
            Self::Timeout => Some("timeout"),
            Self::ClientBroken | Self::ClientTimeout | Self::Target(_) => None,
        }
    }

    /// Proxy error types of RFC 9209, section 2.3.
    pub(super) fn proxy_status(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "destination_unavailable",
            Self::Broken(_) | Self::Framing => "http_protocol_error",
            Self::Unsolicited => "http_upgrade_failed",
            Self::Timeout => "http_response_timeout",
            Self::ClientBroken | Self::ClientTimeout | Self::Target(_) => "http_request_error",
        }
    }
}

/// A pool of connections to the application.
#[derive(Debug)]
pub struct Upstream {
    client: Client<HttpConnector, Watched>,
    authority: Authority,
}

impl Upstream {
    /// The application at `authority`, reached over HTTP/1.1.
    #[must_use]
    pub fn new(authority: Authority) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(TokioTimer::new())
            .http1_max_headers(MAX_HEADERS)
            .build(connector);
        Self { client, authority }
    }

    /// Sends a request, and returns when the head of the answer is there. Both bodies go on flowing, each as
    /// fast as its slower side; dropping the future, or the answer, ends the request at the upstream too.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(
        &self,
        request: Request<Incoming>,
        target: &Target,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let progress = Arc::new(Progress::start());
        let (mut head, body) = request.into_parts();
        head.uri = self.uri(target)?;
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let request = Request::from_parts(head, Watched { body, progress: Arc::clone(&progress) });

        let mut answer = self.client.request(request);
        let mut patience = HEAD_TIMEOUT;
        let answer = loop {
            if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
                break answer;
            }
            // A long upload is no reason to give up while it goes on.
            patience = HEAD_TIMEOUT.saturating_sub(progress.idle());
            match progress.state() {
                _ if !patience.is_zero() => {}
                BodyState::Awaited => return Err(UpstreamError::ClientTimeout),
                BodyState::Untouched | BodyState::Broken => return Err(UpstreamError::Timeout),
            }
        };
        match answer {
            Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(UpstreamError::Unsolicited)
            }
            Ok(answer) if has_two_ends(answer.headers()) => Err(UpstreamError::Framing),
            Ok(mut answer) => {
                *answer.version_mut() = Version::HTTP_11;
                Ok(answer)
            }
            Err(_) if progress.state() == BodyState::Broken => Err(UpstreamError::ClientBroken),
            Err(error) if error.is_connect() => Err(UpstreamError::Unreachable(error)),
            Err(error) => Err(UpstreamError::Broken(error)),
        }
    }

    fn uri(&self, target: &Target) -> Result<Uri, http::uri::InvalidUriParts> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target.path_and_query.clone());
        Uri::from_parts(parts)
    }
}

/// hyper goes by the coding; a client behind us would go by the length, as the coding ends here.
fn has_two_ends(headers: &HeaderMap) -> bool {
    headers.contains_key(header::CONTENT_LENGTH) && headers.contains_key(header::TRANSFER_ENCODING)
}

/// A request's body, watched: whose fault it is if there is no answer.
#[derive(Debug)]
struct Watched {
    body: Incoming,
    progress: Arc<Progress>,
}

/// How far a request's body has come.
#[derive(Debug)]
struct Progress {
    started: Stopwatch,
    /// When the upstream last took a frame, in milliseconds since the start.
    taken_ms: AtomicI64,
    awaited: AtomicBool,
    broken: AtomicBool,
}

/// What a request's body is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyState {
    /// Nobody waits for it: it is at its end, or the upstream does not read on.
    Untouched,
    /// The upstream would take more, and the client does not send it.
    Awaited,
    /// It failed.
    Broken,
}

impl Progress {
    fn start() -> Self {
        let (awaited, broken) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { started: Stopwatch::start(), taken_ms: AtomicI64::new(0), awaited, broken }
    }

    /// How long it has not gone on.
    fn idle(&self) -> Duration {
        let idle = self.started.millis() - self.taken_ms.load(Ordering::Relaxed);
        Duration::from_millis(u64::try_from(idle).unwrap_or_default())
    }

    fn state(&self) -> BodyState {
        if self.broken.load(Ordering::Relaxed) {
            BodyState::Broken
        } else if self.awaited.load(Ordering::Relaxed) {
            BodyState::Awaited
        } else {
            BodyState::Untouched
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.progress.awaited.store(polled.is_pending(), Ordering::Relaxed);
        match &polled {
            Poll::Ready(Some(Ok(_))) => {
                self.progress.taken_ms.store(self.progress.started.millis(), Ordering::Relaxed);
            }
            Poll::Ready(Some(Err(_))) => self.progress.broken.store(true, Ordering::Relaxed),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
