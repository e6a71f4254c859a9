//! Many checks share one round trip.
//!
//! Calls wait in a queue; a flusher takes a connection, sends all that wait as one pipeline, and passes the replies on.
//! There is no timer and no added delay: while one round trip is in flight, the queue fills for the next. Several
//! flushers keep several round trips in flight: with a single one each check would wait for the round trip before its
//! own.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::{Pool, PooledConnection};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::breaker::Breaker;
use super::connector::Connector;
use super::trip::{PendingCall, ReplyReceiver, Trips};
use crate::store::StoreError;
use crate::store::redis::wire::call::Call;

/// The number of calls that may wait. The outage policy decides about the ones in excess: a longer queue is not drained
/// within any useful deadline.
const CAPACITY: usize = 4096;
/// The maximum number of calls in one pipeline: Redis serves no other client meanwhile, for about 5 us per call.
const BATCH: usize = 128;
/// A round trip may take longer than a check: a connection that is late now and then is worth as much as a new one, and
/// calls that its server executes late count nothing.
const TRIP_TIMEOUT: Duration = Duration::from_millis(100);

/// The queue of one server. Dropping it ends its flushers.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<PendingCall>);

impl Queue {
    /// Starts one flusher per connection of `pool`.
    pub(super) fn start(
        pool: Pool<Connector>,
        connections: u32,
        breaker: Arc<Breaker>,
        trips: Trips,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let flusher = Flusher { queue: Arc::new(Mutex::new(receiver)), pool, breaker, trips };
        for _ in 0..connections {
            let flusher = flusher.clone();
            tokio::spawn(async move {
                // A panic is a bug of ours: it must cost one batch, not the store.
                while tokio::spawn(flusher.clone().run()).await.is_err() {}
            });
        }
        Self(sender)
    }

    /// Queues a call. Dropping the receiver takes the call back if it has not been sent.
    pub(super) fn push(&self, call: Call, asking: bool) -> Result<ReplyReceiver, StoreError> {
        let (pending, reply) = PendingCall::new(call, asking);
        match self.0.try_send(pending) {
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(reply),
            Err(TrySendError::Full(_)) => Err(StoreError::QueueFull(CAPACITY)),
        }
    }
}

/// Sends the calls that wait, one batch at a time.
#[derive(Clone)]
struct Flusher {
    queue: Arc<Mutex<mpsc::Receiver<PendingCall>>>,
    pool: Pool<Connector>,
    breaker: Arc<Breaker>,
    trips: Trips,
}

impl Flusher {
    /// Sends batches until the queue is dropped.
    async fn run(self) {
        let trip_timeout = TRIP_TIMEOUT.max(self.trips.timeout);
        let mut batch: Vec<PendingCall> = Vec::with_capacity(BATCH);
        loop {
            // The lock is held while waiting, for the first call and then for a connection: the other flushers wait for
            // the lock instead, in order. The flusher that gets a connection takes all calls that wait by then; a batch
            // taken first would wait behind flushers that come back for the connection again and again.
            let mut queue = self.queue.lock().await;
            let Some(first) = queue.recv().await else { return };
            let Some(mut connection) = self.connection(&first).await else {
                if self.breaker.is_open() {
                    // No call may wait for a server that is down.
                    while queue.try_recv().is_ok() {}
                }
                continue;
            };
            batch.push(first);
            // Tasks that are about to make a call get the chance to share this round trip; without such tasks, this
            // costs nothing.
            tokio::task::yield_now().await;
            while batch.len() < BATCH
                && let Ok(next) = queue.try_recv()
            {
                batch.push(next);
            }
            drop(queue);
            let sent = timeout(trip_timeout, self.trips.send(&mut connection, &mut batch));
            let sent = tokio::select! {
                sent = sent => sent.is_ok(),
                () = self.breaker.opened() => false,
            };
            if !sent {
                // The callers have given up, or should. The connection is dropped with the replies.
                batch.clear();
            }
        }
    }

    /// Returns a connection. None: the caller gave up first, or the breaker opened.
    async fn connection(&self, first: &PendingCall) -> Option<PooledConnection<'_, Connector>> {
        while first.is_awaited() {
            tokio::select! {
                connection = self.pool.get() => if let Ok(connection) = connection {
                    return Some(connection);
                },
                () = self.breaker.opened() => return None,
            }
        }
        None
    }
}
