//! What goes out to a client: hyper's bytes, interim answers between them, and nothing to a client that takes none.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;
use tokio::time::Sleep;

use crate::connection::Interim;
use crate::metrics::Bound;

/// The way out of one connection.
pub(super) struct ResponseWriter {
    timeout: Duration,
    /// Runs while the client takes nothing of what it is sent.
    stuck: Option<Pin<Box<Sleep>>>,
    pub(super) interim: Arc<Interim>,
    /// hyper has nothing in its own buffer: the last thing it did was to flush that.
    pub(super) flushed: Arc<AtomicBool>,
    /// Begun, and so to be ended before anything else.
    unsent: BytesMut,
}

impl ResponseWriter {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            stuck: None,
            interim: Arc::default(),
            flushed: Arc::new(AtomicBool::new(true)),
            unsent: BytesMut::new(),
        }
    }

    /// Writes interim answers, if there are any and this is the place for them.
    pub(super) fn poll_interim<S: AsyncWrite + Unpin>(&mut self, inner: &mut S, context: &mut Context<'_>) {
        if self.flushed.load(Ordering::Relaxed) && self.unsent.is_empty() {
            self.unsent.extend_from_slice(&self.interim.take(context));
        }
        if !self.unsent.is_empty() {
            // If it fails, so will what comes after it, and that is told.
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

    /// Before hyper writes.
    pub(super) fn poll_ready<S: AsyncWrite + Unpin>(
        &mut self,
        inner: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.flushed.store(false, Ordering::Relaxed);
        if self.unsent.is_empty() { Poll::Ready(Ok(())) } else { self.poll_unsent(inner, context) }
    }

    /// After hyper flushed.
    pub(super) fn flushed(&mut self) {
        self.flushed.store(true, Ordering::Relaxed);
    }

    /// Notes whether the client takes what it is sent.
    pub(super) fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stuck = None;
            return polled;
        }
        let timeout = self.timeout;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        std::task::ready!(stuck.as_mut().poll(context));
        Bound::BodyIdle.exceeded();
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes nothing of what it is sent",
        )))
    }
}
