//! The application behind the proxy: its connections, its patience, and what is done when it has gone.

mod connect;
mod error;
mod exchange;
mod outgoing;
mod pool;
mod response_body;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use tokio::time::Sleep;

use crate::bounds::Bounds;
use crate::clock::Stopwatch;
use crate::grpc::is_grpc;
use crate::h2_error;
use crate::metrics::{self, Bound};
use crate::settings::{UpstreamProtocol, UpstreamSettings};
use connect::Handshake;
pub use connect::{ConnectionKind, Protocol, Tls};
pub use error::UpstreamError;
pub use exchange::BodyError;
use exchange::{BodyState, Exchange, RequestBody};
pub use outgoing::{OnInterim, Outgoing};
pub use pool::Reservation;
use pool::{Occupied, Place, Pool, Sender};
pub use response_body::Answer;

/// How often a request is tried again that was not sent, as its connection had ended.
const MOST_RETRIES: usize = 2;

/// The application.
#[derive(Debug)]
pub struct Upstream {
    settings: UpstreamSettings,
    bounds: Bounds,
    pool: Arc<Pool>,
    reachable: AtomicBool,
}

impl Upstream {
    /// Connects when the first request comes.
    #[must_use]
    pub fn new(settings: UpstreamSettings, protocol: Protocol, bounds: &Bounds) -> Self {
        let pool = Pool::new(&settings, protocol);
        Self { settings, bounds: bounds.clone(), pool, reachable: AtomicBool::new(true) }
    }

    /// Lets go of connections that nobody has used for too long.
    pub fn sweep(&self) {
        self.pool.sweep();
    }

    /// Reserves a place among the requests that are under way or wait for their turn. None if all are taken.
    #[must_use]
    pub fn reserve(&self) -> Option<Reservation> {
        self.pool.reserve()
    }

    /// Sends a request, and returns when the head of the answer is there. Both bodies go on flowing, each as fast as
    /// its slower side; dropping the future, or the answer, ends the request at the application too.
    ///
    /// A request of which nothing was sent, because the connection had ended, is sent on another one. So is, once
    /// and if the settings allow it, a safe request without a body (RFC 9110, section 9.2.2) that got no answer on a
    /// connection used before: it crossed the closing.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Response<Answer>, UpstreamError> {
        let Some(timeout) = self.bounds.request_timeout else { return self.exchange(outgoing, None).await };
        let deadline = Box::pin(tokio::time::sleep(timeout));
        tokio::time::timeout(timeout, self.exchange(outgoing, Some(deadline)))
            .await
            .unwrap_or(Err(UpstreamError::RequestTimeout))
    }

    async fn exchange(
        &self,
        outgoing: Outgoing,
        deadline: Option<Pin<Box<Sleep>>>,
    ) -> Result<Response<Answer>, UpstreamError> {
        let Outgoing {
            request,
            path_and_query,
            expects_continue,
            kind,
            interim,
            secret_fields,
            reservation,
            held,
        } = outgoing;
        let patience = match is_grpc(request.headers()) {
            true => (self.bounds.stream_idle_timeout, Bound::StreamIdle),
            false => (self.bounds.body_idle_timeout, Bound::BodyIdle),
        };
        let exchange = Exchange::start(patience.0, expects_continue);
        let bodiless = request.body().is_end_stream();
        let safe = request.method().is_safe() && bodiless;
        let mut request = request.map(|body| RequestBody::new(body, Arc::clone(&exchange), secret_fields));
        request.extensions_mut().clear();
        if expects_continue {
            request.headers_mut().insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        let (mut place, mut waited) = self.turn(reservation).await?;
        let (mut attempts, mut spare) = (0, None);
        let (answer, sender) = loop {
            let (taken, mut sender) = self.occupy(place, waited, attempts > 0, kind).await?;
            self.address(&mut request, &path_and_query, &sender)?;
            if expects_continue || interim.is_some() {
                listen(&mut request, Arc::clone(&exchange), interim.clone());
            }
            let shared = matches!(sender, Sender::Http2 { .. });
            let reused = matches!(sender, Sender::Http1 { reused: true, .. });
            if attempts == 0 && self.settings.retry && ((reused && safe) || (shared && bodiless)) {
                spare = Some((request.method().clone(), request.headers().clone()));
            }
            match self.attempt(&mut sender, request, &exchange).await {
                Ok(answer) => break (answer, (taken, sender)),
                Err(Failed::NotSent(unsent)) if attempts < MOST_RETRIES => request = *unsent,
                Err(Failed::NotSent(_)) => {
                    let closed = "each connection was closed before the request was sent";
                    return Err(UpstreamError::Unreachable(std::io::Error::other(closed)));
                }
                Err(Failed::Lost(error)) if spare.is_some() && (!shared || is_unprocessed(&error)) => {
                    // There is no body to lose.
                    request = Request::new(RequestBody::none(Arc::clone(&exchange)));
                    let (method, headers) = spare.take().unwrap_or_default();
                    (*request.method_mut(), *request.headers_mut()) = (method, headers);
                }
                Err(Failed::Lost(error) | Failed::Final(error)) => return Err(error),
            }
            metrics::upstream_retry();
            (place, waited, attempts) = (taken, Duration::ZERO, attempts + 1);
        };
        let (place, mut sender) = sender;
        self.judge(&answer, kind)?;
        let bound = match is_event_stream(answer.headers()) {
            true => {
                exchange.be_patient(self.bounds.stream_idle_timeout);
                Bound::StreamIdle
            }
            false => patience.1,
        };
        if let (StatusCode::SWITCHING_PROTOCOLS, Sender::Http1 { driver, .. }) =
            (answer.status(), &mut sender)
        {
            driver.release();
        }
        let occupied = Occupied { pool: Arc::clone(&self.pool), sender, _place: place, _held: held };
        Ok(answer.map(|body| Answer::new(body, exchange, bound, deadline, occupied)))
    }

    /// Waits for a place among the requests under way. How long that took counts as a part of connecting.
    async fn turn(&self, reservation: Reservation) -> Result<(Place, Duration), UpstreamError> {
        let watch = Stopwatch::start();
        match tokio::time::timeout(self.settings.connect_timeout, self.pool.place(reservation)).await {
            Ok(Some(place)) => {
                Ok((place, Duration::from_millis(u64::try_from(watch.millis()).unwrap_or_default())))
            }
            // The upstream is not away, it is busy.
            Ok(None) | Err(_) => Err(UpstreamError::Full),
        }
    }

    /// Finds a connection for a request that has a place and has `waited` for it.
    async fn occupy(
        &self,
        place: Place,
        waited: Duration,
        fresh: bool,
        kind: ConnectionKind,
    ) -> Result<(Place, Sender), UpstreamError> {
        let handshake = Handshake::default();
        let connecting = async {
            let sender = match kind {
                ConnectionKind::Upgrade => self.pool.open(kind, &handshake).await,
                ConnectionKind::Pooled => self.pool.sender(fresh, &handshake).await,
            };
            Ok((place, sender.map_err(UpstreamError::unreachable)?))
        };
        let left = self.settings.connect_timeout.saturating_sub(waited);
        let occupied = tokio::time::timeout(left, connecting);
        let occupied = occupied.await.unwrap_or_else(|_| match handshake.has_begun() {
            true => Err(UpstreamError::HandshakeTimeout),
            false => Err(UpstreamError::ConnectTimeout),
        });
        let reached = occupied.is_ok();
        // Once each, however many requests find out.
        if self.reachable.swap(reached, Ordering::Relaxed) != reached {
            match &occupied {
                Ok(_) => tracing::info!("the upstream can be reached again"),
                Err(error) => {
                    tracing::warn!(error = %error::chain(error), "the upstream cannot be reached")
                }
            }
        }
        occupied
    }

    /// Puts the target into the form that the connection's protocol has for it.
    fn address(
        &self,
        request: &mut Request<RequestBody>,
        path_and_query: &PathAndQuery,
        sender: &Sender,
    ) -> Result<(), http::Error> {
        // A client of HTTP/1.0 may name no host.
        let own = || HeaderValue::try_from(self.settings.address.authority());
        match sender {
            Sender::Http1 { .. } => {
                if !request.headers().contains_key(header::HOST) {
                    request.headers_mut().insert(header::HOST, own()?);
                }
                *request.uri_mut() = Uri::from(path_and_query.clone());
                *request.version_mut() = Version::HTTP_11;
            }
            Sender::Http2 { .. } => {
                // Over HTTP/2 the authority is the host (RFC 9113, section 8.3.1).
                let host = match request.headers_mut().remove(header::HOST) {
                    Some(host) => host,
                    None => own()?,
                };
                let scheme = match self.settings.protocol {
                    UpstreamProtocol::Tls(_) => Scheme::HTTPS,
                    UpstreamProtocol::Http1 | UpstreamProtocol::H2c => Scheme::HTTP,
                };
                let uri = Uri::builder().scheme(scheme).authority(host.as_bytes());
                *request.uri_mut() = uri.path_and_query(path_and_query.clone()).build()?;
                // It would take TE with it, which HTTP/2 knows without (RFC 9113, section 8.2.2).
                request.headers_mut().remove(header::CONNECTION);
                request.headers_mut().remove(header::EXPECT);
                *request.version_mut() = Version::HTTP_2;
            }
        }
        Ok(())
    }

    /// Sends the request on one connection, and waits for the head of the answer.
    async fn attempt(
        &self,
        sender: &mut Sender,
        request: Request<RequestBody>,
        exchange: &Exchange,
    ) -> Result<Response<Incoming>, Failed> {
        let mut answer = std::pin::pin!(async {
            match sender {
                Sender::Http1 { sender, .. } => sender.try_send_request(request).await,
                Sender::Http2 { sender, .. } => {
                    // HTTP/2 has no 100 here: the body is wanted at once.
                    exchange.release();
                    sender.try_send_request(request).await
                }
            }
        });
        let timeout = self.settings.response_timeout;
        let mut patience = timeout;
        let answer = loop {
            if let Ok(answer) = tokio::time::timeout(patience, &mut answer).await {
                break answer;
            }
            // A long upload is no reason to give up while it goes on; and a client that does not go on with it is
            // found out where its body is read.
            patience = match exchange.body() {
                BodyState::Awaited => timeout,
                _ => timeout.saturating_sub(exchange.idle()),
            };
            if patience.is_zero() {
                return Err(Failed::Final(UpstreamError::Timeout));
            }
        };
        answer.map_err(|mut error| match (error.take_message(), exchange.body()) {
            (Some(request), _) => Failed::NotSent(Box::new(request)),
            (None, BodyState::Broken) => Failed::Final(UpstreamError::ClientBroken),
            (None, BodyState::Late) => Failed::Final(UpstreamError::ClientTimeout),
            (None, _) => {
                let error = error.into_error();
                // What it said was no answer: it would say the same again.
                let lost = !error.is_parse();
                let error = UpstreamError::Broken(error);
                if lost { Failed::Lost(error) } else { Failed::Final(error) }
            }
        })
    }

    /// Whether an answer can be read in one way only, and was asked for.
    fn judge(&self, answer: &Response<Incoming>, kind: ConnectionKind) -> Result<(), UpstreamError> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS && kind != ConnectionKind::Upgrade {
            return Err(UpstreamError::Unsolicited);
        }
        if has_two_ends(answer.headers()) {
            return Err(UpstreamError::Framing);
        }
        Ok(())
    }
}

/// Has interim answers told: 100 (Continue) to the body, others to the client.
fn listen(request: &mut Request<RequestBody>, exchange: Arc<Exchange>, interim: Option<OnInterim>) {
    hyper::ext::on_informational(request, move |answer| match (answer.status(), &interim) {
        (StatusCode::CONTINUE, _) => exchange.release(),
        (status, Some(interim)) => interim(status, answer.headers()),
        _ => {}
    });
}

/// Why an attempt has no answer.
enum Failed {
    /// Nothing was sent: here is the request.
    NotSent(Box<Request<RequestBody>>),
    /// The connection ended after it was.
    Lost(UpstreamError),
    /// Another attempt would not help, or is not safe.
    Final(UpstreamError),
}

/// hyper goes by the coding; a client behind us would go by the length, as the coding ends here. So would any other
/// coding: nobody would undo it.
fn has_two_ends(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            headers.contains_key(header::CONTENT_LENGTH)
        }
        _ => true,
    }
}

/// Returns whether the upstream reported that it has not processed the request (RFC 9113, section 8.7).
fn is_unprocessed(error: &UpstreamError) -> bool {
    std::error::Error::source(error).and_then(h2_error::find).is_some_and(|error| {
        let shutdown = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (shutdown || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}
