//! The body of a response on its way to the client: its request is under way until the last byte is written.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, SizeHint};

use super::h2_stall::{self, ClientProgress};
use super::idle::UnderWay;

/// A response's body that tracks what the client takes of it.
pub(super) struct TrackedBody<B> {
    body: B,
    under_way: UnderWay,
    /// None: HTTP/1, or no body.
    progress: Option<Arc<ClientProgress>>,
    /// Set if the body breaks off where only the end of the connection marks its end.
    cut_short: Option<Arc<AtomicBool>>,
}

/// A part of a body. hyper drops it when it is written: until then the request is under way, though its body has ended.
pub(super) struct TrackedData {
    bytes: Bytes,
    _under_way: UnderWay,
}

impl Buf for TrackedData {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl<B: Body<Data = Bytes>> TrackedBody<B> {
    pub(super) fn new(body: B, under_way: UnderWay, cut_short: Option<Arc<AtomicBool>>) -> Self {
        let progress = h2_stall::current_stream().filter(|_| !body.is_end_stream());
        progress.as_ref().inspect(|progress| progress.handed());
        Self { body, under_way, progress, cut_short }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for TrackedBody<B> {
    type Data = TrackedData;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<TrackedData>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &self.progress {
            Some(progress) if polled.is_ready() => progress.handed(),
            Some(progress) => progress.awaited(),
            None => {}
        }
        if let (Poll::Ready(Some(Err(_))), Some(cut_short)) = (&polled, &self.cut_short) {
            cut_short.store(true, Ordering::Relaxed);
        }
        let under_way = &self.under_way;
        polled.map_ok(|frame| frame.map_data(|bytes| TrackedData { bytes, _under_way: under_way.clone() }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
