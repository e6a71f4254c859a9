//! Ends what takes too long. One timer serves all calls of a server: it is set for the next deadline, which calls that get
//! their replies in time do not change.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep_until;

use super::board::Board;
use crate::clock::Stopwatch;
use crate::store::redis::server::breaker::Breaker;

/// How long a worker that is not needed keeps its connection, at least.
const RELEASE: Duration = Duration::from_secs(60);

/// Keeps the deadlines of the calls on the board until it is closed. When the breaker opens, no call may wait for the
/// server any longer.
pub(super) async fn keep(board: Arc<Board>, breaker: Arc<Breaker>) {
    let mut opened = pin!(breaker.wait_until_open());
    let mut release = Stopwatch::start().deadline(RELEASE);
    while !board.is_done() {
        let watch = Stopwatch::start();
        let now = watch.deadline(Duration::ZERO);
        if release <= now {
            board.release();
            release = watch.deadline(RELEASE);
        }
        let next = board.look(now).map_or(release, |look| look.min(release));
        tokio::select! {
            () = sleep_until(next.instant().into()) => {}
            () = board.rescheduled() => {}
            () = &mut opened => {
                opened.set(breaker.wait_until_open());
                board.abandon();
            }
        }
    }
}
