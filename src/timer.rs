//! Timers that cost nothing until something waits, and how long ago something last moved.

use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::clock::Stopwatch;

/// A timer that starts when it is first polled.
#[derive(Debug, Default)]
pub(crate) struct LazyTimer(Option<Pin<Box<Sleep>>>);

impl LazyTimer {
    /// Returns ready `after` this long from the first poll. The next poll then starts the timer again.
    pub(crate) fn poll(&mut self, after: Duration, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(after)));
        std::task::ready!(timer.as_mut().poll(context));
        self.0 = None;
        Poll::Ready(())
    }

    /// Stops the timer. The next poll starts it again.
    pub(crate) fn stop(&mut self) {
        self.0 = None;
    }
}

/// When something last moved.
#[derive(Debug)]
pub(crate) struct LastMove {
    started: Stopwatch,
    /// Milliseconds since the start.
    at_ms: AtomicI64,
}

impl LastMove {
    /// Starts now, with a move.
    pub(crate) fn start() -> Self {
        Self { started: Stopwatch::start(), at_ms: AtomicI64::new(0) }
    }

    /// Notes that it moves now.
    pub(crate) fn note(&self) {
        self.at_ms.store(self.started.millis(), Ordering::Relaxed);
    }

    /// Returns how long ago the last move was.
    pub(crate) fn elapsed(&self) -> Duration {
        let elapsed = self.started.millis().saturating_sub(self.at_ms.load(Ordering::Relaxed));
        Duration::from_millis(u64::try_from(elapsed).unwrap_or_default())
    }

    /// Waits until the last move was this long ago. A move sets no timer.
    pub(crate) async fn lasts(&self, timeout: Duration) {
        loop {
            let left = timeout.saturating_sub(self.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}
