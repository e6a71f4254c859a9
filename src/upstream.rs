//! The upstream: sends requests to it, and returns its responses.

mod attempt;
mod connect;
mod error;
mod outgoing;
mod pool;
mod progress;
mod request_body;
mod response_body;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::Incoming;

use crate::bounds::Bounds;
use crate::clock::Stopwatch;
use crate::metrics::{self, Bound};
use crate::settings::{UpstreamProtocol, UpstreamSettings};
use attempt::AttemptError;
use connect::ConnectStage;
pub(crate) use connect::{ConnectionKind, Protocol, UpstreamTls};
pub(crate) use error::UpstreamError;
use outgoing::Exchange;
pub(crate) use outgoing::{OnInterim, Outgoing};
pub(crate) use pool::Reservation;
use pool::{Pool, PooledConnection, RequestPermit, Sender};
use progress::Progress;
use request_body::RequestBody;
pub(crate) use response_body::ResponseBody;

/// How often a request is sent again that was not sent, because its connection had ended.
const MAX_RETRIES: usize = 2;

/// The upstream, and the connections to it.
#[derive(Debug)]
pub(crate) struct Upstream {
    settings: UpstreamSettings,
    bounds: Bounds,
    pool: Arc<Pool>,
    /// Whether the last attempt to connect succeeded.
    reachable: AtomicBool,
}

impl Upstream {
    /// Creates an upstream without a connection. The first request opens one.
    #[must_use]
    pub(crate) fn new(settings: UpstreamSettings, protocol: Protocol, bounds: &Bounds) -> Self {
        let pool = Pool::new(&settings, protocol);
        Self { settings, bounds: bounds.clone(), pool, reachable: AtomicBool::new(true) }
    }

    /// Closes connections that have been idle for too long.
    pub(crate) fn sweep(&self) {
        self.pool.sweep();
    }

    /// Reserves a place among the requests that wait for the upstream or are under way. `None`: all are taken.
    #[must_use]
    pub(crate) fn reserve(&self) -> Option<Reservation> {
        self.pool.reserve()
    }

    /// Sends a request, and returns when the head of the response has arrived. Each body then flows at the pace of its
    /// slower side. Dropping the future or the response ends the request at the upstream too.
    ///
    /// If the connection ends before anything of a request is sent, the request is sent on another one. If the settings
    /// allow retries, a request without a body is also sent again, once, in two cases: it is safe (RFC 9110, section
    /// 9.2.1) and a reused connection over HTTP/1.1 ended before the response, as the upstream may have closed that
    /// connection before it read the request; or the upstream reports over HTTP/2 that it has not processed the request.
    ///
    /// # Errors
    /// When the upstream gives no valid response in time.
    pub(crate) fn send(
        &self,
        outgoing: Outgoing,
    ) -> impl Future<Output = Result<Response<ResponseBody>, UpstreamError>> + Send {
        let exchange = Exchange::new(outgoing, &self.bounds);
        async move {
            match self.bounds.request_timeout {
                None => self.exchange(exchange).await,
                // Boxed, so that the future stays small where this timeout is not set.
                Some(timeout) => Box::pin(tokio::time::timeout(timeout, self.exchange(exchange)))
                    .await
                    .unwrap_or(Err(UpstreamError::RequestTimeout)),
            }
        }
    }

    /// Sends a request, and returns its response.
    #[expect(clippy::manual_async_fn, reason = "the future of an async function holds each argument twice")]
    fn exchange(
        &self,
        mut exchange: Exchange,
    ) -> impl Future<Output = Result<Response<ResponseBody>, UpstreamError>> + Send {
        async move {
            let (permit, mut waited) = self.acquire(exchange.reservation).await?;
            let (mut attempts, mut spare_head) = (0, None);
            let (response, mut sender) = loop {
                let mut sender = self.connect(waited, attempts > 0, exchange.kind).await?;
                self.set_target(&mut exchange.request, &exchange.path_and_query, &sender)?;
                if exchange.expects_continue || exchange.interim.is_some() {
                    let interim = exchange.interim.clone();
                    handle_interim(&mut exchange.request, Arc::clone(&exchange.progress), interim);
                }
                let http2 = matches!(sender, Sender::Http2 { .. });
                let reused = matches!(sender, Sender::Http1 { reused: true, .. });
                let repeatable = (reused && exchange.safe) || (http2 && exchange.bodiless);
                if attempts == 0 && self.settings.retry && repeatable {
                    spare_head =
                        Some((exchange.request.method().clone(), exchange.request.headers().clone()));
                }
                let sending = pin!(attempt::send(&mut sender, exchange.request, &exchange.progress));
                match attempt::response(sending, &exchange.progress, self.settings.response_timeout).await {
                    Ok(response) => break (response, sender),
                    Err(AttemptError::NotSent(unsent)) if attempts < MAX_RETRIES => {
                        exchange.request = *unsent
                    }
                    Err(AttemptError::NotSent(_)) => {
                        let closed = "each connection was closed before the request was sent";
                        return Err(UpstreamError::Unreachable(std::io::Error::other(closed)));
                    }
                    Err(AttemptError::Lost(error))
                        if spare_head.is_some() && (!http2 || attempt::is_unprocessed(&error)) =>
                    {
                        // Only the head is sent again: the request has no body.
                        exchange.request = Request::new(RequestBody::none(Arc::clone(&exchange.progress)));
                        let (method, headers) = spare_head.take().unwrap_or_default();
                        (*exchange.request.method_mut(), *exchange.request.headers_mut()) = (method, headers);
                    }
                    Err(AttemptError::Lost(error) | AttemptError::Final(error)) => return Err(error),
                }
                metrics::upstream_retry();
                (waited, attempts) = (Duration::ZERO, attempts + 1);
            };
            check_response(&response, exchange.kind)?;
            let stall_bound = match is_event_stream(response.headers()) {
                true => {
                    exchange.progress.set_stall_timeout(self.bounds.stream_idle_timeout);
                    Bound::StreamIdle
                }
                false => exchange.stall_bound,
            };
            if let (StatusCode::SWITCHING_PROTOCOLS, Sender::Http1 { task, .. }) =
                (response.status(), &mut sender)
            {
                task.detach();
            }
            let connection = PooledConnection::new(Arc::clone(&self.pool), sender, permit, exchange.guards);
            let (progress, deadline) = (exchange.progress, exchange.deadline);
            Ok(response.map(|body| ResponseBody::new(body, progress, stall_bound, deadline, connection)))
        }
    }

    /// Waits until the request may be sent, and returns how long that took: it counts as a part of connecting.
    async fn acquire(&self, reservation: Reservation) -> Result<(RequestPermit, Duration), UpstreamError> {
        // Most requests need not wait, and then need neither the clock nor a timer.
        let reservation = match self.pool.try_acquire(reservation) {
            Ok(permit) => return Ok((permit, Duration::ZERO)),
            Err(reservation) => reservation,
        };
        let watch = Stopwatch::start();
        // Boxed, as few requests wait.
        let acquiring = Box::pin(self.pool.acquire(reservation));
        match tokio::time::timeout(self.settings.connect_timeout, acquiring).await {
            Ok(Some(permit)) => {
                Ok((permit, Duration::from_millis(u64::try_from(watch.millis()).unwrap_or_default())))
            }
            // The upstream is busy, not unreachable.
            Ok(None) | Err(_) => Err(UpstreamError::QueueFull),
        }
    }

    /// Returns a connection for a request that has `waited` for its permit; a new connection if `fresh`.
    async fn connect(
        &self,
        waited: Duration,
        fresh: bool,
        kind: ConnectionKind,
    ) -> Result<Sender, UpstreamError> {
        let ready = if fresh || kind == ConnectionKind::Upgrade { None } else { self.pool.try_checkout() };
        let connected = match ready {
            Some(sender) => Ok(sender),
            // Boxed, as few requests need it.
            None => Box::pin(self.wait_for_connection(waited, fresh, kind)).await,
        };
        self.note_reachable(connected.as_ref().err());
        connected
    }

    /// Waits for a connection that becomes ready, or opens one.
    async fn wait_for_connection(
        &self,
        waited: Duration,
        fresh: bool,
        kind: ConnectionKind,
    ) -> Result<Sender, UpstreamError> {
        let stage = ConnectStage::default();
        let connecting = async {
            let sender = match kind {
                ConnectionKind::Upgrade => self.pool.dial(kind, &stage).await,
                ConnectionKind::Pooled => self.pool.checkout(fresh, &stage).await,
            };
            sender.map_err(UpstreamError::unreachable)
        };
        let left = self.settings.connect_timeout.saturating_sub(waited);
        tokio::time::timeout(left, connecting).await.unwrap_or_else(|_| match stage.is_in_tls_handshake() {
            true => Err(UpstreamError::HandshakeTimeout),
            false => Err(UpstreamError::ConnectTimeout),
        })
    }

    /// Logs whether the upstream can be reached, each change once, however many requests notice it.
    fn note_reachable(&self, error: Option<&UpstreamError>) {
        let reached = error.is_none();
        // The load is cheaper than the swap, and almost always enough.
        if self.reachable.load(Ordering::Relaxed) == reached
            || self.reachable.swap(reached, Ordering::Relaxed) == reached
        {
            return;
        }
        match error {
            None => tracing::info!("the upstream can be reached again"),
            Some(error) => tracing::warn!(error = %error::chain(error), "the upstream cannot be reached"),
        }
    }

    /// Writes the request's target in the form of the connection's protocol.
    fn set_target(
        &self,
        request: &mut Request<RequestBody>,
        path_and_query: &PathAndQuery,
        sender: &Sender,
    ) -> Result<(), http::Error> {
        // A request over HTTP/1.0 may have no host.
        let default_host = || HeaderValue::try_from(self.settings.address.authority());
        match sender {
            Sender::Http1 { .. } => {
                if !request.headers().contains_key(header::HOST) {
                    request.headers_mut().insert(header::HOST, default_host()?);
                }
                *request.uri_mut() = Uri::from(path_and_query.clone());
                *request.version_mut() = Version::HTTP_11;
            }
            Sender::Http2 { .. } => {
                // Over HTTP/2 the authority is the host (RFC 9113, section 8.3.1).
                let host = match request.headers_mut().remove(header::HOST) {
                    Some(host) => host,
                    None => default_host()?,
                };
                let scheme = match self.settings.protocol {
                    UpstreamProtocol::Tls(_) => Scheme::HTTPS,
                    UpstreamProtocol::Http1 | UpstreamProtocol::H2c => Scheme::HTTP,
                };
                let uri = Uri::builder().scheme(scheme).authority(host.as_bytes());
                *request.uri_mut() = uri.path_and_query(path_and_query.clone()).build()?;
                // HTTP/2 has no Connection field, and TE needs none there (RFC 9113, section 8.2.2). With the field,
                // hyper would remove TE as well.
                request.headers_mut().remove(header::CONNECTION);
                request.headers_mut().remove(header::EXPECT);
                *request.version_mut() = Version::HTTP_2;
            }
        }
        Ok(())
    }
}

/// Handles interim responses: 100 (Continue) releases the request's body, others go to the client.
fn handle_interim(request: &mut Request<RequestBody>, progress: Arc<Progress>, interim: Option<OnInterim>) {
    hyper::ext::on_informational(request, move |response| match (response.status(), &interim) {
        (StatusCode::CONTINUE, _) => progress.release_body(),
        (status, Some(interim)) => interim(status, response.headers()),
        _ => {}
    });
}

/// Refuses a response that can be read in two ways, and a switch of protocols that the request did not ask for.
fn check_response(response: &Response<Incoming>, kind: ConnectionKind) -> Result<(), UpstreamError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && kind != ConnectionKind::Upgrade {
        return Err(UpstreamError::Unsolicited);
    }
    if has_ambiguous_end(response.headers()) {
        return Err(UpstreamError::Framing);
    }
    Ok(())
}

/// Returns whether hyper and the client would find different ends of the response. hyper goes by the transfer coding,
/// which is not forwarded, so the client would go by the length. A coding other than chunked would not be undone at
/// all.
fn has_ambiguous_end(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            headers.contains_key(header::CONTENT_LENGTH)
        }
        _ => true,
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue, header};

    use super::has_ambiguous_end;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields.map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn a_length_or_chunks_end_a_response_in_one_place() {
        for fields in [
            vec![],
            vec![(header::CONTENT_LENGTH, "5")],
            vec![(header::TRANSFER_ENCODING, "chunked")],
            vec![(header::TRANSFER_ENCODING, "Chunked")],
        ] {
            assert!(!has_ambiguous_end(&headers(&fields)), "{fields:?}");
        }
    }

    #[test]
    fn a_length_beside_a_coding_is_ambiguous() {
        let fields = [(header::TRANSFER_ENCODING, "chunked"), (header::CONTENT_LENGTH, "5")];
        assert!(has_ambiguous_end(&headers(&fields)));
    }

    #[test]
    fn a_coding_other_than_chunked_is_ambiguous() {
        for coding in ["", "gzip", "gzip, chunked", "chunked, chunked", "identity"] {
            assert!(has_ambiguous_end(&headers(&[(header::TRANSFER_ENCODING, coding)])), "{coding}");
        }
    }
}
