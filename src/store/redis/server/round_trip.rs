//! One round trip: a batch of calls goes out as one pipeline, and each caller gets its reply.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::redis::RedisError;
use tokio::sync::oneshot;

use super::connection::Connection;
use crate::clock::Stopwatch;
use crate::metrics::StoreMeter;
use crate::store::redis::wire::call::Call;
use crate::store::redis::wire::resp::Reply;
use crate::store::redis::wire::{fault, reply};

/// A server executes the command after this one also in a slot that is being moved to it.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// The reply to a call. It closes without one if the call is dropped unsent, or its connection with it.
pub(crate) type ReplyReceiver = oneshot::Receiver<Result<Reply, RedisError>>;

/// A call whose caller waits for the reply.
#[derive(Debug)]
pub(super) struct PendingCall {
    call: Call,
    asking: bool,
    reply: oneshot::Sender<Result<Reply, RedisError>>,
}

impl PendingCall {
    /// Makes a call pending. With `asking`, a server executes it also in a slot that is being moved to it.
    pub(super) fn new(call: Call, asking: bool) -> (Self, ReplyReceiver) {
        let (reply, receiver) = oneshot::channel();
        (Self { call, asking, reply }, receiver)
    }

    /// Returns whether the caller would still use the reply.
    pub(super) fn is_awaited(&self) -> bool {
        !self.reply.is_closed() && self.call.deadline.passed_by().is_zero()
    }

    fn finish(self, reply: Result<Reply, RedisError>) {
        // A caller that gave up has dropped the receiver.
        let _ = self.reply.send(reply);
    }
}

/// Sends batches to one server.
#[derive(Debug)]
pub(super) struct Trips {
    /// How long a check may take in all.
    pub(super) timeout: Duration,
    /// The local clock, against which the server's clock is measured.
    pub(super) local: Stopwatch,
    /// Whether the time in replies is the server's. If not, a test drives it.
    pub(super) server_time: bool,
    pub(super) meter: Arc<StoreMeter>,
}

impl Trips {
    /// Sends a batch as one pipeline, and sends once more what Redis has not executed.
    pub(super) async fn send(&self, connection: &mut Connection, batch: &mut Vec<PendingCall>) {
        for attempt in [Attempt::First, Attempt::Last] {
            // A call past its deadline was decided without Redis: counting it as well would be wrong.
            batch.retain(PendingCall::is_awaited);
            if batch.is_empty() {
                return;
            }
            let (sent, number) = self.commands(connection, batch);
            self.meter.round_trip();
            let replies = match connection.exchange(&sent, number).await {
                Ok(replies) => replies,
                Err(error) => return fail(batch, &error),
            };
            self.learn_offset(connection, &replies);
            let unloaded = finish(batch, replies, attempt);
            if unloaded && let Err(error) = connection.load_scripts().await {
                return fail(batch, &error);
            }
        }
    }

    /// Returns the commands of a batch, and their number.
    fn commands(&self, connection: &Connection, batch: &[PendingCall]) -> (Vec<u8>, usize) {
        // A caller that gives up before the reply arrives decides without it, so a call that is executed late must not
        // count. The last quarter of the time is for the way back, which may be slower than the quickest replies.
        let way_back_ms = i64::try_from(self.timeout.as_millis() / 4).unwrap_or_default();
        let (mut sent, mut number) = (Vec::new(), 0);
        for PendingCall { call, asking, .. } in batch {
            if *asking {
                sent.extend_from_slice(ASKING);
                number += 1;
            }
            let deadline_ms = self.local.millis_to(call.deadline) - way_back_ms;
            call.put(&mut sent, connection.offset.server_ms(deadline_ms));
            number += 1;
        }
        (sent, number)
    }

    fn learn_offset(&self, connection: &mut Connection, replies: &[Reply]) {
        let local_ms = self.local.millis();
        let server_ms = || replies.iter().rev().find_map(reply::time);
        if self.server_time
            && let Some(server_ms) = server_ms()
        {
            connection.offset.learn(local_ms, server_ms);
        }
    }
}

/// Passes each reply to its caller. Calls that Redis has not executed stay in the batch, as they were before, unless this
/// was the last attempt. Returns whether scripts were not loaded.
fn finish(batch: &mut Vec<PendingCall>, replies: Vec<Reply>, attempt: Attempt) -> bool {
    let mut again = Vec::new();
    let mut unloaded = false;
    let mut replies = replies.into_iter();
    for pending in batch.drain(..) {
        if pending.asking {
            replies.next();
        }
        let Some(reply) = replies.next() else { continue };
        let reply = reply.error().map_or(Ok(reply), Err);
        match Fate::of(&reply) {
            Fate::Executed => pending.finish(reply),
            // The caller has given up, or will at its own deadline.
            Fate::Late if attempt == Attempt::Last || !pending.is_awaited() => {}
            Fate::Unloaded if attempt == Attempt::Last => pending.finish(reply),
            fate => {
                unloaded |= fate == Fate::Unloaded;
                again.push(pending);
            }
        }
    }
    batch.append(&mut again);
    unloaded
}

fn fail(batch: &mut Vec<PendingCall>, error: &RedisError) {
    batch.drain(..).for_each(|pending| pending.finish(Err(error.clone())));
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Last,
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
    fn of(reply: &Result<Reply, RedisError>) -> Self {
        match reply {
            Ok(reply) if reply::is_late(reply) => Self::Late,
            Err(error) if fault::is_unloaded(error) => Self::Unloaded,
            _ => Self::Executed,
        }
    }
}
