//! Reads the frames of an HTTP/2 connection before hyper does. Ends a connection whose client sends more control frames
//! than its budget allows, and lets other tasks run while a client sends many small frames of any kind.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::coop;

use super::budget::{Budget, Received};
use crate::bounds::Bounds;
use crate::clock::Stopwatch;
use crate::metrics::Bound;
use crate::server::http1::linger::Linger;

/// tokio lets a task read 128 times before others have their turn, however many frames it reads. This many count as a
/// read of their own.
const FRAMES_PER_READ: usize = 16;

/// A client's stream, guarded.
pub(in crate::server) struct FloodGuard<S> {
    inner: S,
    budget: Budget,
    watch: Stopwatch,
    state: State,
}

enum State {
    Open,
    /// The budget is overdrawn.
    Flooded,
    /// GOAWAY is sent, if that was possible. Nothing more goes out, and what comes in is thrown away.
    Lingering(Linger),
}

impl<S: AsyncRead + AsyncWrite + Unpin> FloodGuard<S> {
    /// A stream of which `read` was read already.
    pub(in crate::server) fn new(inner: S, read: &[u8], bounds: &Bounds) -> Self {
        let budget = Budget::new(bounds.control_frames, bounds.streams);
        let mut guard = Self { inner, budget, watch: Stopwatch::start(), state: State::Open };
        let received = guard.budget.receive(read);
        guard.spend(received);
        guard
    }

    /// The clock is read only if there is something to count.
    fn spend(&mut self, received: Received) {
        if received.control > 0 && !self.budget.spend(received.control, self.watch.millis()) {
            Bound::ControlFrames.count_exceeded();
            self.state = State::Flooded;
        }
    }

    /// Sends GOAWAY to a client that takes it at once.
    fn go_away(&mut self, context: &mut Context<'_>) {
        if let Some(frame) = self.budget.go_away() {
            let _ = Pin::new(&mut self.inner).poll_write(context, &frame);
            let _ = Pin::new(&mut self.inner).poll_flush(context);
        }
        let _ = Pin::new(&mut self.inner).poll_shutdown(context);
    }
}

/// Counts frames as reads, so that the task yields after about as much work as any other.
fn take_turns(context: &mut Context<'_>, frames: usize) {
    for _ in 0..frames / FRAMES_PER_READ {
        match coop::poll_proceed(context) {
            Poll::Ready(turn) => turn.made_progress(),
            Poll::Pending => return,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for FloodGuard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let State::Open = this.state {
            let before = out.filled().len();
            std::task::ready!(Pin::new(&mut this.inner).poll_read(context, out))?;
            let received = this.budget.receive(out.filled().get(before..).unwrap_or_default());
            take_turns(context, received.frames);
            this.spend(received);
            if let State::Open = this.state {
                return Poll::Ready(Ok(()));
            }
            out.set_filled(before);
        }
        if let State::Flooded = this.state {
            this.go_away(context);
            this.state = State::Lingering(Linger::default());
        }
        if let State::Lingering(linger) = &mut this.state {
            std::task::ready!(linger.poll(&mut this.inner, context));
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many control frames")))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for FloodGuard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let State::Lingering(_) = self.state {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.budget.send(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let State::Lingering(_) = self.state {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = std::task::ready!(Pin::new(&mut self.inner).poll_write_vectored(context, slices))?;
        let mut left = written;
        for slice in slices {
            let part = slice.get(..left).unwrap_or(slice);
            self.budget.send(part);
            left -= part.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let State::Lingering(_) = self.state {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
