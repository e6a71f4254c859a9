//! Many checks share one round trip.
//!
//! Checks wait in a queue; a flusher takes a connection, sends all that wait as one pipeline, and hands the
//! answers back. There is no timer and no added delay: while one trip is under way, the queue fills for the
//! next. Several flushers keep several trips under way, as a single one would make each check wait for the trip
//! before its own.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::{Pool, PooledConnection};
use bb8_redis::redis::{self, Pipeline, RedisError, Value};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

use super::breaker::Breaker;
use super::connection::{Connection, Manager};
use crate::clock::Clock;
use crate::store::StoreError;
use crate::store::redis::shared::Shared;
use crate::store::redis::wire::call::{self, Call};
use crate::store::redis::wire::fault;
use crate::store::redis::wire::link::pipeline;

/// Checks that may wait. What comes on top is decided by the outage policy: a queue this long is not drained
/// within any deadline worth having.
const CAPACITY: usize = 4096;
/// The most calls in one pipeline: Redis serves nobody else meanwhile, at about 5 us each.
const BATCH: usize = 128;
/// A trip may take longer than a check: a connection that is late now and then is not worth less than a new one,
/// and what its server executes late counts nothing.
const TRIP_TIMEOUT: Duration = Duration::from_millis(100);

/// The queue of one server. Its flushers end with it.
#[derive(Debug)]
pub(crate) struct Queue(mpsc::Sender<Waiting>);

/// The answer to a call, or an error if the queue has let go of it.
pub(crate) type Answered = oneshot::Receiver<Result<Value, RedisError>>;

/// A call and the caller who waits for its answer.
#[derive(Debug)]
struct Waiting {
    call: Call,
    asking: bool,
    answer: oneshot::Sender<Result<Value, RedisError>>,
}

impl Waiting {
    /// Whether an answer would be in time for anybody.
    fn is_awaited(&self) -> bool {
        !self.answer.is_closed() && self.call.deadline.passed_by().is_zero()
    }
}

impl Queue {
    /// Starts one task per connection of `pool`.
    pub(crate) fn start(pool: &Pool<Manager>, breaker: &Arc<Breaker>, shared: &Arc<Shared>) -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..shared.connections {
            let (receiver, breaker) = (Arc::clone(&receiver), Arc::clone(breaker));
            let flusher =
                Flusher { queue: receiver, pool: pool.clone(), breaker, shared: Arc::clone(shared) };
            tokio::spawn(async move {
                // One that panics is a fault of ours, and must cost its batch, not the store.
                while tokio::spawn(flusher.clone().flush()).await.is_err() {}
            });
        }
        Self(sender)
    }

    /// Queues a call. Dropping its answer takes it back if it has not been sent.
    pub(crate) fn call(&self, call: Call, asking: bool) -> Result<Answered, StoreError> {
        let (answer, answered) = oneshot::channel();
        match self.0.try_send(Waiting { call, asking, answer }) {
            Ok(()) | Err(TrySendError::Closed(_)) => Ok(answered),
            Err(TrySendError::Full(_)) => Err(StoreError::QueueFull(CAPACITY)),
        }
    }
}

/// Sends what waits.
#[derive(Clone)]
struct Flusher {
    queue: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    pool: Pool<Manager>,
    breaker: Arc<Breaker>,
    shared: Arc<Shared>,
}

impl Flusher {
    /// Sends what waits, for as long as there is a store.
    async fn flush(self) {
        let trip_timeout = TRIP_TIMEOUT.max(self.shared.timeout);
        let mut batch: Vec<Waiting> = Vec::with_capacity(BATCH);
        loop {
            // The lock is kept while waiting, for the first check and then for a connection: the other flushers wait
            // for it instead, in their order. Whoever has a connection takes all that waits by then; a batch taken
            // first would wait behind flushers that come back for the connection again and again.
            let mut waiting = self.queue.lock().await;
            let Some(first) = waiting.recv().await else { return };
            let Some(mut connection) = self.connection(&first).await else {
                if self.breaker.is_open() {
                    // Nobody is to wait for a server that is not there.
                    while waiting.try_recv().is_ok() {}
                }
                continue;
            };
            batch.push(first);
            // Whoever is about to ask gets the chance to share this trip; with nobody else to run, it costs nothing.
            tokio::task::yield_now().await;
            while batch.len() < BATCH
                && let Ok(next) = waiting.try_recv()
            {
                batch.push(next);
            }
            drop(waiting);
            let sent = timeout(trip_timeout, send(&mut connection, &mut batch, &self.shared));
            let sent = tokio::select! {
                sent = sent => sent.is_ok(),
                () = self.breaker.opened() => false,
            };
            if !sent {
                // Its callers have given up, or had better. The connection goes with its answers.
                batch.clear();
            }
        }
    }

    /// A connection, unless the caller gives up before there is one, or should.
    async fn connection(&self, waiting: &Waiting) -> Option<PooledConnection<'_, Manager>> {
        while waiting.is_awaited() {
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

/// Sends the batch as one pipeline, and once more what Redis has not executed.
async fn send(connection: &mut Connection, batch: &mut Vec<Waiting>, shared: &Shared) {
    for attempt in [Attempt::First, Attempt::Last] {
        // Whoever has passed its deadline has been decided without us; counting it as well would be wrong.
        batch.retain(Waiting::is_awaited);
        if batch.is_empty() {
            return;
        }
        let sent = commands(connection, batch, shared);
        shared.meter.round_trip();
        let answers = match connection.send(&sent).await {
            Ok(answers) => answers,
            Err(error) => return fail(batch, &error),
        };
        let now_ms = shared.now_ms();
        let server_ms = || answers.iter().rev().find_map(|answer| call::time(answer.as_ref().ok()?));
        // The time of a driven clock is not the server's.
        if let (Clock::Real, Some(server_ms)) = (&shared.clock, server_ms()) {
            connection.offset.learn(now_ms, server_ms);
        }
        let mut again = Vec::new();
        let mut unloaded = false;
        let mut answers = sent.cmd_iter().zip(answers);
        for mut waiting in batch.drain(..) {
            if waiting.asking {
                answers.next();
            }
            let Some((command, answer)) = answers.next() else { continue };
            match Fate::of(&answer) {
                Fate::Answered => drop(waiting.answer.send(answer)),
                // The caller has gone, or does so by its own deadline.
                Fate::Late if attempt == Attempt::Last || !waiting.is_awaited() => {}
                Fate::Unloaded if attempt == Attempt::Last => drop(waiting.answer.send(answer)),
                fate => {
                    unloaded |= fate == Fate::Unloaded;
                    waiting.call.restore(command);
                    again.push(waiting);
                }
            }
        }
        batch.append(&mut again);
        if unloaded && let Err(error) = connection.load().await {
            return fail(batch, &error);
        }
    }
}

/// The commands of a batch.
fn commands(connection: &Connection, batch: &mut [Waiting], shared: &Shared) -> Pipeline {
    // Who has given up before the answer is back decides without it, so what is executed late must not count: the last
    // quarter of the time is for the way back, should it take longer than the quickest answers.
    let way_back_ms = i64::try_from(shared.timeout.as_millis() / 4).unwrap_or_default();
    let calls = batch.iter_mut().flat_map(|waiting| {
        let asking = waiting.asking.then(|| redis::cmd("ASKING"));
        let deadline_ms = shared.started.millis_to(waiting.call.deadline) - way_back_ms;
        asking.into_iter().chain([waiting.call.send(connection.offset.server_ms(deadline_ms))])
    });
    pipeline(calls)
}

fn fail(batch: &mut Vec<Waiting>, error: &RedisError) {
    batch.drain(..).for_each(|waiting| drop(waiting.answer.send(Err(error.clone()))));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Last,
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    /// The script is not there, so it did not run, and nothing was counted. (Redis was restarted behind a proxy, or
    /// somebody said SCRIPT FLUSH.)
    Unloaded,
    /// The script found the deadline past, so nothing was counted. If the caller still waits, the server's clock
    /// has been set forward, and we know by now.
    Late,
}

impl Fate {
    fn of(answer: &Result<Value, RedisError>) -> Self {
        match answer {
            Ok(reply) if call::is_late(reply) => Self::Late,
            Err(error) if fault::is_unloaded(error) => Self::Unloaded,
            _ => Self::Answered,
        }
    }
}
