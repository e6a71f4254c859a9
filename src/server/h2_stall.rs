//! Resets a stream of HTTP/2 whose client has stopped taking its response. hyper requests no more of a body that it
//! cannot send, so the body itself cannot detect that: the task of the stream does.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use pin_project_lite::pin_project;

use crate::clock::Stopwatch;
use crate::metrics::Bound;
use crate::timer::LazyTimer;

tokio::task_local! {
    /// The client's progress on the stream that a task serves.
    static PROGRESS: Arc<ClientProgress>;
}

/// Returns the client's progress on the stream of the current task. None: the task serves HTTP/1.
pub(super) fn current_stream() -> Option<Arc<ClientProgress>> {
    PROGRESS.try_with(Arc::clone).ok()
}

/// Whether the client takes what a stream has for it.
#[derive(Debug)]
pub(super) struct ClientProgress {
    started: Stopwatch,
    /// When hyper was last handed a part of the body, in milliseconds since the start; -1: hyper waits for the next.
    handed: AtomicI64,
}

impl ClientProgress {
    /// Notes that hyper has a part of the body to send.
    pub(super) fn handed(&self) {
        self.handed.store(self.started.millis(), Ordering::Relaxed);
    }

    /// Notes that hyper waits for the next part of the body.
    pub(super) fn awaited(&self) {
        self.handed.store(-1, Ordering::Relaxed);
    }

    /// Returns since when hyper has been sending the same part.
    fn waits_since(&self) -> Option<Duration> {
        let handed = u64::try_from(self.handed.load(Ordering::Relaxed)).ok()?;
        let now = u64::try_from(self.started.millis()).unwrap_or_default();
        Some(Duration::from_millis(now.saturating_sub(handed)))
    }
}

/// Runs the streams of HTTP/2 connections.
#[derive(Clone, Debug)]
pub(super) struct StreamExecutor {
    pub(super) timeout: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for StreamExecutor {
    fn execute(&self, stream: F) {
        let progress = Arc::new(ClientProgress { started: Stopwatch::start(), handed: AtomicI64::new(-1) });
        let stream = WatchedStream {
            stream,
            progress: Arc::clone(&progress),
            timeout: self.timeout,
            timer: LazyTimer::default(),
        };
        tokio::spawn(PROGRESS.scope(progress, stream));
    }
}

pin_project! {
    struct WatchedStream<F> {
        #[pin]
        stream: F,
        progress: Arc<ClientProgress>,
        timeout: Duration,
        timer: LazyTimer,
    }
}

impl<F: Future> Future for WatchedStream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(waiting) = this.progress.waits_since() else { return Poll::Pending };
            if waiting >= *this.timeout {
                Bound::BodyIdle.count_exceeded();
                return Poll::Ready(());
            }
            let left = this.timeout.saturating_sub(waiting);
            std::task::ready!(this.timer.poll(left, context));
        }
    }
}
