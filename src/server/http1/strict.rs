//! Reads HTTP/1 between a client and hyper, which accepts more than a proxy may (RFC 9112, section 11.2). hyper gets no
//! byte of a message before its head is judged. In the place of a head that cannot be read in one way only, hyper gets
//! a stand-in request, so that it gets a response and a line in the log like any other.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;
use super::head::HeadBounds;
use super::linger::Linger;
use super::malformed::Malformed;
use super::reader_state::ReaderState;
use super::response_writer::ResponseWriter;
use crate::connection::InterimResponses;
use crate::policy::live::Live;
use crate::server::handshake::Handshake;
use crate::timer::LazyTimer;

/// See [`super::STAND_IN`].
const STAND_IN_REQUEST: &[u8] = b"- / HTTP/1.1\r\nConnection: close\r\n\r\n";
/// How much is read from the socket at once while a head is read.
const READ: usize = 8 * 1024;

/// A client's stream, read strictly.
pub(in crate::server) struct StrictHttp1<S> {
    inner: S,
    state: Arc<ReaderState>,
    bounds: HeadBounds,
    /// Configures how paths are read.
    policy: Arc<Live>,
    header_timeout: Duration,
    framing: Framing,
    /// The number of heads handed on.
    heads: u64,
    /// Bytes that are read, and not handed on.
    buffer: BytesMut,
    /// How much of the buffer can be handed on.
    cleared: usize,
    /// Runs from the first byte of a head to its end.
    header_timer: LazyTimer,
    writer: ResponseWriter,
    lingering: Option<Linger>,
    /// Whether a response broke off whose end only the end of the connection marks.
    cut_short: Arc<AtomicBool>,
    /// Makes such a connection end with a reset: a regular end would complete the response.
    reset: fn(&S),
}

impl<S> Drop for StrictHttp1<S> {
    fn drop(&mut self) {
        if self.cut_short.load(Ordering::Relaxed) {
            (self.reset)(&self.inner);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StrictHttp1<S> {
    /// Reads HTTP/1, beginning with the bytes that were `read` already. `reset` makes the stream end with a reset when
    /// it is dropped.
    pub(in crate::server) fn http1(inner: S, read: BytesMut, handshake: &Handshake, reset: fn(&S)) -> Self {
        let Handshake { bounds, policy, .. } = handshake;
        Self {
            inner,
            state: Arc::default(),
            bounds: HeadBounds::from(bounds),
            policy: Arc::clone(policy),
            header_timeout: bounds.header_timeout,
            framing: Framing::default(),
            heads: 0,
            buffer: read,
            cleared: 0,
            header_timer: LazyTimer::default(),
            writer: ResponseWriter::new(bounds.body_idle_timeout),
            lingering: None,
            cut_short: Arc::default(),
            reset,
        }
    }

    /// Passes on what is not HTTP/1, beginning with the bytes that were `read` already.
    pub(in crate::server) fn pass_through(inner: S, read: BytesMut, handshake: &Handshake) -> Self {
        let mut strict = Self::http1(inner, read, handshake, |_| ());
        (strict.framing, strict.cleared) = (Framing::PassThrough, strict.buffer.len());
        strict
    }

    /// Returns the state that is shared with the service behind the reader.
    pub(in crate::server) fn state(&self) -> Arc<ReaderState> {
        Arc::clone(&self.state)
    }

    /// Returns the flag to set when a response breaks off whose end only the end of the connection marks.
    pub(in crate::server) fn cut_short(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cut_short)
    }

    /// Returns the flag that is set while all bytes that hyper wrote have been sent.
    pub(in crate::server) fn flushed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.writer.flushed)
    }

    /// Returns the queue of interim responses.
    pub(in crate::server) fn interim(&self) -> Arc<InterimResponses> {
        Arc::clone(&self.writer.interim)
    }

    /// Hands on what is cleared.
    fn hand_on(&mut self, out: &mut ReadBuf<'_>) {
        let length = self.cleared.min(out.remaining());
        out.put_slice(self.buffer.get(..length).unwrap_or_default());
        self.buffer.advance(length);
        self.cleared -= length;
        if self.buffer.is_empty() {
            // An idle connection keeps no buffer.
            self.buffer = BytesMut::new();
        }
    }

    /// Clears what can be handed on of the buffer, or replaces an invalid head by the stand-in.
    fn clear(&mut self) -> io::Result<()> {
        let in_head = self.framing.is_head();
        match self.framing.advance(&self.buffer, &self.bounds, &self.policy) {
            Ok(length) => {
                self.cleared = length;
                if in_head && length > 0 {
                    self.head_ended();
                } else if in_head && self.framing.drop_empty_lines() {
                    self.buffer.clear();
                }
                Ok(())
            }
            Err(fault) => self.reject(in_head, fault),
        }
    }

    /// Replaces an invalid head by the stand-in. An invalid body ends the connection with an error, as its request may
    /// have its response already.
    fn reject(&mut self, in_head: bool, fault: Malformed) -> io::Result<()> {
        if !in_head {
            return Err(io::Error::new(io::ErrorKind::InvalidData, fault));
        }
        self.hand_on_stand_in(fault);
        Ok(())
    }

    /// Hands on the stand-in instead of the head with this fault, and then nothing more.
    fn hand_on_stand_in(&mut self, fault: Malformed) {
        self.state.set_fault(fault);
        self.buffer = BytesMut::from(STAND_IN_REQUEST);
        self.cleared = self.buffer.len();
        self.framing = Framing::Closed;
        self.header_timer.stop();
    }

    /// Notes that a head was handed on.
    fn head_ended(&mut self) {
        self.header_timer.stop();
        if let Framing::AfterUpgrade = self.framing {
            self.state.request_upgrade(self.heads);
        }
        self.heads += 1;
    }

    /// Reads more into the buffer. Ready(0): the client has ended its side.
    fn fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.buffer.reserve(READ);
        let polled = tokio_util::io::poll_read_buf(Pin::new(&mut self.inner), context, &mut self.buffer);
        if polled.is_pending() && self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        polled
    }

    /// Reads directly into `out`, without a copy: a body, or a head that arrives whole. What cannot be handed on yet
    /// goes into the buffer. False: nothing was handed on.
    fn read_through(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = out.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, out))?;
        let read = out.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let in_head = self.framing.is_head();
        let length = match self.framing.advance(read, &self.bounds, &self.policy) {
            Ok(length) => length,
            Err(fault) => {
                out.set_filled(before);
                self.reject(in_head, fault)?;
                return Poll::Ready(Ok(false));
            }
        };
        self.buffer.extend_from_slice(read.get(length..).unwrap_or_default());
        out.set_filled(before + length);
        if in_head && length > 0 {
            self.head_ended();
        }
        Poll::Ready(Ok(length > 0))
    }

    /// Reads messages, and hands on what is judged.
    fn poll_messages(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.cleared > 0 {
                self.hand_on(out);
                return Poll::Ready(Ok(()));
            }
            match self.framing {
                Framing::Closed => return Poll::Pending,
                Framing::AfterUpgrade => {
                    if let Poll::Ready(tunnel) = self.state.poll_upgrade(context) {
                        self.framing = if tunnel { Framing::PassThrough } else { Framing::default() };
                        continue;
                    }
                    // Reading on detects a client that leaves. What it sends is kept.
                    while self.buffer.len() < READ {
                        if std::task::ready!(self.fill(context))? == 0 {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    return Poll::Pending;
                }
                _ => {}
            }
            if self.buffer.is_empty() {
                self.header_timer.stop();
                if std::task::ready!(self.read_through(context, out))? {
                    return Poll::Ready(Ok(()));
                }
            }
            if self.cleared == 0 {
                self.clear()?;
            }
            if self.cleared > 0 || self.buffer.is_empty() {
                continue;
            }
            // A head that has begun, and not ended.
            let timeout = self.header_timeout;
            if self.header_timer.poll(timeout, context).is_ready() {
                self.hand_on_stand_in(Malformed::Late);
                continue;
            }
            if std::task::ready!(self.fill(context))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Waits until the client sends its next request or leaves, without a buffer.
    pub(in crate::server) fn poll_next_request(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // hyper reads next, and then gets the same end or error.
        self.fill(context).map(drop)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for StrictHttp1<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Framing::PassThrough = self.framing {
            return self.poll_messages(context, out);
        }
        // hyper reads on while it has no response: that is when interim responses can be written.
        let Self { inner, writer, .. } = &mut *self;
        writer.poll_interim(inner, context);
        let polled = self.poll_messages(context, out);
        self.state.set_between_requests(self.framing.is_head() && self.buffer.is_empty());
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StrictHttp1<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, writer, .. } = &mut *self;
        std::task::ready!(writer.poll_ready(inner, context))?;
        let polled = Pin::new(inner).poll_write(context, bytes);
        writer.watched(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, writer, .. } = &mut *self;
        std::task::ready!(writer.poll_ready(inner, context))?;
        let polled = Pin::new(inner).poll_write_vectored(context, slices);
        writer.watched(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, writer, .. } = &mut *self;
        let polled = Pin::new(inner).poll_flush(context);
        std::task::ready!(writer.watched(context, polled))?;
        writer.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            std::task::ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
        }
        // A client that is not in the middle of a request has nothing left to send.
        let ended = matches!(self.framing, Framing::Head(_) | Framing::PassThrough) && self.buffer.is_empty();
        if !ended {
            let Self { inner, lingering, .. } = &mut *self;
            std::task::ready!(lingering.get_or_insert_default().poll(inner, context));
        }
        Poll::Ready(Ok(()))
    }
}
