//! One of the workers that send what is queued. Each uses one connection, which it keeps while that is good.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::{ManageConnection as _, Pool, PooledConnection};
use bb8_redis::redis::RedisError;

use super::board::{Board, Wake};
use super::pending_call::Outcome;
use crate::clock::Stopwatch;
use crate::metrics::StoreMeter;
use crate::store::redis::server::connection::Connection;
use crate::store::redis::server::connector::Connector;
use crate::store::redis::wire::resp::Reply;
use crate::store::redis::wire::{fault, reply};

/// A round trip may take longer than a check: a connection that is slow now and then is worth as much as a new one, and
/// calls that its server executes late count nothing.
const TRIP_TIMEOUT: Duration = Duration::from_millis(100);

/// What the workers of one server have in common.
#[derive(Debug)]
pub(crate) struct Trips {
    /// How long a check may take in all.
    pub(crate) timeout: Duration,
    /// The local clock, against which the server's clock is measured.
    pub(crate) local: Stopwatch,
    /// Whether the time in replies is the server's. If not, a test drives it.
    pub(crate) server_time: bool,
    pub(crate) meter: Arc<StoreMeter>,
}

/// Sends what is queued, one round trip after the other.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) number: usize,
    pub(super) board: Arc<Board>,
    pub(super) pool: Pool<Connector>,
    pub(super) connector: Connector,
    pub(super) trips: Arc<Trips>,
}

impl Worker {
    /// Sends batches until the queue is closed.
    pub(super) async fn run(self) {
        // Of a round trip that panicked.
        self.board.leave(self.number, Vec::new());
        let (mut kept, mut sent) = (None, Vec::new());
        loop {
            match self.board.wait_for_calls(self.number, kept.is_some()).await {
                Wake::Calls => {}
                // The pool closes it, unless it has too few.
                Wake::Unneeded => {
                    kept = None;
                    continue;
                }
                Wake::Closed => return,
            }
            // The connection comes first, then the batch: it contains all calls that wait by then.
            let Some(mut connection) = self.connection(kept.take()).await else { continue };
            // Tasks that are about to make a call get the chance to share this round trip; without such tasks, this
            // costs nothing.
            tokio::task::yield_now().await;
            tokio::select! {
                biased;
                () = self.trip(&mut connection, &mut sent) => {}
                // The connection is dropped with the outstanding replies.
                () = self.board.given_up(self.number) => {}
            }
            kept = connection.is_intact().then_some(connection);
        }
    }

    /// Returns the connection that the worker kept, if it is still good, or another one. None: no call waits any longer.
    async fn connection(
        &self,
        kept: Option<PooledConnection<'static, Connector>>,
    ) -> Option<PooledConnection<'static, Connector>> {
        if let Some(mut kept) = kept
            && self.connector.is_valid(&mut kept).await.is_ok()
        {
            return Some(kept);
        }
        // Connecting can take longer than a check may: what waits need not wait for that.
        self.board.pass_on();
        while self.board.has_waiting() {
            if let Ok(connection) = self.pool.get_owned().await {
                return Some(connection);
            }
        }
        None
    }

    /// Sends the calls that wait as one pipeline, and once more what Redis has not executed.
    async fn trip(&self, connection: &mut Connection, sent: &mut Vec<u8>) {
        loop {
            let number = self.put_calls(connection, sent);
            if number == 0 {
                return;
            }
            self.trips.meter.round_trip(number);
            let replies = match connection.exchange(sent, number).await {
                Ok(replies) => replies,
                Err(error) => return self.fail(&error),
            };
            self.connector.succeeded(connection);
            self.learn_offset(connection, &replies);
            match self.finish(replies) {
                Rest::Nothing => return,
                Rest::Late => {}
                Rest::Unloaded => {
                    if let Err(error) = connection.load_scripts().await {
                        return self.fail(&error);
                    }
                }
            }
        }
    }

    /// Replaces `sent` by the commands of the next attempt, and returns their number.
    fn put_calls(&self, connection: &Connection, sent: &mut Vec<u8>) -> usize {
        let Trips { timeout, local, .. } = &*self.trips;
        // A caller that gives up before the reply arrives decides without it, so a call that is executed late must not
        // count. The last quarter of the time is for the way back, which may be slower than the quickest replies.
        let way_back_ms = i64::try_from(timeout.as_millis() / 4).unwrap_or_default();
        let watch = Stopwatch::start();
        let times = (watch.deadline(Duration::ZERO), watch.deadline(TRIP_TIMEOUT.max(*timeout)));
        let mut number = 0;
        sent.clear();
        self.board.depart(self.number, times, |pending| {
            number += pending.commands();
            pending
                .put(sent, |deadline| connection.offset.server_ms(local.millis_to(deadline) - way_back_ms));
        });
        number
    }

    fn learn_offset(&self, connection: &mut Connection, replies: &[Reply]) {
        let local_ms = self.trips.local.millis();
        let server_ms = || replies.iter().rev().find_map(reply::time);
        if self.trips.server_time
            && let Some(server_ms) = server_ms()
        {
            connection.offset.learn(local_ms, server_ms);
        }
    }

    /// Passes each reply to its caller, and leaves the calls that Redis has not executed for another attempt.
    fn finish(&self, replies: Vec<Reply>) -> Rest {
        let now = || Stopwatch::start().deadline(Duration::ZERO);
        let (mut again, mut rest) = (Vec::new(), Rest::Nothing);
        let mut replies = replies.into_iter();
        let mut calls = self.board.arrive(self.number);
        for mut pending in calls.drain(..) {
            // The last of its replies: the first is about ASKING.
            let Some(reply) = replies.nth(pending.commands() - 1) else { continue };
            let outcome = reply.error().map_or_else(|| Outcome::Reply(reply), Outcome::Error);
            match Fate::of(&outcome) {
                Fate::Executed => pending.finish(outcome),
                fate if pending.may_repeat(now()) => {
                    rest = rest.max(if fate == Fate::Unloaded { Rest::Unloaded } else { Rest::Late });
                    again.push(pending);
                }
                // The caller has given up, or will at its own deadline.
                Fate::Late => {}
                Fate::Unloaded => pending.finish(outcome),
            }
        }
        calls.append(&mut again);
        self.board.leave(self.number, calls);
        rest
    }

    fn fail(&self, error: &RedisError) {
        let mut calls = self.board.arrive(self.number);
        calls.drain(..).for_each(|pending| pending.finish(Outcome::Error(error.clone())));
        self.board.leave(self.number, calls);
    }
}

/// What a round trip leaves for another attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rest {
    Nothing,
    Late,
    /// Calls of scripts that are not loaded.
    Unloaded,
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Executed,
    /// The script was not loaded, so nothing was counted. (Redis was restarted behind a proxy, or somebody executed
    /// SCRIPT FLUSH.)
    Unloaded,
    /// The script found the deadline passed, so nothing was counted. If the caller still waits, the server's clock was
    /// set forward, and the offset is up to date by now.
    Late,
}

impl Fate {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Reply(reply) if reply::is_late(reply) => Self::Late,
            Outcome::Error(error) if fault::is_unloaded(error) => Self::Unloaded,
            _ => Self::Executed,
        }
    }
}
