//! The body of a request on its way to the upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::error::BodyError;
use super::progress::{Progress, RequestBodyState, StallTimer};
use crate::metrics::{self, Bound};
use crate::timer::LazyTimer;
use crate::trailers;

/// How long a body is withheld until the upstream sends 100 (Continue). An upstream may not know the expectation at all
/// (RFC 9110, section 10.1.1).
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// The body of a request, with its progress.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// None: the request has no body.
    body: Option<Incoming>,
    progress: Arc<Progress>,
    stall_timer: StallTimer,
    continue_timer: LazyTimer,
    /// The fields that are not forwarded in a trailer section.
    secret_fields: Arc<[HeaderName]>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, progress: Arc<Progress>, secret_fields: Arc<[HeaderName]>) -> Self {
        if body.is_end_stream() {
            progress.set_request_body(RequestBodyState::Ended);
        }
        let stall_timer = StallTimer::default();
        Self { body: Some(body), progress, stall_timer, continue_timer: LazyTimer::default(), secret_fields }
    }

    /// Creates the body of a request that has none.
    pub(super) fn none(progress: Arc<Progress>) -> Self {
        progress.set_request_body(RequestBodyState::Ended);
        let (stall_timer, secret_fields) = (StallTimer::default(), Arc::default());
        Self { body: None, progress, stall_timer, continue_timer: LazyTimer::default(), secret_fields }
    }

    /// Waits until the upstream accepts the body, or until [`CONTINUE_TIMEOUT`] has passed.
    fn poll_released(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.progress.is_withheld() {
            return Poll::Ready(());
        }
        self.progress.wake_on_release(context.waker());
        if self.continue_timer.poll(CONTINUE_TIMEOUT, context).is_ready() {
            self.progress.release_body();
        }
        if self.progress.is_withheld() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        std::task::ready!(self.poll_released(context));
        if self.progress.is_unwanted() {
            return Poll::Ready(Some(Err(BodyError::Unwanted)));
        }
        let Self { progress, stall_timer, body, secret_fields, .. } = &mut *self;
        let Some(body) = body else { return Poll::Ready(None) };
        match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(Some(Ok(mut frame))) => {
                stall_timer.stop();
                progress.note_move();
                metrics::request_bytes(frame.data_ref().map_or(0, Bytes::len));
                frame.trailers_mut().into_iter().for_each(|fields| trailers::strip(fields, secret_fields));
                progress.set_request_body(match body.is_end_stream() {
                    true => RequestBodyState::Ended,
                    false => RequestBodyState::NotRequested,
                });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                progress.set_request_body(RequestBodyState::Broken);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                progress.set_request_body(RequestBodyState::Ended);
                Poll::Ready(None)
            }
            Poll::Pending => {
                progress.set_request_body(RequestBodyState::AwaitsClient);
                std::task::ready!(stall_timer.poll(progress, context));
                progress.set_request_body(RequestBodyState::TimedOut);
                Bound::BodyIdle.count_exceeded();
                Poll::Ready(Some(Err(BodyError::Stalled)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}
