//! One server: its queue, its connections and its breaker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bb8_redis::bb8::Pool;
use bb8_redis::redis::RedisError;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::breaker::Breaker;
use super::breaker::state_machine::Supervisor;
use super::connector::Connector;
use super::endpoint::Endpoint;
use super::health::Health;
use super::probe::Probe;
use super::probe_thread::ProbeThread;
use super::queue::{Outcome, OutcomeReceiver, Queue, Trips};
use super::restart::RestartDetector;
use crate::clock::Stopwatch;
use crate::metrics::StoreMeter;
use crate::settings::ServerAddress;
use crate::store::redis::wire::call::{Call, Calls};
use crate::store::redis::wire::dialer::Dialer;
use crate::store::redis::wire::fault;
use crate::store::redis::wire::resp::Reply;
use crate::store::{AtomicGeneration, StoreError};

/// How long to wait for the pool at a time. The pool pauses between two attempts to connect for up to half of this, so
/// this does not grow with the timeout of the checks, which the queue observes.
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(100);
/// Timers may fire 1 to 2 ms after their time. A longer delay means that this process was starved of CPU, not that Redis was slow.
const STARVED: Duration = Duration::from_millis(3);

/// What the nodes of one store have in common.
#[derive(Debug)]
pub(crate) struct Nodes {
    /// How long a check may take.
    pub(crate) timeout: Duration,
    /// The maximum number of connections to each server.
    pub(crate) connections: u32,
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) health: Arc<Health>,
    pub(crate) generation: Arc<AtomicGeneration>,
    pub(crate) meter: Arc<StoreMeter>,
    pub(crate) probes: ProbeThread,
    /// The local clock of the store, against which the clocks of the servers are measured.
    pub(crate) local: Stopwatch,
}

impl Nodes {
    /// Starts to use a server. The first connection is opened in the background: the server may be down.
    pub(crate) fn start(&self, endpoint: Endpoint) -> Arc<Node> {
        let breaker = Arc::new(Breaker::new(endpoint.to_string(), Arc::clone(&self.health)));
        let restarts = RestartDetector::new(Arc::clone(&self.generation));
        let connector =
            Connector::new(endpoint, Arc::clone(&self.dialer), self.local, Arc::clone(&breaker), restarts);
        let pool = Pool::builder()
            .max_size(self.connections)
            .min_idle(1)
            .max_lifetime(None)
            .connection_timeout(CONNECTION_TIMEOUT)
            .build_unchecked(connector.clone());
        let trips = Trips {
            timeout: self.timeout,
            local: self.local,
            server_time: self.calls.use_server_time(),
            meter: Arc::clone(&self.meter),
        };
        let queue = Queue::start(self.connections, &pool, &connector, Arc::clone(&breaker), trips);
        let failed_slot = Arc::new(AtomicU16::new(0));
        let calls = Arc::clone(&self.calls);
        let probe = Probe::new(connector.clone(), calls, self.timeout, self.local, Arc::clone(&failed_slot));
        let supervisor = Supervisor::new(Arc::clone(&breaker), probe);
        let _supervisor = AbortOnDropHandle::new(self.probes.handle().spawn(supervisor.run()));
        Arc::new(Node { queue, connector, breaker, failed_slot, timeout: self.timeout, _supervisor })
    }
}

/// A server.
#[derive(Debug)]
pub(crate) struct Node {
    queue: Queue,
    connector: Connector,
    breaker: Arc<Breaker>,
    /// The slot of the last failed call, for probes.
    failed_slot: Arc<AtomicU16>,
    /// How long a check may take.
    timeout: Duration,
    _supervisor: AbortOnDropHandle<()>,
}

impl Node {
    /// Returns whether the server is not used at the moment.
    pub(crate) fn is_down(&self) -> bool {
        self.breaker.is_open()
    }

    /// Returns how many calls wait for a round trip.
    pub(crate) fn queue_depth(&self) -> usize {
        self.queue.depth()
    }

    /// Returns the address of the server.
    pub(crate) async fn address(&self) -> Result<ServerAddress, RedisError> {
        self.connector.address().await
    }

    /// Records that the store goes on without this server.
    pub(crate) fn retire(&self) {
        self.breaker.retire();
    }

    /// Reports that the server sent an invalid reply.
    pub(crate) fn report_failure(&self) {
        self.breaker.report_failure();
    }

    /// Calls a script, and waits for the reply until the call's deadline; fails at once if the breaker is open. With
    /// `asking`, the server executes it also in a slot that is being moved to it. Dropping the future takes the call back
    /// if it has not been sent.
    pub(crate) async fn call(&self, call: Call, asking: bool) -> Result<Reply, CallError> {
        if let Some(error) = self.breaker.error() {
            return Err(error.into());
        }
        let slot = call.slot;
        let reply = self.reply(call, asking).await;
        match &reply {
            Ok(_) => self.breaker.report_success(),
            Err(CallError { error: StoreError::Redis(error), .. }) if fault::is_elsewhere(error) => {
                self.breaker.report_success();
            }
            Err(_) => {
                self.failed_slot.store(slot, Ordering::Relaxed);
                self.breaker.report_failure();
            }
        }
        reply
    }

    async fn reply(&self, call: Call, asking: bool) -> Result<Reply, CallError> {
        let deadline = call.deadline;
        let mut outcome = self.queue.push(call, asking)?.await;
        if let Ok(Outcome::TimedOut { outstanding: Some(outstanding) }) = &mut outcome {
            let overslept = deadline.passed_by();
            // This process was too busy to wake this task at the deadline, so the reply may be here.
            if overslept >= STARVED
                && let Ok(late) = Box::pin(timeout(overslept.min(self.timeout), outstanding)).await
            {
                outcome = late;
            }
        }
        let timed_out = StoreError::Timeout(self.timeout);
        match outcome {
            Ok(Outcome::Reply(reply)) => Ok(reply),
            Ok(Outcome::Error(error)) => Err(StoreError::Redis(error).into()),
            Ok(Outcome::TimedOut { outstanding }) => Err(CallError { error: timed_out, outstanding }),
            // The queue drops all calls when the breaker opens.
            Err(_) => Err(self.breaker.error().unwrap_or(timed_out).into()),
        }
    }
}

/// Why a call has no reply, or none in time.
#[derive(Debug)]
pub(crate) struct CallError {
    pub(crate) error: StoreError,
    /// Where the reply may still arrive.
    pub(crate) outstanding: Option<OutcomeReceiver>,
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        Self { error, outstanding: None }
    }
}
