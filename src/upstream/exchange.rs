//! One request and its answer on their way: how far they are, and whose turn it is.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::metrics::Bound;
use crate::timer::{LastMove, LazyTimer};
use crate::trailers;

/// How long a client's body is held back for the application to say 100 (Continue). It may never have heard of that
/// (RFC 9110, section 10.1.1).
const CONTINUE: Duration = Duration::from_secs(1);

/// What a request's body is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyState {
    /// The application does not read on.
    Untouched = 0,
    /// It would take more, and the client does not send it.
    Awaited = 1,
    /// It failed.
    Broken = 2,
    /// The client stopped in the middle of it.
    Late = 3,
    /// All of it was taken.
    Ended = 4,
}

/// How far a request and its answer have come.
#[derive(Debug)]
pub(super) struct Exchange {
    /// When a part of either body was last sent on.
    last_move: LastMove,
    /// How long both bodies may stall, in milliseconds.
    patience_ms: AtomicU64,
    body: AtomicU8,
    /// Whether the body is held back.
    held: AtomicBool,
    /// Whether nobody wants it any more.
    unwanted: AtomicBool,
    holder: Mutex<Option<Waker>>,
}

impl Exchange {
    pub(super) fn start(patience: Duration, held: bool) -> Arc<Self> {
        let exchange = Self {
            last_move: LastMove::start(),
            patience_ms: AtomicU64::new(0),
            body: AtomicU8::new(BodyState::Untouched as u8),
            held: AtomicBool::new(held),
            unwanted: AtomicBool::new(false),
            holder: Mutex::default(),
        };
        exchange.be_patient(patience);
        Arc::new(exchange)
    }

    pub(super) fn be_patient(&self, patience: Duration) {
        self.patience_ms.store(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn moved(&self) {
        self.last_move.note();
    }

    /// How long nothing has gone on.
    pub(super) fn idle(&self) -> Duration {
        self.last_move.elapsed()
    }

    /// How much longer it may stand still. None: it has, for too long.
    pub(super) fn patience(&self) -> Option<Duration> {
        let patience = Duration::from_millis(self.patience_ms.load(Ordering::Relaxed));
        patience.checked_sub(self.idle()).filter(|left| !left.is_zero())
    }

    pub(super) fn body(&self) -> BodyState {
        match self.body.load(Ordering::Relaxed) {
            1 => BodyState::Awaited,
            2 => BodyState::Broken,
            3 => BodyState::Late,
            4 => BodyState::Ended,
            _ => BodyState::Untouched,
        }
    }

    fn set_body(&self, state: BodyState) {
        self.body.store(state as u8, Ordering::Relaxed);
    }

    /// The application wants the body.
    pub(super) fn release(&self) {
        if self.held.swap(false, Ordering::AcqRel) {
            let holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
            holder.inspect(Waker::wake_by_ref);
        }
    }

    /// The answer has ended. A body that is still held back is not wanted: the client need not send it (RFC 9110,
    /// section 10.1.1), and its connection need not wait for it.
    pub(super) fn answered(&self) -> bool {
        let unwanted = self.held.load(Ordering::Acquire);
        if unwanted {
            self.unwanted.store(true, Ordering::Relaxed);
            self.release();
        }
        unwanted
    }
}

/// Waits for what does not come, until an exchange has stood still for too long.
#[derive(Debug, Default)]
pub(super) struct Stillness {
    waiting: bool,
    timer: LazyTimer,
}

impl Stillness {
    /// Something came.
    pub(super) fn is_over(&mut self) {
        self.waiting = false;
    }

    pub(super) fn poll(&mut self, exchange: &Exchange, context: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            // Until now nobody asked for it: that is not its fault.
            self.waiting = true;
            exchange.moved();
        }
        loop {
            let Some(patience) = exchange.patience() else { return Poll::Ready(()) };
            std::task::ready!(self.timer.poll(patience, context));
        }
    }
}

/// Why a body ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection it came over ended, or what came was no HTTP.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// Nothing of it came for too long.
    #[error("it made no progress")]
    Late,
    /// The request took too long in all.
    #[error("the request took too long")]
    RequestTimeout,
    /// The application has answered without it.
    #[error("the upstream does not want it")]
    Unwanted,
}

/// A request's body on its way to the application.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// None: there is none.
    body: Option<Incoming>,
    exchange: Arc<Exchange>,
    stillness: Stillness,
    continue_timer: LazyTimer,
    /// Not to be forwarded in a trailer section.
    secret_fields: Arc<[HeaderName]>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, exchange: Arc<Exchange>, secret_fields: Arc<[HeaderName]>) -> Self {
        if body.is_end_stream() {
            exchange.set_body(BodyState::Ended);
        }
        let stillness = Stillness::default();
        Self { body: Some(body), exchange, stillness, continue_timer: LazyTimer::default(), secret_fields }
    }

    /// That of a request without one.
    pub(super) fn none(exchange: Arc<Exchange>) -> Self {
        exchange.set_body(BodyState::Ended);
        let (stillness, secret_fields) = (Stillness::default(), Arc::default());
        Self { body: None, exchange, stillness, continue_timer: LazyTimer::default(), secret_fields }
    }

    /// Waits until the application wants it, or until it does not look as if it would say so.
    fn poll_released(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.exchange.held.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        *self.exchange.holder.lock().unwrap_or_else(PoisonError::into_inner) = Some(context.waker().clone());
        if self.continue_timer.poll(CONTINUE, context).is_ready() {
            self.exchange.release();
        }
        if self.exchange.held.load(Ordering::Acquire) { Poll::Pending } else { Poll::Ready(()) }
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
        if self.exchange.unwanted.load(Ordering::Relaxed) {
            return Poll::Ready(Some(Err(BodyError::Unwanted)));
        }
        let Self { exchange, stillness, body, secret_fields, .. } = &mut *self;
        let Some(body) = body else { return Poll::Ready(None) };
        match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(Some(Ok(mut frame))) => {
                stillness.is_over();
                exchange.moved();
                frame.trailers_mut().into_iter().for_each(|fields| trailers::strip(fields, secret_fields));
                exchange.set_body(if body.is_end_stream() { BodyState::Ended } else { BodyState::Untouched });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                exchange.set_body(BodyState::Broken);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                exchange.set_body(BodyState::Ended);
                Poll::Ready(None)
            }
            Poll::Pending => {
                exchange.set_body(BodyState::Awaited);
                std::task::ready!(stillness.poll(exchange, context));
                exchange.set_body(BodyState::Late);
                Bound::BodyIdle.exceeded();
                Poll::Ready(Some(Err(BodyError::Late)))
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
