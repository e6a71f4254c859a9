//! How far a request and its response have come. Both bodies of the request share it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::timer::{LastMove, LazyTimer};

/// What a request's body waits for, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestBodyState {
    /// The upstream's connection has not requested the next part.
    NotRequested = 0,
    /// The upstream's connection has requested the next part, and the client has not sent it.
    AwaitsClient = 1,
    /// The client's body broke off, or was not valid HTTP.
    Broken = 2,
    /// The client did not send the next part in time.
    TimedOut = 3,
    /// The upstream's connection has taken all of the body.
    Ended = 4,
}

/// The progress of one request and its response.
#[derive(Debug)]
pub(super) struct Progress {
    /// When a part of either body was last passed on.
    last_move: LastMove,
    /// How long both bodies may stall, in milliseconds.
    stall_timeout_ms: AtomicU64,
    /// A [`RequestBodyState`].
    request_body: AtomicU8,
    /// Whether the request's body waits for 100 (Continue).
    withheld: AtomicBool,
    /// Whether the response ended while the body was withheld: the body then is not sent.
    unwanted: AtomicBool,
    /// Wakes the task that waits for a withheld body.
    withheld_waker: Mutex<Option<Waker>>,
}

impl Progress {
    pub(super) fn start(stall_timeout: Duration, withheld: bool) -> Arc<Self> {
        let progress = Self {
            last_move: LastMove::start(),
            stall_timeout_ms: AtomicU64::new(0),
            request_body: AtomicU8::new(RequestBodyState::NotRequested as u8),
            withheld: AtomicBool::new(withheld),
            unwanted: AtomicBool::new(false),
            withheld_waker: Mutex::default(),
        };
        progress.set_stall_timeout(stall_timeout);
        Arc::new(progress)
    }

    /// Sets how long both bodies may stall.
    pub(super) fn set_stall_timeout(&self, timeout: Duration) {
        self.stall_timeout_ms
            .store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Notes that a part of a body is passed on.
    pub(super) fn note_move(&self) {
        self.last_move.note();
    }

    /// Returns how long neither body has moved.
    pub(super) fn stalled_for(&self) -> Duration {
        self.last_move.elapsed()
    }

    /// Returns how much longer both bodies may stall, or `None` if they have stalled for too long.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let timeout = Duration::from_millis(self.stall_timeout_ms.load(Ordering::Relaxed));
        timeout.checked_sub(self.stalled_for()).filter(|left| !left.is_zero())
    }

    pub(super) fn request_body(&self) -> RequestBodyState {
        match self.request_body.load(Ordering::Relaxed) {
            1 => RequestBodyState::AwaitsClient,
            2 => RequestBodyState::Broken,
            3 => RequestBodyState::TimedOut,
            4 => RequestBodyState::Ended,
            _ => RequestBodyState::NotRequested,
        }
    }

    pub(super) fn set_request_body(&self, state: RequestBodyState) {
        self.request_body.store(state as u8, Ordering::Relaxed);
    }

    /// Returns whether the request's body waits for 100 (Continue).
    pub(super) fn is_withheld(&self) -> bool {
        self.withheld.load(Ordering::Acquire)
    }

    /// Wakes `waker` when a withheld body is released.
    pub(super) fn wake_on_release(&self, waker: &Waker) {
        *self.withheld_waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// Releases a withheld body: the upstream accepts it.
    pub(super) fn release_body(&self) {
        if self.withheld.swap(false, Ordering::AcqRel) {
            let waker = self.withheld_waker.lock().unwrap_or_else(PoisonError::into_inner).take();
            waker.inspect(Waker::wake_by_ref);
        }
    }

    /// Notes that the response has ended, and returns whether the request's body is still withheld. If so, the client
    /// need not send the body (RFC 9110, section 10.1.1), and the upstream's connection need not wait for it.
    pub(super) fn end_response(&self) -> bool {
        let withheld = self.is_withheld();
        if withheld {
            self.unwanted.store(true, Ordering::Relaxed);
            self.release_body();
        }
        withheld
    }

    /// Returns whether the response ended while the request's body was withheld.
    pub(super) fn is_unwanted(&self) -> bool {
        self.unwanted.load(Ordering::Relaxed)
    }
}

/// Runs while one body waits for its next part. It ends when both bodies have stalled for too long.
#[derive(Debug, Default)]
pub(super) struct StallTimer {
    running: bool,
    timer: LazyTimer,
}

impl StallTimer {
    /// Stops the timer: the next part has arrived.
    pub(super) fn stop(&mut self) {
        self.running = false;
    }

    pub(super) fn poll(&mut self, progress: &Progress, context: &mut Context<'_>) -> Poll<()> {
        if !self.running {
            // The part is requested only now, so the time before does not count as a stall.
            self.running = true;
            progress.note_move();
        }
        loop {
            let Some(left) = progress.time_left() else { return Poll::Ready(()) };
            std::task::ready!(self.timer.poll(left, context));
        }
    }
}
