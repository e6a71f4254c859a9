//! One server, or whichever is the primary: its connections, the queue before them, and its breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bb8_redis::bb8::Pool;
use bb8_redis::redis::Value;
use tokio::time::{timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::breaker::Breaker;
use super::connection::{Manager, Server};
use super::probe::Probe;
use super::queue::{Answered, Queue};
use crate::store::StoreError;
use crate::store::redis::shared::Shared;
use crate::store::redis::wire::call::{self, Call};
use crate::store::redis::wire::fault;

/// How long the pool is waited for at a time. It pauses between two attempts to connect for up to half of this, so it
/// does not grow with the patience of the checks: theirs is the queue's business.
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(100);
/// Timers are late by a millisecond or two. Who is woken later than this was kept waiting by this process itself.
const LATE: Duration = Duration::from_millis(3);

/// A server.
#[derive(Debug)]
pub(crate) struct Node {
    queue: Queue,
    breaker: Arc<Breaker>,
    /// Where something failed last.
    slot: Arc<AtomicU16>,
    shared: Arc<Shared>,
    _probe: AbortOnDropHandle<()>,
}

impl Node {
    /// The first connection is opened beside: the server need not be there.
    pub(crate) fn new(server: Server, shared: Arc<Shared>) -> Self {
        let breaker = Arc::new(Breaker::new(server.to_string(), Arc::clone(&shared.health)));
        let manager = Manager::new(server, Arc::clone(&shared), Arc::clone(&breaker));
        let pool = Pool::builder()
            .max_size(shared.connections)
            .min_idle(1)
            .max_lifetime(None)
            .connection_timeout(CONNECTION_TIMEOUT)
            .build_unchecked(manager.clone());
        let queue = Queue::start(&pool, &breaker, &shared);
        let slot = Arc::new(AtomicU16::new(0));
        let (own, place) = (Arc::clone(&breaker), Arc::clone(&slot));
        let probe = Probe { manager, breaker: own, slot: place, shared: Arc::clone(&shared) };
        let _probe = AbortOnDropHandle::new(shared.watch.handle().spawn(probe.attend()));
        Self { queue, breaker, slot, shared, _probe }
    }

    /// Whether it is not asked at the moment.
    pub(crate) fn is_down(&self) -> bool {
        self.breaker.is_open()
    }

    /// Notes that the store goes on without this server.
    pub(crate) fn retire(&self) {
        self.breaker.retire();
    }

    /// An answer of this server was of no use.
    pub(crate) fn doubt(&self) {
        self.breaker.doubt();
    }

    /// Calls a script, and waits until the call's deadline; not at all if the breaker is open. With `asking`, also in a
    /// slot that is only about to become this server's. Dropping the future takes the call back if it has not been
    /// sent.
    pub(crate) async fn call(&self, call: Call, asking: bool) -> Result<Value, Unanswered> {
        if let Some(error) = self.breaker.down() {
            return Err(error.into());
        }
        let slot = call.slot;
        let answer = self.ask(call, asking).await;
        match &answer {
            Ok(_) => self.breaker.answered(),
            Err(Unanswered { error: StoreError::Redis(error), .. }) if fault::is_elsewhere(error) => {
                self.breaker.answered();
            }
            Err(_) => {
                self.slot.store(slot, Ordering::Relaxed);
                self.breaker.doubt();
            }
        }
        answer
    }

    async fn ask(&self, call: Call, asking: bool) -> Result<Value, Unanswered> {
        let (deadline, timed) = (call.deadline, call.is_timed());
        let mut answer = self.queue.call(call, asking)?;
        let mut reply = timeout_at(deadline.instant().into(), &mut answer).await;
        let late = if reply.is_err() { deadline.passed_by() } else { Duration::ZERO };
        if late >= LATE {
            // This process was too busy to look, so the answer may be here.
            reply = timeout(late.min(self.shared.timeout), &mut answer).await;
        }
        let overdue = StoreError::Timeout(self.shared.timeout);
        match reply {
            Ok(Ok(Ok(reply))) if timed && call::time(&reply).is_none() => {
                Err(StoreError::InvalidReply("no time").into())
            }
            Ok(Ok(Ok(reply))) => Ok(reply),
            Ok(Ok(Err(error))) => Err(StoreError::Redis(error).into()),
            // The queue lets go of all that waits when the breaker opens.
            Ok(Err(_)) => Err(self.breaker.down().unwrap_or(overdue).into()),
            Err(_) => Err(Unanswered { error: overdue, late: Some(answer) }),
        }
    }
}

/// A call that has no answer, in time.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) error: StoreError,
    /// Where the answer may still come, for as long as its connection is waited for.
    pub(crate) late: Option<Answered>,
}

impl From<StoreError> for Unanswered {
    fn from(error: StoreError) -> Self {
        Self { error, late: None }
    }
}
