//! Many checks share one round trip.
//!
//! Calls wait in a queue. As soon as the pool has a connection, a dispatcher sends all that wait as one pipeline. There is
//! no timer and no added delay: while all connections are in use, the queue fills for the next round trip. Several
//! connections keep several round trips in flight: with a single one each check would wait for the round trip before its
//! own.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::{Pool, PooledConnection};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::breaker::Breaker;
use super::connector::Connector;
use super::round_trip::{PendingCall, ReplyReceiver, Trips};
use crate::store::StoreError;
use crate::store::redis::wire::call::Call;

/// The number of calls that may wait. The outage policy decides about the ones in excess: a longer queue is not drained
/// within any useful deadline.
const CAPACITY: usize = 4096;
/// The maximum number of calls in one pipeline: Redis serves no other client meanwhile, for about 5 us per call.
const BATCH: usize = 128;
/// A round trip may take longer than a check: a connection that is slow now and then is worth as much as a new one, and
/// calls that its server executes late count nothing.
const TRIP_TIMEOUT: Duration = Duration::from_millis(100);

/// The queue of one server. Dropping it ends its dispatcher.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<PendingCall>);

impl Queue {
    /// Starts to send what is queued over the connections of `pool`.
    pub(super) fn start(pool: Pool<Connector>, breaker: Arc<Breaker>, trips: Trips) -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let (queue, trips) = (Arc::new(Mutex::new(receiver)), Arc::new(trips));
        let dispatcher = Dispatcher { queue, pool, breaker, trips };
        tokio::spawn(async move {
            // A panic is a bug of ours: it must cost one batch, not the store.
            while tokio::spawn(dispatcher.clone().run()).await.is_err() {}
        });
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

/// Takes batches from the queue, and starts a round trip with each.
#[derive(Clone)]
struct Dispatcher {
    /// Locked by the one task that runs. It outlives a panic of that task.
    queue: Arc<Mutex<mpsc::Receiver<PendingCall>>>,
    pool: Pool<Connector>,
    breaker: Arc<Breaker>,
    trips: Arc<Trips>,
}

impl Dispatcher {
    /// Sends batches until the queue is dropped.
    async fn run(self) {
        let mut queue = self.queue.lock().await;
        while let Some(first) = queue.recv().await {
            // The connection comes first, then the batch: it contains all calls that wait by then.
            let Some(connection) = self.connection(&first).await else {
                if self.breaker.is_open() {
                    // No call may wait for a server that is down.
                    while queue.try_recv().is_ok() {}
                }
                continue;
            };
            // Tasks that are about to make a call get the chance to share this round trip; without such tasks, this
            // costs nothing.
            tokio::task::yield_now().await;
            let mut batch = Vec::with_capacity(BATCH.min(1 + queue.len()));
            batch.push(first);
            while batch.len() < BATCH
                && let Ok(next) = queue.try_recv()
            {
                batch.push(next);
            }
            tokio::spawn(trip(connection, batch, Arc::clone(&self.trips), Arc::clone(&self.breaker)));
        }
    }

    /// Returns a connection. None: the caller gave up first, or the breaker opened.
    async fn connection(&self, first: &PendingCall) -> Option<PooledConnection<'static, Connector>> {
        while first.is_awaited() {
            tokio::select! {
                connection = self.pool.get_owned() => if let Ok(connection) = connection {
                    return Some(connection);
                },
                () = self.breaker.wait_until_open() => return None,
            }
        }
        None
    }
}

/// Sends a batch, and returns the connection to the pool. If the breaker opens meanwhile or the replies take too long, the
/// callers have given up, or should: the batch is dropped, and the connection with the outstanding replies.
async fn trip(
    mut connection: PooledConnection<'static, Connector>,
    mut batch: Vec<PendingCall>,
    trips: Arc<Trips>,
    breaker: Arc<Breaker>,
) {
    tokio::select! {
        _ = timeout(TRIP_TIMEOUT.max(trips.timeout), trips.send(&mut connection, &mut batch)) => {}
        () = breaker.wait_until_open() => {}
    }
}
