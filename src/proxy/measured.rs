//! Measures requests from the end of their head to the end of their response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::access_line::Line;
use super::response::Body;
use crate::clock::Stopwatch;
use crate::metrics::ProxyMeter;

/// A request under way. It ends when this is dropped: with the body of its response, or when the client leaves.
pub(super) struct Measured {
    meter: Arc<ProxyMeter>,
    since: Stopwatch,
    response_bytes: u64,
    /// The line of the access log. None: the request has none.
    pub(super) line: Option<Box<Line>>,
}

impl Measured {
    /// Counts a request, whose head arrived at `since`, as under way.
    pub(super) fn start(meter: Arc<ProxyMeter>, since: Stopwatch) -> Self {
        meter.request_began();
        Self { meter, since, response_bytes: 0, line: None }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let seconds = self.since.seconds();
        self.meter.request_ended(seconds, self.response_bytes);
        self.line.as_ref().inspect(|line| line.write(self.response_bytes, seconds));
    }
}

/// The body of a response, with the request that ends with it.
pub(crate) struct MeasuredBody {
    body: Body,
    measured: Option<Measured>,
}

impl MeasuredBody {
    pub(super) fn new(body: Body, measured: Option<Measured>) -> Self {
        Self { body, measured }
    }
}

impl HttpBody for MeasuredBody {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let (Poll::Ready(Some(Ok(frame))), Some(measured)) = (&polled, &mut self.measured) {
            measured.response_bytes += frame.data_ref().map_or(0, Bytes::len) as u64;
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
