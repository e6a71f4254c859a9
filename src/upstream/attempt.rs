//! One attempt to send a request, on one connection.

use std::pin::Pin;
use std::time::Duration;

use futures_util::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::error::UpstreamError;
use super::pool::Sender;
use super::progress::{Progress, RequestBodyState};
use super::request_body::RequestBody;
use crate::h2_error;

/// Why an attempt got no response.
pub(super) enum AttemptError {
    /// Nothing of the request was sent. It can be sent on another connection.
    NotSent(Box<Request<RequestBody>>),
    /// The connection ended after the request was sent.
    Lost(UpstreamError),
    /// Another attempt would not help, or is not safe.
    Final(UpstreamError),
}

/// What hyper returns for a request.
type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Sends the request. The future returns the head of the response.
pub(super) fn send(
    sender: &mut Sender,
    request: Request<RequestBody>,
    progress: &Progress,
) -> impl Future<Output = Sent> + use<> {
    match sender {
        Sender::Http1 { sender, .. } => Either::Left(sender.try_send_request(request)),
        Sender::Http2 { sender, .. } => {
            // The expectation of 100 (Continue) is not sent over HTTP/2, so nothing would release the body.
            progress.release_body();
            Either::Right(sender.try_send_request(request))
        }
    }
}

/// Waits for the head of the response. The `timeout` runs while the request's body does not move.
pub(super) async fn response(
    mut sending: Pin<&mut impl Future<Output = Sent>>,
    progress: &Progress,
    timeout: Duration,
) -> Result<Response<Incoming>, AttemptError> {
    let mut left = timeout;
    let response = loop {
        if let Ok(response) = tokio::time::timeout(left, sending.as_mut()).await {
            break response;
        }
        // The upstream need not respond while a long upload moves. A client that does not continue its upload is
        // detected where its body is read.
        left = match progress.request_body() {
            RequestBodyState::AwaitsClient => timeout,
            _ => timeout.saturating_sub(progress.stalled_for()),
        };
        if left.is_zero() {
            return Err(AttemptError::Final(UpstreamError::Timeout));
        }
    };
    response.map_err(|mut error| match (error.take_message(), progress.request_body()) {
        (Some(request), _) => AttemptError::NotSent(Box::new(request)),
        (None, RequestBodyState::Broken) => AttemptError::Final(UpstreamError::ClientBroken),
        (None, RequestBodyState::TimedOut) => AttemptError::Final(UpstreamError::ClientTimeout),
        (None, _) => {
            let error = error.into_error();
            // An upstream that sent an invalid response would send it again.
            let lost = !error.is_parse();
            let error = UpstreamError::Broken(error);
            if lost { AttemptError::Lost(error) } else { AttemptError::Final(error) }
        }
    })
}

/// Returns whether the upstream reported that it has not processed the request (RFC 9113, section 8.7).
pub(super) fn is_unprocessed(error: &UpstreamError) -> bool {
    std::error::Error::source(error).and_then(h2_error::find).is_some_and(|error| {
        let shutdown = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (shutdown || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}
