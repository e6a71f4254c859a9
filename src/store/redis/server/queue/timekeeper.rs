//! Ends what takes too long. One timer serves all calls of a server: it is set for the next deadline, which calls that get
//! their replies in time do not change.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep_until;

use super::board::Board;
use crate::clock::Stopwatch;
use crate::store::redis::server::breaker::Breaker;

/// Keeps the deadlines of the calls on the board until it is closed. When the breaker opens, no call may wait for the
/// server any longer.
pub(super) async fn keep(board: Arc<Board>, breaker: Arc<Breaker>) {
    let mut opened = pin!(breaker.wait_until_open());
    while !board.is_done() {
        let next = board.look(Stopwatch::start().deadline(Duration::ZERO));
        let look = async {
            match next {
                Some(next) => sleep_until(next.instant().into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = look => {}
            () = board.rescheduled() => {}
            () = &mut opened => {
                opened.set(breaker.wait_until_open());
                board.abandon();
            }
        }
    }
}
