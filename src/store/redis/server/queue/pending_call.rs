//! Calls whose callers wait for the reply.

use bb8_redis::redis::RedisError;
use tokio::sync::oneshot;

use crate::clock::Deadline;
use crate::store::redis::wire::call::Call;
use crate::store::redis::wire::resp::Reply;

/// A server executes the command after this one also in a slot that is being moved to it.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// The outcome of a call. It closes without one if the call is dropped unsent, or its connection with it.
pub(crate) type OutcomeReceiver = oneshot::Receiver<Outcome>;

/// What became of a call.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reply(Reply),
    Error(RedisError),
    /// There was no reply by the deadline. If the call was sent, one may still arrive.
    TimedOut {
        outstanding: Option<OutcomeReceiver>,
    },
}

/// A call whose caller waits for the reply.
#[derive(Debug)]
pub(super) struct PendingCall {
    call: Call,
    asking: bool,
    has_timed_out: bool,
    is_repeated: bool,
    outcome: oneshot::Sender<Outcome>,
}

impl PendingCall {
    /// Makes a call pending. With `asking`, a server executes it also in a slot that is being moved to it.
    pub(super) fn new(call: Call, asking: bool) -> (Self, OutcomeReceiver) {
        let (outcome, receiver) = oneshot::channel();
        (Self { call, asking, has_timed_out: false, is_repeated: false, outcome }, receiver)
    }

    /// Returns when the caller stops waiting for the reply. None: it has stopped.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        (!self.has_timed_out).then_some(self.call.deadline)
    }

    /// Returns whether the caller would still use a reply to what is sent at `now`.
    pub(super) fn is_awaited(&self, now: Deadline) -> bool {
        now <= self.call.deadline && !self.outcome.is_closed()
    }

    /// Returns the number of commands that the call takes.
    pub(super) fn commands(&self) -> usize {
        1 + usize::from(self.asking)
    }

    /// Appends the commands to what is sent. `deadline_ms` converts a deadline to the time of the server's clock.
    pub(super) fn put(&self, sent: &mut Vec<u8>, deadline_ms: impl FnOnce(Deadline) -> i64) {
        if self.asking {
            sent.extend_from_slice(ASKING);
        }
        self.call.put(sent, deadline_ms(self.call.deadline));
    }

    /// Returns whether the call may be sent again at `now`, which is done at most once.
    pub(super) fn may_repeat(&mut self, now: Deadline) -> bool {
        !std::mem::replace(&mut self.is_repeated, true) && self.is_awaited(now)
    }

    /// Passes the outcome to the caller.
    pub(super) fn finish(self, outcome: Outcome) {
        // A caller that gave up has dropped the receiver.
        let _ = self.outcome.send(outcome);
    }

    /// Reports to the caller that its deadline has passed. The reply to the call, which was sent, may still arrive.
    pub(super) fn time_out(&mut self) {
        self.has_timed_out = true;
        let (outcome, receiver) = oneshot::channel();
        let caller = std::mem::replace(&mut self.outcome, outcome);
        let _ = caller.send(Outcome::TimedOut { outstanding: Some(receiver) });
    }
}
