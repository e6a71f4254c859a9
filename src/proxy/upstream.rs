//! The application behind the proxy.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::facts::Target;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the last byte of the request that the upstream took to the head of its answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Below the keep-alive of common application servers, so that it is us who close an idle connection.
const POOL_IDLE: Duration = Duration::from_secs(4);

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
    /// The request's target makes no URI.
    #[error("the request cannot be forwarded")]
    Target(#[from] http::Error),
}

impl UpstreamError {
    /// The status to answer with.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Broken(_) | Self::Unsolicited => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Target(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// As the metric's label has it.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Broken(_) => "broken",
            Self::Unsolicited => "unsolicited",
            Self::Timeout => "timeout",
            Self::Target(_) => "target",
        }
    }

    /// Proxy error types of RFC 9209, section 2.3.
    pub(super) fn proxy_status(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "destination_unavailable",
            Self::Broken(_) => "http_protocol_error",
            Self::Unsolicited => "http_upgrade_failed",
            Self::Timeout => "http_response_timeout",
            Self::Target(_) => "http_request_error",
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
        let taken = Arc::new(AtomicU64::new(0));
        let (mut head, body) = request.into_parts();
        head.uri = self.uri(target)?;
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let request = Request::from_parts(head, Watched { body, taken: Arc::clone(&taken) });

        let mut answer = self.client.request(request);
        let mut before = 0;
        let answer = loop {
            if let Ok(answer) = tokio::time::timeout(HEAD_TIMEOUT, &mut answer).await {
                break answer;
            }
            // A long upload is no reason to give up while the upstream takes it.
            let now = taken.load(Ordering::Relaxed);
            if now == before {
                return Err(UpstreamError::Timeout);
            }
            before = now;
        };
        match answer {
            Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(UpstreamError::Unsolicited)
            }
            Ok(mut answer) => {
                *answer.version_mut() = Version::HTTP_11;
                Ok(answer)
            }
            Err(error) if error.is_connect() => Err(UpstreamError::Unreachable(error)),
            Err(error) => Err(UpstreamError::Broken(error)),
        }
    }

    fn uri(&self, target: &Target) -> Result<Uri, http::Error> {
        let path = match &target.query {
            Some(query) => PathAndQuery::try_from(format!("{}?{query}", target.path)),
            None => PathAndQuery::try_from(&*target.path),
        };
        let parts = Uri::builder().scheme(Scheme::HTTP).authority(self.authority.clone());
        parts.path_and_query(path?).build()
    }
}

/// A request's body that counts the frames which the upstream has taken.
#[derive(Debug)]
struct Watched {
    body: Incoming,
    taken: Arc<AtomicU64>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.taken.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
