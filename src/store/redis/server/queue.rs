//! Many checks share one round trip.
//!
//! Calls wait in a queue. A worker that is free sends all waiting calls as one pipeline. No call is held back to make a
//! batch larger: while all workers are on a round trip, the queue fills for the next one. Several workers keep several round
//! trips in flight: with a single one each check would wait for the round trip before its own. The worker that was busy last
//! is woken first, so few connections do the work of a quiet process.

mod board;
mod pending_call;
mod timekeeper;
mod worker;

use std::sync::Arc;

use bb8_redis::bb8::Pool;

use super::breaker::Breaker;
use super::connector::Connector;
use crate::store::StoreError;
use crate::store::redis::wire::call::Call;
use board::Board;
use pending_call::PendingCall;
pub(crate) use pending_call::{Outcome, OutcomeReceiver};
pub(crate) use worker::Trips;
use worker::Worker;

/// The queue of one server. Dropping it ends its workers, once no call is outstanding.
#[derive(Debug)]
pub(super) struct Queue(Arc<Board>);

impl Queue {
    /// Starts `workers` that send what is queued. They use the connections of `pool`, which `connector` opens.
    pub(super) fn start(
        workers: u32,
        pool: &Pool<Connector>,
        connector: &Connector,
        breaker: Arc<Breaker>,
        trips: Trips,
    ) -> Self {
        let board = Arc::new(Board::new(workers));
        let trips = Arc::new(trips);
        for number in board.workers() {
            let (board, pool, trips) = (Arc::clone(&board), pool.clone(), Arc::clone(&trips));
            let worker = Worker { number, board, pool, connector: connector.clone(), trips };
            tokio::spawn(async move {
                // A panic is a bug of ours: it must cost one batch, not the store.
                while tokio::spawn(worker.clone().run()).await.is_err() {}
            });
        }
        let keep = {
            let board = Arc::clone(&board);
            move || timekeeper::keep(Arc::clone(&board), Arc::clone(&breaker))
        };
        tokio::spawn(async move { while tokio::spawn(keep()).await.is_err() {} });
        Self(board)
    }

    /// Queues a call. Dropping the receiver takes the call back if it has not been sent.
    pub(super) fn push(&self, call: Call, asking: bool) -> Result<OutcomeReceiver, StoreError> {
        let (pending, outcome) = PendingCall::new(call, asking);
        self.0.push(pending)?;
        Ok(outcome)
    }

    /// Returns how many calls wait.
    pub(super) fn depth(&self) -> usize {
        self.0.depth()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.0.close();
    }
}
