//! Many checks share one round trip.
//!
//! Checks wait in a queue; a flusher takes a connection, sends all that wait as one pipeline, and hands the
//! answers back. There is no timer and no added delay: while one trip is under way, the queue fills for the
//! next. Several flushers keep several trips under way, as a single one would make each check wait for the trip
//! before its own.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::Pool;
use bb8_redis::redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::connection::{Connection, Manager};
use crate::store::StoreError;

/// Checks that may wait. What comes on top is decided by the outage policy: a queue this long is not drained
/// within any deadline worth having.
const CAPACITY: usize = 4096;
/// The most commands in one pipeline: Redis serves nobody else meanwhile, at about 5 us each.
const BATCH: usize = 128;

/// The queue of one store. Its flushers end with it.
#[derive(Debug)]
pub(super) struct Queue(mpsc::Sender<Waiting>);

/// A check and the caller who waits for its answer.
#[derive(Debug)]
struct Waiting {
    command: Cmd,
    answer: oneshot::Sender<Result<Value, RedisError>>,
}

impl Queue {
    /// Starts `flushers` tasks that send over connections of `pool`, and give a trip up after `timeout`.
    pub(super) fn start(pool: &Pool<Manager>, flushers: u32, timeout: Duration) -> Self {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..flushers {
            tokio::spawn(flush(Arc::clone(&receiver), pool.clone(), timeout));
        }
        Self(sender)
    }

    /// Sends a call of the script and waits for its answer. Dropping the future takes the check back if it has
    /// not been sent.
    pub(super) async fn call(&self, command: Cmd) -> Result<Value, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(Waiting { command, answer }).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Full(CAPACITY),
            TrySendError::Closed(_) => StoreError::GivenUp,
        })?;
        Ok(answered.await.map_err(|_| StoreError::GivenUp)??)
    }
}

/// Sends what waits, for as long as there is a store.
async fn flush(queue: Arc<Mutex<mpsc::Receiver<Waiting>>>, pool: Pool<Manager>, timeout: Duration) {
    let mut batch: Vec<Waiting> = Vec::with_capacity(BATCH);
    loop {
        // The lock is kept while waiting, for the first check and then for a connection: the other flushers wait
        // for it instead, in their order. Whoever has a connection takes all that waits by then; a batch taken
        // first would wait behind flushers that come back for the connection again and again.
        let mut waiting = queue.lock().await;
        let Some(first) = waiting.recv().await else { return };
        batch.push(first);
        let connection = pool.get().await;
        let most = if connection.is_ok() { BATCH } else { CAPACITY };
        while batch.len() < most
            && let Ok(next) = waiting.try_recv()
        {
            batch.push(next);
        }
        drop(waiting);
        let Ok(mut connection) = connection else {
            // Nobody is served any sooner by waiting on; the pool has told its error sink why.
            batch.clear();
            continue;
        };
        if tokio::time::timeout(timeout, send(&mut connection, &mut batch)).await.is_err() {
            // Its callers have given up too. The connection goes with its answers.
            batch.clear();
        }
    }
}

/// Sends the batch as one pipeline, and what Redis had not loaded the script for once more.
async fn send(connection: &mut Connection, batch: &mut Vec<Waiting>) {
    for attempt in [Attempt::First, Attempt::Last] {
        // Whoever has passed its deadline has been decided without us; counting it as well would be wrong.
        batch.retain(|waiting| !waiting.answer.is_closed());
        if batch.is_empty() {
            return;
        }
        let answers = connection.send(batch.iter().map(|waiting| &waiting.command)).await;
        let mut unloaded = Vec::new();
        match answers {
            Err(error) => batch.drain(..).for_each(|waiting| drop(waiting.answer.send(Err(error.clone())))),
            Ok(answers) => {
                for (waiting, answer) in batch.drain(..).zip(answers) {
                    if attempt == Attempt::First && is_unloaded(&answer) {
                        unloaded.push(waiting);
                    } else {
                        drop(waiting.answer.send(answer));
                    }
                }
            }
        }
        if unloaded.is_empty() {
            return;
        }
        // A script that is not there did not run, so nothing was counted. (Redis was restarted behind a proxy, or
        // somebody said SCRIPT FLUSH.)
        if let Err(error) = connection.load().await {
            unloaded.drain(..).for_each(|waiting| drop(waiting.answer.send(Err(error.clone()))));
            return;
        }
        batch.append(&mut unloaded);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Last,
}

fn is_unloaded(answer: &Result<Value, RedisError>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
