//! Finding out, beside all requests, whether a server that something has failed with is well.
//!
//! Probes have a thread and a connection of their own. So what makes this process's requests late, too little CPU for
//! too many of them, does not make a probe late: only if the server is late for both, it is down. And no request is
//! ever sacrificed to find out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::backoff;
use super::breaker::Breaker;
use super::connection::{Connection, Manager};
use crate::clock::Stopwatch;
use crate::store::StoreError;
use crate::store::redis::shared::Shared;
use crate::store::redis::wire::call::{self, Call};
use crate::store::redis::wire::fault;
use crate::store::redis::wire::link::pipeline;

/// Between two probes of a server that is well.
const LOOK_CLOSER: Duration = Duration::from_millis(10);
/// Between two probes of a server that is down: longer each time, but limits are to hold again within a second.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(400);
/// So many checks that fail during one probe are those of a busy process.
const MANY: u64 = 32;
/// How often it is tried while connections break, or while the process is busy.
const ATTEMPTS: u32 = 3;
/// How long a new connection may take: several times as long as a check, as it takes several trips, and this at least and
/// at most.
const OPENING: u32 = 10;
const LEAST_OPENING: Duration = Duration::from_millis(250);
const MOST_OPENING: Duration = Duration::from_secs(1);
/// When more checks than that have failed in a row, a probe on a connection that was there before does not speak for them.
const FOR_ALL: u64 = 8;
/// For how long a server must answer probes before it is asked again.
const STEADY: Duration = Duration::from_millis(50);
/// The same for one that goes down again and again: rules that change their way twice a second are worse than either.
const MOST_STEADY: Duration = Duration::from_secs(5);
/// It counts as the same trouble if a server is down again so soon.
const SOON: Duration = Duration::from_secs(30);

/// The thread of a store's probes. It ends with the store.
#[derive(Debug)]
pub(crate) struct Watch {
    handle: Handle,
    _end: Option<DropGuard>,
}

impl Watch {
    /// Starts it. Needs a Tokio runtime, whose own threads do instead if there can be no other.
    pub(crate) fn start() -> Self {
        let own = || {
            let runtime = Builder::new_current_thread().enable_all().build().ok()?;
            let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
            let ended = end.clone().cancelled_owned();
            let thread = std::thread::Builder::new().name("redis-probe".to_owned());
            thread.spawn(move || runtime.block_on(ended)).ok()?;
            Some(Self { handle, _end: Some(end.drop_guard()) })
        };
        own().unwrap_or_else(|| Self { handle: Handle::current(), _end: None })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Probes one server.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) manager: Manager,
    pub(crate) breaker: Arc<Breaker>,
    /// Where something failed last, so that a probe fails there too: a server of a cluster is asked for many.
    pub(crate) slot: Arc<AtomicU16>,
    pub(crate) shared: Arc<Shared>,
}

impl Probe {
    /// Probes whenever something has failed, for ever.
    pub(crate) async fn attend(self) {
        let mut connection = None;
        let mut steady = STEADY;
        let mut closed: Option<Stopwatch> = None;
        loop {
            if let Err(error) = self.judge(&mut connection).await {
                self.breaker.open(&error);
                steady = damped(steady, closed.map(|closed| closed.seconds()));
                self.wait(&mut connection, steady).await;
                self.breaker.close();
                closed = Some(Stopwatch::start());
            }
            backoff::pause(LOOK_CLOSER).await;
            self.breaker.doubted().await;
        }
    }

    /// Whether the server is down, and why.
    async fn judge(&self, connection: &mut Option<Connection>) -> Result<(), StoreError> {
        let mut looks = 0;
        loop {
            looks += 1;
            let (answers, failures) = self.breaker.tally();
            let mut look = self.look(connection).await;
            if look.is_ok() && self.breaker.in_a_row() > FOR_ALL {
                // Perhaps only new connections fail, which the checks need. The old one is kept meanwhile: its place
                // might be the only one that is free.
                let mut another = None;
                look = self.look(&mut another).await;
                *connection = another;
            }
            let (more_answers, more_failures) = self.breaker.tally();
            let failures = more_failures - failures;
            match look {
                // Whoever answers most checks is not down, whatever is wrong with the probe.
                Err(_) if more_answers - answers > failures => return Ok(()),
                // So much is going on that the probe may have been late as well.
                Err(StoreError::Timeout(_)) if failures > MANY && looks < ATTEMPTS => {}
                look => return look,
            }
        }
    }

    /// Waits until the server has been well for so long.
    async fn wait(&self, connection: &mut Option<Connection>, steady: Duration) {
        let mut pause = LOOK_AGAIN;
        let mut well: Option<Stopwatch> = None;
        while well.is_none_or(|well| well.seconds() < steady.as_secs_f64()) {
            backoff::pause(pause).await;
            match self.look(connection).await {
                Ok(()) => {
                    well = well.or_else(|| Some(Stopwatch::start()));
                    pause = LOOK_AGAIN;
                }
                Err(error) => {
                    self.breaker.open(&error);
                    well = None;
                    pause = (pause * 2).min(LONGEST);
                }
            }
        }
    }

    /// Whether the server counts as it should, and in time.
    async fn look(&self, kept: &mut Option<Connection>) -> Result<(), StoreError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.ask(kept).await {
                // Somebody has cut the connection: that tells nothing about the next one.
                Err(StoreError::Redis(error)) if attempts < ATTEMPTS && fault::is_broken(&error) => {}
                Err(StoreError::Redis(error)) if kept.is_none() => {
                    return Err(StoreError::Connect(fault::says(&error)));
                }
                answer => return answer,
            }
        }
    }

    async fn ask(&self, kept: &mut Option<Connection>) -> Result<(), StoreError> {
        let patience = self.shared.timeout;
        let opening = patience.saturating_mul(OPENING).clamp(LEAST_OPENING, MOST_OPENING).max(patience);
        let mut connection = match kept.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => match timeout(opening, self.manager.open()).await {
                Ok(opened) => opened?,
                Err(_) => return Err(StoreError::Connect(format!("none within {opening:?}"))),
            },
        };
        let answer = timeout(patience, self.check(&mut connection)).await;
        let answer = answer.unwrap_or(Err(StoreError::Timeout(patience)));
        *kept = Some(connection).filter(Connection::is_open);
        answer
    }

    /// A check like any other, of a counter of its own.
    async fn check(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let deadline = self.shared.deadline(&Stopwatch::start());
        let deadline_ms = connection.offset.server_ms(self.shared.started.millis_to(deadline));
        let mut call = Call::probe(&self.shared, self.slot.load(Ordering::Relaxed), deadline);
        let sent = pipeline([call.send(deadline_ms)]);
        let mut answers = connection.send(&sent).await?;
        if answers.iter().any(|answer| answer.as_ref().is_err_and(fault::is_unloaded)) {
            connection.load().await?;
            answers = connection.send(&sent).await?;
        }
        match answers.into_iter().next() {
            Some(Err(error)) if !fault::is_elsewhere(&error) => Err(error.into()),
            Some(Ok(reply)) => call::probed(reply),
            _ => Ok(()),
        }
    }
}

/// For how long a server that is down must answer probes, after it had to for `before` the last time, if there was one,
/// and was well for these seconds since.
fn damped(before: Duration, well_seconds: Option<f64>) -> Duration {
    let again = well_seconds.is_some_and(|seconds| seconds < SOON.as_secs_f64());
    if again { before.saturating_mul(4).min(MOST_STEADY) } else { STEADY }
}

#[cfg(test)]
mod tests {
    use super::{STEADY, damped};

    /// How long a server must be well after outages before which it was well for these seconds.
    fn after(outages: &[Option<f64>]) -> Vec<u128> {
        let mut steady = STEADY;
        let after = |well: &Option<f64>| {
            steady = damped(steady, *well);
            steady.as_millis()
        };
        outages.iter().map(after).collect()
    }

    #[test]
    fn a_server_that_is_down_again_soon_must_be_well_for_longer_each_time() {
        assert_eq!(after(&[None, Some(1.0), Some(29.9), Some(0.0)]), [50, 200, 800, 3_200]);
    }

    #[test]
    fn no_server_must_be_well_for_longer_than_five_seconds() {
        assert_eq!(
            after(&[None, Some(1.0), Some(1.0), Some(1.0), Some(1.0), Some(1.0)])[4..],
            [5_000, 5_000]
        );
    }

    #[test]
    fn a_server_that_was_well_for_a_while_is_used_again_at_once() {
        assert_eq!(after(&[None, Some(1.0), Some(30.0)]), [50, 200, 50]);
    }
}
