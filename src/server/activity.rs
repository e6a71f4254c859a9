//! What goes on on a connection: how many requests are under way, and since when there is none; and whether the
//! client takes what a stream of HTTP/2 has for it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use pin_project_lite::pin_project;
use tokio::time::Sleep;

use crate::clock::Stopwatch;
use crate::metrics::Bound;

/// What goes on on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    started: Stopwatch,
    under_way: AtomicUsize,
    /// In milliseconds since the start.
    last_end: AtomicI64,
    /// Whether the client has been sent all that hyper has written.
    flushed: Arc<AtomicBool>,
}

impl Activity {
    pub(super) fn start(flushed: Arc<AtomicBool>) -> Arc<Self> {
        let (started, under_way) = (Stopwatch::start(), AtomicUsize::new(0));
        Arc::new(Self { started, under_way, last_end: AtomicI64::new(0), flushed })
    }

    /// A request has come. It is over when the guard is dropped. Also told: how many there are now.
    pub(super) fn begin(self: &Arc<Self>) -> (UnderWay, usize) {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        (UnderWay(Arc::clone(self)), before + 1)
    }

    /// How long no request has been under way. None: one is.
    fn idle(&self) -> Option<Duration> {
        let idle = self.started.millis() - self.last_end.load(Ordering::Relaxed);
        let idle = Duration::from_millis(u64::try_from(idle).unwrap_or_default());
        let quiet = self.under_way.load(Ordering::Relaxed) == 0 && self.flushed.load(Ordering::Relaxed);
        quiet.then_some(idle)
    }

    /// Waits until no request has been under way for `timeout`, and at most a quarter of it longer: so a request
    /// sets no timer.
    pub(super) async fn idle_for(&self, timeout: Duration) {
        loop {
            let wait = match self.idle() {
                Some(idle) if idle >= timeout => return,
                Some(idle) => timeout.saturating_sub(idle),
                None => timeout / 4,
            };
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Clone for UnderWay {
    fn clone(&self) -> Self {
        self.0.begin().0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.last_end.store(self.0.started.millis(), Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

tokio::task_local! {
    /// The stream of HTTP/2 that a task serves.
    static STREAM: Arc<Taking>;
}

/// Whether the client takes what a stream has for it.
#[derive(Debug)]
struct Taking {
    started: Stopwatch,
    /// When it was last handed something it has not asked to follow up, in milliseconds since the start; -1: it
    /// waits for us.
    handed: AtomicI64,
}

impl Taking {
    fn waits_since(&self) -> Option<Duration> {
        let handed = u64::try_from(self.handed.load(Ordering::Relaxed)).ok()?;
        let now = u64::try_from(self.started.millis()).unwrap_or_default();
        Some(Duration::from_millis(now.saturating_sub(handed)))
    }
}

/// Runs the streams of HTTP/2 connections, and resets one whose client has stopped taking its answer: hyper asks
/// for no more of a body that it cannot send, so the body itself cannot tell.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) timeout: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let taking = Arc::new(Taking { started: Stopwatch::start(), handed: AtomicI64::new(-1) });
        let stream = Stream { stream, taking: Arc::clone(&taking), timeout: self.timeout, timer: None };
        tokio::spawn(STREAM.scope(taking, stream));
    }
}

pin_project! {
    struct Stream<F> {
        #[pin]
        stream: F,
        taking: Arc<Taking>,
        timeout: Duration,
        // Only there once the client has to take something.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F: Future> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(waiting) = this.taking.waits_since() else { return Poll::Pending };
            if waiting >= *this.timeout {
                Bound::BodyIdle.exceeded();
                return Poll::Ready(());
            }
            let left = this.timeout.saturating_sub(waiting);
            let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(left)));
            std::task::ready!(timer.as_mut().poll(context));
            *this.timer = None;
        }
    }
}

/// A part of an answer. It is dropped when it has been written: until then the answer is under way, though its body
/// has ended.
struct Part {
    bytes: Bytes,
    _under_way: UnderWay,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The body of an answer on its way to the client.
pub(super) struct Served<B> {
    body: B,
    under_way: UnderWay,
    taking: Option<Arc<Taking>>,
    /// To be set if it ends too early, where only that of the connection tells its end.
    cut_short: Option<Arc<AtomicBool>>,
}

impl<B: Body<Data = Bytes>> Served<B> {
    pub(super) fn new(body: B, under_way: UnderWay, cut_short: Option<Arc<AtomicBool>>) -> Self {
        let taking = STREAM.try_with(Arc::clone).ok().filter(|_| !body.is_end_stream());
        let served = Self { body, under_way, taking, cut_short };
        served.handed(true);
        served
    }

    fn handed(&self, handed: bool) {
        if let Some(taking) = &self.taking {
            let since = if handed { taking.started.millis() } else { -1 };
            taking.handed.store(since, Ordering::Relaxed);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Served<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.handed(polled.is_ready());
        if let (Poll::Ready(Some(Err(_))), Some(cut_short)) = (&polled, &self.cut_short) {
            cut_short.store(true, Ordering::Relaxed);
        }
        let under_way = &self.under_way;
        let track = |bytes| Bytes::from_owner(Part { bytes, _under_way: under_way.clone() });
        polled.map_ok(|frame| frame.map_data(track))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
