//! Writes hyper's bytes to a client, with interim responses between them, and fails if the client reads nothing for too
//! long.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;

use crate::connection::InterimResponses;
use crate::metrics::Bound;
use crate::timer::LazyTimer;

/// The writing half of one connection.
pub(super) struct ResponseWriter {
    timeout: Duration,
    /// Runs while the client reads nothing of what it is sent.
    stall_timer: LazyTimer,
    pub(super) interim: Arc<InterimResponses>,
    /// Whether hyper's own buffer is empty: the last thing that hyper did was to flush it.
    pub(super) flushed: Arc<AtomicBool>,
    /// The rest of an interim response, which must be written before anything else.
    unsent: BytesMut,
}

impl ResponseWriter {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            stall_timer: LazyTimer::default(),
            interim: Arc::default(),
            flushed: Arc::new(AtomicBool::new(true)),
            unsent: BytesMut::new(),
        }
    }

    /// Writes interim responses, if there are any and hyper is not in the middle of a response.
    pub(super) fn poll_interim<S: AsyncWrite + Unpin>(&mut self, inner: &mut S, context: &mut Context<'_>) {
        if self.flushed.load(Ordering::Relaxed) && self.unsent.is_empty() {
            self.unsent.extend_from_slice(&self.interim.take_unsent(context));
        }
        if !self.unsent.is_empty() {
            // If it fails, so does the next write of hyper, which reports it.
            let _ = self.poll_unsent(inner, context);
        }
    }

    fn poll_unsent<S: AsyncWrite + Unpin>(
        &mut self,
        inner: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let polled = Pin::new(&mut *inner).poll_write(context, &self.unsent);
            let written = std::task::ready!(self.watched(context, polled))?;
            self.unsent.advance(written);
        }
        Pin::new(inner).poll_flush(context)
    }

    /// Prepares for a write of hyper.
    pub(super) fn poll_ready<S: AsyncWrite + Unpin>(
        &mut self,
        inner: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.flushed.store(false, Ordering::Relaxed);
        if self.unsent.is_empty() { Poll::Ready(Ok(())) } else { self.poll_unsent(inner, context) }
    }

    /// Notes that hyper has flushed.
    pub(super) fn flushed(&mut self) {
        self.flushed.store(true, Ordering::Relaxed);
    }

    /// Fails a write that the client has not taken for too long.
    pub(super) fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stall_timer.stop();
            return polled;
        }
        std::task::ready!(self.stall_timer.poll(self.timeout, context));
        Bound::BodyIdle.count_exceeded();
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing of what it is sent",
        )))
    }
}
