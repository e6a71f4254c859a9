//! Stands between a client's bytes and hyper, which reads HTTP/1 more kindly than a proxy may (RFC 9112, section
//! 11.2): hyper gets no byte of a message before its head has been judged, and what cannot be read in one way only
//! reaches it as a request that stands for it, to be answered and logged like any other.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::chunks::{Chunks, Scanned};
use super::head::{self, Following, HeadBounds};
use super::linger::Linger;
use super::malformed::Malformed;
use super::prefix::Prefix;
use super::response_writer::ResponseWriter;
use super::upgrade_gate::UpgradeGate;
use crate::bounds::Bounds;
use crate::connection::Interim;

/// See [`super::STAND_IN`].
const STAND_IN_REQUEST: &[u8] = b"- / HTTP/1.1\r\nConnection: close\r\n\r\n";
/// How much is asked of the socket at once while a head is read.
const READ: usize = 8 * 1024;
/// What the next byte belongs to.
#[derive(Debug)]
enum Part {
    /// A head, of which this much has been looked at.
    Head(Prefix),
    /// A body with so many bytes left.
    Length(u64),
    /// A body in chunks.
    Chunked(Chunks),
    /// Held until the request to upgrade has its answer.
    AfterUpgrade,
    /// Nothing that is looked at: a tunnel, or HTTP/2.
    Anything,
    /// Nothing that is read.
    Nothing,
}

/// A client's stream, screened.
pub(in crate::server) struct StrictHttp1<S> {
    inner: S,
    gate: Arc<UpgradeGate>,
    bounds: HeadBounds,
    header_timeout: Duration,
    part: Part,
    /// How many heads were handed on.
    heads: u64,
    /// Read, and not handed on.
    buffer: BytesMut,
    /// So much of the buffer may be handed on.
    cleared: usize,
    /// Runs from the first byte of a head to its end.
    late: Option<Pin<Box<Sleep>>>,
    writer: ResponseWriter,
    lingering: Option<Linger>,
    /// Whether an answer has ended too early, and its client knows its end by that of the connection only.
    cut_short: Arc<AtomicBool>,
    /// Has the connection end with a reset then, and not as if all had been said.
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
    /// HTTP/1, of which `read` was read already. `reset` has the stream end with a reset when it is dropped.
    pub(in crate::server) fn http1(inner: S, read: BytesMut, bounds: &Bounds, reset: fn(&S)) -> Self {
        Self {
            inner,
            gate: Arc::default(),
            bounds: HeadBounds::from(bounds),
            header_timeout: bounds.header_timeout,
            part: Part::Head(Prefix::default()),
            heads: 0,
            buffer: read,
            cleared: 0,
            late: None,
            writer: ResponseWriter::new(bounds.body_idle_timeout),
            lingering: None,
            cut_short: Arc::default(),
            reset,
        }
    }

    /// HTTP/2, which has one way to read it: only what was read already is handed on first.
    pub(in crate::server) fn http2(inner: S, read: BytesMut, bounds: &Bounds) -> Self {
        let mut strict = Self::http1(inner, read, bounds, |_| ());
        (strict.part, strict.cleared) = (Part::Anything, strict.buffer.len());
        strict
    }

    pub(in crate::server) fn gate(&self) -> Arc<UpgradeGate> {
        Arc::clone(&self.gate)
    }

    /// To be set when an answer ends too early for a client that knows its end by that of the connection only.
    pub(in crate::server) fn cut_short(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.cut_short)
    }

    /// Whether all that was written has gone out.
    pub(in crate::server) fn flushed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.writer.flushed)
    }

    /// The way for interim answers.
    pub(in crate::server) fn interim(&self) -> Arc<Interim> {
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

    /// Looks at what is in the buffer and not yet cleared. False: more must be read.
    fn clear(&mut self) -> Result<bool, Malformed> {
        match &mut self.part {
            Part::Head(prefix) => {
                let whole = if prefix.is_new() { head::end_of_head(&self.buffer) } else { None };
                let end = match whole {
                    Some(end) => Some(end),
                    None => prefix.scan(&self.buffer, &self.bounds)?,
                };
                let Some(end) = end else {
                    if prefix.drop_empty_lines() {
                        self.buffer.clear();
                    }
                    return Ok(false);
                };
                let following = head::judge(self.buffer.get(..end).unwrap_or_default(), &self.bounds)?;
                self.cleared = end;
                self.late = None;
                self.next_part(following);
                Ok(true)
            }
            Part::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                self.cleared = here;
                *left = left.saturating_sub(here as u64);
                if *left == 0 {
                    self.part = Part::Head(Prefix::default());
                }
                Ok(here > 0)
            }
            Part::Chunked(chunks) => {
                if self.buffer.is_empty() {
                    return Ok(false);
                }
                match chunks.scan(&self.buffer)? {
                    Scanned::All => self.cleared = self.buffer.len(),
                    Scanned::End(length) => {
                        self.cleared = length;
                        self.part = Part::Head(Prefix::default());
                    }
                }
                Ok(true)
            }
            Part::Anything => {
                self.cleared = self.buffer.len();
                Ok(self.cleared > 0)
            }
            Part::AfterUpgrade | Part::Nothing => Ok(false),
        }
    }

    /// In the place of what cannot be read hyper gets a stand-in, and then nothing more.
    fn refuse(&mut self, fault: Malformed) {
        self.gate.refused(fault);
        self.buffer = BytesMut::from(STAND_IN_REQUEST);
        self.cleared = self.buffer.len();
        self.part = Part::Nothing;
        self.late = None;
    }

    /// What is next after a head.
    fn next_part(&mut self, following: Following) {
        let number = self.heads;
        self.heads += 1;
        self.part = match following {
            Following::Length(0) => Part::Head(Prefix::default()),
            Following::Length(length) => Part::Length(length),
            Following::Chunked => Part::Chunked(Chunks::default()),
            Following::Upgrade => {
                self.gate.upgrade_asked(number);
                Part::AfterUpgrade
            }
        };
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

    /// Reads to where it is wanted, without a copy: a body, or a head if all of it comes at once. What belongs to
    /// the next part goes into the buffer. False: nothing was handed on.
    fn read_through(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        // Nothing of a head is here.
        self.late = None;
        let before = out.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(context, out))?;
        let read = out.filled().get(before..).unwrap_or_default();
        if read.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let own = match &mut self.part {
            Part::Length(left) => {
                let own = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                *left = left.saturating_sub(own as u64);
                if *left == 0 {
                    self.part = Part::Head(Prefix::default());
                }
                own
            }
            Part::Chunked(chunks) => match chunks.scan(read).map_err(invalid)? {
                Scanned::All => read.len(),
                Scanned::End(length) => {
                    self.part = Part::Head(Prefix::default());
                    length
                }
            },
            Part::Head(prefix) => {
                let whole = prefix.is_new().then(|| whole_head(read, &self.bounds)).flatten();
                // Otherwise the long way: it is kept until all of it is there, or a byte of it is invalid.
                whole.map_or(0, |(end, following)| {
                    self.next_part(following);
                    end
                })
            }
            Part::AfterUpgrade | Part::Anything | Part::Nothing => read.len(),
        };
        self.buffer.extend_from_slice(read.get(own..).unwrap_or_default());
        out.set_filled(before + own);
        Poll::Ready(Ok(own > 0))
    }

    /// Whether the header has taken too long.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        let timeout = self.header_timeout;
        let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        late.as_mut().poll(context).is_ready()
    }
}

/// The end of a head that starts here and is all there and good, and what follows it.
fn whole_head(read: &[u8], bounds: &HeadBounds) -> Option<(usize, Following)> {
    let end = head::end_of_head(read)?;
    let text = read.get(..end)?;
    let following = head::judge(text, bounds).ok()?;
    Some((end, following))
}

fn invalid(fault: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, fault)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for StrictHttp1<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !matches!(self.part, Part::Anything) {
            // hyper reads on while it has no answer: that is when interim ones can be written.
            let Self { inner, writer, .. } = &mut *self;
            writer.poll_interim(inner, context);
        }
        loop {
            if self.cleared > 0 {
                self.hand_on(out);
                return Poll::Ready(Ok(()));
            }
            match self.part {
                Part::Nothing => return Poll::Pending,
                Part::AfterUpgrade => {
                    if let Poll::Ready(tunnel) = self.gate.poll_upgrade(context) {
                        self.part = if tunnel { Part::Anything } else { Part::Head(Prefix::default()) };
                        continue;
                    }
                    // A client that leaves need not be answered; what it sends is kept.
                    while self.buffer.len() < READ {
                        if std::task::ready!(self.fill(context))? == 0 {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    return Poll::Pending;
                }
                _ => {}
            }
            if self.buffer.is_empty() && std::task::ready!(self.read_through(context, out))? {
                return Poll::Ready(Ok(()));
            }
            let in_head = matches!(self.part, Part::Head(_));
            match self.clear() {
                Ok(true) => continue,
                Ok(false) if self.buffer.is_empty() => continue,
                Ok(false) => {}
                Err(fault) if in_head => {
                    self.refuse(fault);
                    continue;
                }
                Err(fault) => return Poll::Ready(Err(invalid(fault))),
            }
            // A head that has begun, and not ended.
            if self.is_late(context) {
                self.refuse(Malformed::Late);
                continue;
            }
            if std::task::ready!(self.fill(context))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
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
        // Only who may be in the middle of a request is waited for.
        let ended = matches!(self.part, Part::Head(_) | Part::Anything) && self.buffer.is_empty();
        if !ended {
            let Self { inner, lingering, .. } = &mut *self;
            std::task::ready!(lingering.get_or_insert_default().poll(inner, context));
        }
        Poll::Ready(Ok(()))
    }
}
