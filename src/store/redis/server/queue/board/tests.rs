use std::time::Duration;

use futures_util::FutureExt as _;

use super::{BATCH, Board, CAPACITY, Wake};
use crate::clock::{Clock, Deadline, Stopwatch};
use crate::store::StoreError;
use crate::store::redis::server::queue::pending_call::{Outcome, OutcomeReceiver, PendingCall};
use crate::store::redis::wire::call::Calls;
use crate::store::redis::wire::keyspace::Keyspace;

/// A board, and the times of a test in milliseconds.
struct Bench {
    board: Board,
    start: Stopwatch,
}

impl Bench {
    fn of(workers: u32) -> Self {
        Self { board: Board::new(workers), start: Stopwatch::start() }
    }

    fn at(&self, ms: u64) -> Deadline {
        self.start.deadline(Duration::from_millis(ms))
    }

    /// Queues a call of that deadline.
    fn push(&self, deadline_ms: u64) -> OutcomeReceiver {
        let calls = Calls::new(Keyspace::new("tidegate", 1), Clock::Real);
        let (pending, outcome) = PendingCall::new(calls.probe(0, self.at(deadline_ms)), false);
        self.board.push(pending).unwrap();
        outcome
    }

    /// Returns how many calls the worker sends at that time, in a round trip that may take 100 ms.
    fn depart(&self, worker: usize, ms: u64) -> usize {
        let mut calls = 0;
        self.board.depart(worker, (self.at(ms), self.at(ms + 100)), |_| calls += 1);
        calls
    }

    /// Returns whether calls wait for the worker. If not, it is idle from now on.
    fn is_woken(&self, worker: usize) -> bool {
        self.wake(worker) == Some(Wake::Calls)
    }

    fn wake(&self, worker: usize) -> Option<Wake> {
        self.board.wait_for_calls(worker, true).now_or_never()
    }
}

fn has_timed_out(outcome: &mut OutcomeReceiver) -> bool {
    matches!(outcome.try_recv(), Ok(Outcome::TimedOut { .. }))
}

#[test]
fn one_round_trip_takes_all_that_waits() {
    let bench = Bench::of(2);
    let _outcomes = [bench.push(20), bench.push(20), bench.push(20)];
    assert_eq!(bench.depart(0, 0), 3);
    assert_eq!(bench.depart(1, 0), 0);
}

#[test]
fn a_batch_is_bounded() {
    let bench = Bench::of(2);
    let _outcomes: Vec<_> = (0..=BATCH).map(|_| bench.push(20)).collect();
    assert_eq!((bench.depart(0, 0), bench.depart(1, 0)), (BATCH, 1));
}

#[test]
fn what_a_batch_leaves_wakes_another_worker() {
    let bench = Bench::of(2);
    assert!(!bench.is_woken(0) && !bench.is_woken(1));
    let _outcomes: Vec<_> = (0..=BATCH).map(|_| bench.push(20)).collect();
    bench.depart(1, 0);
    assert!(bench.board.state().is_gathering);
    assert!(bench.is_woken(0));
}

#[test]
fn the_queue_is_bounded() {
    let bench = Bench::of(1);
    let _outcomes: Vec<_> = (0..CAPACITY).map(|_| bench.push(20)).collect();
    let calls = Calls::new(Keyspace::new("tidegate", 1), Clock::Real);
    let (pending, _outcome) = PendingCall::new(calls.probe(0, bench.at(20)), false);
    assert!(matches!(bench.board.push(pending), Err(StoreError::QueueFull(CAPACITY))));
}

#[test]
fn several_calls_wake_one_worker() {
    let bench = Bench::of(2);
    assert!(!bench.is_woken(0) && !bench.is_woken(1));
    let _outcomes = [bench.push(20), bench.push(20)];
    assert_eq!(bench.board.state().idle, [0]);
}

#[test]
fn a_call_whose_caller_is_gone_is_not_sent() {
    let bench = Bench::of(1);
    drop(bench.push(20));
    assert_eq!(bench.depart(0, 0), 0);
}

#[test]
fn a_call_past_its_deadline_is_not_sent() {
    let bench = Bench::of(1);
    let _outcome = bench.push(20);
    assert_eq!(bench.depart(0, 21), 0);
}

#[test]
fn a_call_that_waits_times_out_for_good() {
    let bench = Bench::of(1);
    let mut outcome = bench.push(20);
    assert_eq!(bench.board.look(bench.at(19)), Some(bench.at(20)));
    assert!(!has_timed_out(&mut outcome));
    assert_eq!(bench.board.look(bench.at(20)), None);
    assert!(matches!(outcome.try_recv(), Ok(Outcome::TimedOut { outstanding: None })));
}

#[test]
fn the_reply_to_a_call_that_was_sent_may_arrive_after_its_deadline() {
    let bench = Bench::of(1);
    let mut outcome = bench.push(20);
    bench.depart(0, 0);
    assert_eq!(bench.board.look(bench.at(20)), Some(bench.at(100)), "the round trip goes on");
    let Ok(Outcome::TimedOut { outstanding: Some(mut late) }) = outcome.try_recv() else {
        panic!("it has not timed out")
    };
    let calls = bench.board.arrive(0);
    calls.into_iter().for_each(|pending| pending.finish(Outcome::TimedOut { outstanding: None }));
    assert!(late.try_recv().is_ok());
}

#[test]
fn a_round_trip_that_takes_too_long_is_given_up() {
    let bench = Bench::of(1);
    let mut outcome = bench.push(200);
    bench.depart(0, 0);
    assert!(bench.board.given_up(0).now_or_never().is_none());
    assert_eq!(bench.board.look(bench.at(100)), None);
    assert!(bench.board.given_up(0).now_or_never().is_some());
    assert!(outcome.try_recv().is_err());
    assert!(bench.board.arrive(0).is_empty());
}

#[test]
fn an_earlier_deadline_wakes_the_timekeeper() {
    let bench = Bench::of(1);
    let is_woken = || bench.board.rescheduled().now_or_never().is_some();
    let _first = bench.push(200);
    assert!(is_woken());
    let _later = bench.push(300);
    assert!(!is_woken());
    let _earlier = bench.push(100);
    assert!(is_woken());
}

#[test]
fn an_abandoned_call_has_no_outcome() {
    let bench = Bench::of(1);
    let mut sent = bench.push(20);
    bench.depart(0, 0);
    let mut waits = bench.push(20);
    bench.board.abandon();
    assert!(sent.try_recv().is_err() && waits.try_recv().is_err());
    assert!(bench.board.given_up(0).now_or_never().is_some());
}

#[test]
fn a_queue_that_is_closed_ends_when_no_call_is_outstanding() {
    let bench = Bench::of(1);
    let _outcome = bench.push(20);
    bench.board.close();
    assert!(bench.is_woken(0));
    bench.depart(0, 0);
    assert!(!bench.board.is_done());
    bench.board.leave(0, Vec::new());
    assert!(bench.board.is_done());
    assert_eq!(bench.wake(0), Some(Wake::Closed));
}

#[test]
fn a_worker_that_was_not_needed_is_told_so_once() {
    let bench = Bench::of(2);
    assert!(!bench.is_woken(0) && !bench.is_woken(1));
    let _outcome = bench.push(20);
    assert_eq!(bench.depart(1, 0), 1);
    bench.board.leave(1, Vec::new());
    bench.board.release();
    assert_eq!((bench.wake(0), bench.wake(1)), (Some(Wake::Unneeded), None));
    assert_eq!(bench.wake(0), None);
}

#[test]
fn a_worker_on_a_round_trip_is_needed() {
    let bench = Bench::of(1);
    let _outcome = bench.push(20);
    bench.depart(0, 0);
    bench.board.release();
    bench.board.release();
    assert_eq!(bench.wake(0), None);
}

#[test]
fn a_worker_with_a_connection_is_woken_first() {
    let bench = Bench::of(2);
    assert_eq!(bench.wake(0), None);
    assert_eq!(bench.board.wait_for_calls(1, false).now_or_never(), None);
    let _outcome = bench.push(20);
    assert_eq!(bench.board.state().idle, [1]);
}

#[test]
fn a_worker_without_a_connection_passes_calls_on_to_one_that_has_one() {
    let bench = Bench::of(3);
    for (worker, is_connected) in [(0, false), (1, true), (2, true)] {
        assert_eq!(bench.board.wait_for_calls(worker, is_connected).now_or_never(), None);
    }
    let _outcome = bench.push(20);
    bench.board.pass_on();
    assert_eq!(bench.board.state().idle, [0]);
    bench.board.pass_on();
    assert_eq!(bench.board.state().idle, [0], "it could not send anything sooner");
}
