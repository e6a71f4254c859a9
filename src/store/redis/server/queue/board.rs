//! The calls of one server, from their arrival to their outcome.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::pending_call::{Outcome, PendingCall};
use crate::clock::Deadline;
use crate::store::StoreError;

/// The number of calls that may wait. The outage policy decides about the ones in excess: a longer queue is not drained
/// within any useful deadline.
const CAPACITY: usize = 4096;
/// The maximum number of calls in one round trip: Redis serves no other client meanwhile, for about 5 us per call.
const BATCH: usize = 128;

/// What a worker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Calls wait.
    Calls,
    /// The worker was not needed for a while: others can do its work.
    Unneeded,
    /// The queue is closed, and no calls wait.
    Closed,
}

/// Where callers, workers and the timekeeper meet.
#[derive(Debug)]
pub(super) struct Board {
    state: Mutex<State>,
    /// By worker: notified when there is something for it to do.
    workers: Vec<Notify>,
    /// Notified when the timekeeper has to look earlier than it planned.
    rescheduled: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<PendingCall>,
    /// By worker.
    trips: Vec<Trip>,
    /// The workers that have nothing to do: first those without a connection, at the end the one that was busy last.
    idle: Vec<usize>,
    /// Whether a worker is about to take the calls that wait.
    is_gathering: bool,
    /// When the timekeeper looks next. None: not before a call arrives.
    next_look: Option<Deadline>,
    is_closed: bool,
}

/// The round trip of one worker.
#[derive(Debug, Default)]
struct Trip {
    calls: Vec<PendingCall>,
    /// When the worker must give up. None: no round trip is under way.
    until: Option<Deadline>,
    /// Whether the worker kept its connection.
    is_connected: bool,
    /// Whether the worker was needed since the last [`Board::release`].
    is_needed: bool,
    /// Whether the worker is to return its connection, as it was not needed.
    is_released: bool,
}

impl Board {
    pub(super) fn new(workers: u32) -> Self {
        let workers: Vec<Notify> = (0..workers).map(|_| Notify::new()).collect();
        let state = State {
            waiting: VecDeque::new(),
            trips: workers.iter().map(|_| Trip::default()).collect(),
            idle: Vec::new(),
            is_gathering: false,
            next_look: None,
            is_closed: false,
        };
        Self { state: Mutex::new(state), workers, rescheduled: Notify::new() }
    }

    /// Returns the numbers of the workers.
    pub(super) fn workers(&self) -> std::ops::Range<usize> {
        0..self.workers.len()
    }

    /// Adds a call to those that wait.
    pub(super) fn push(&self, pending: PendingCall) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.waiting.len() >= CAPACITY {
            return Err(StoreError::QueueFull(CAPACITY));
        }
        let is_rescheduled = pending.deadline().is_some_and(|deadline| state.look_by(deadline));
        state.waiting.push_back(pending);
        let worker = if state.is_gathering { None } else { state.idle.pop() };
        state.is_gathering |= worker.is_some();
        drop(state);
        if is_rescheduled {
            self.rescheduled.notify_one();
        }
        self.wake(worker);
        Ok(())
    }

    /// Waits until there is something for the worker to do, which has a connection or needs one.
    pub(super) async fn wait_for_calls(&self, worker: usize, is_connected: bool) -> Wake {
        loop {
            {
                let mut state = self.state();
                state.is_gathering = !state.waiting.is_empty();
                if state.is_gathering {
                    return Wake::Calls;
                }
                if state.is_closed {
                    return Wake::Closed;
                }
                state.rest(worker, is_connected);
                if state.trips.get_mut(worker).is_some_and(|trip| std::mem::take(&mut trip.is_released)) {
                    return Wake::Unneeded;
                }
            }
            self.notified(worker).await;
        }
    }

    /// Wakes an idle worker that has a connection, if there is one: the one that was woken has none.
    pub(super) fn pass_on(&self) {
        let mut state = self.state();
        let State { idle, trips, .. } = &mut *state;
        let next = idle.pop_if(|worker| trips.get(*worker).is_some_and(|trip| trip.is_connected));
        drop(state);
        self.wake(next);
    }

    /// Returns whether any calls wait.
    pub(super) fn has_waiting(&self) -> bool {
        !self.state().waiting.is_empty()
    }

    /// Returns how many calls wait.
    pub(super) fn depth(&self) -> usize {
        self.state().waiting.len()
    }

    /// Adds calls that wait to those of the worker's round trip, and passes each that is still awaited to `put`. The worker
    /// must end the round trip by `until`.
    pub(super) fn depart(
        &self,
        worker: usize,
        (now, until): (Deadline, Deadline),
        mut put: impl FnMut(&PendingCall),
    ) {
        let mut state = self.state();
        let State { waiting, trips, .. } = &mut *state;
        let Some(trip) = trips.get_mut(worker) else { return };
        trip.calls.retain(|pending| pending.is_awaited(now));
        while trip.calls.len() < BATCH
            && let Some(pending) = waiting.pop_front()
        {
            if pending.is_awaited(now) {
                trip.calls.push(pending);
            }
        }
        trip.calls.iter().for_each(&mut put);
        let any = !trip.calls.is_empty();
        trip.until = any.then_some(until);
        trip.is_needed = true;
        let is_rescheduled = any && state.look_by(until);
        // What is left is for the next worker.
        let next = if state.waiting.is_empty() { None } else { state.idle.pop() };
        state.is_gathering = next.is_some();
        drop(state);
        if is_rescheduled {
            self.rescheduled.notify_one();
        }
        self.wake(next);
    }

    /// Returns the calls whose replies the worker has; none if the round trip was given up.
    pub(super) fn arrive(&self, worker: usize) -> Vec<PendingCall> {
        self.state().trips.get_mut(worker).map(|trip| std::mem::take(&mut trip.calls)).unwrap_or_default()
    }

    /// Leaves `calls` for another attempt of the worker. If there are none, its round trip is over.
    pub(super) fn leave(&self, worker: usize, calls: Vec<PendingCall>) {
        if let Some(trip) = self.state().trips.get_mut(worker) {
            trip.until = trip.until.filter(|_| !calls.is_empty());
            trip.calls = calls;
        }
    }

    /// Waits until the round trip of the worker is given up.
    pub(super) async fn given_up(&self, worker: usize) {
        while self.state().trips.get(worker).is_some_and(|trip| trip.until.is_some()) {
            self.notified(worker).await;
        }
    }

    /// Waits until the timekeeper has to look earlier than it planned.
    pub(super) async fn rescheduled(&self) {
        self.rescheduled.notified().await;
    }

    /// Reports a timeout to the callers whose deadline has passed at `now`, and gives up round trips that took too long.
    /// Returns when to look again: None if no call is outstanding.
    pub(super) fn look(&self, now: Deadline) -> Option<Deadline> {
        let mut state = self.state();
        for _ in 0..state.waiting.len() {
            let Some(pending) = state.waiting.pop_front() else { break };
            if pending.deadline().is_some_and(|deadline| deadline <= now) {
                pending.finish(Outcome::TimedOut { outstanding: None });
            } else {
                state.waiting.push_back(pending);
            }
        }
        for (trip, worker) in state.trips.iter_mut().zip(&self.workers) {
            if trip.until.is_some_and(|until| until <= now) {
                trip.give_up(worker);
            }
            for pending in &mut trip.calls {
                if pending.deadline().is_some_and(|deadline| deadline <= now) {
                    pending.time_out();
                }
            }
        }
        let outstanding = state.waiting.iter().chain(state.trips.iter().flat_map(|trip| &trip.calls));
        let deadlines = outstanding.filter_map(PendingCall::deadline);
        state.next_look = deadlines.chain(state.trips.iter().filter_map(|trip| trip.until)).min();
        state.next_look
    }

    /// Wakes the workers that were not needed since the last call of this, so that they return their connections.
    pub(super) fn release(&self) {
        let mut state = self.state();
        let State { trips, idle, .. } = &mut *state;
        for (number, (trip, worker)) in trips.iter_mut().zip(&self.workers).enumerate() {
            let is_needed = std::mem::take(&mut trip.is_needed);
            if !is_needed && idle.contains(&number) {
                trip.is_released = true;
                worker.notify_one();
            }
        }
    }

    /// Drops all calls: their server must not be used.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.waiting.clear();
        for (trip, worker) in state.trips.iter_mut().zip(&self.workers) {
            trip.give_up(worker);
        }
    }

    /// Ends the workers and the timekeeper when no call is outstanding.
    pub(super) fn close(&self) {
        self.state().is_closed = true;
        self.workers.iter().for_each(Notify::notify_one);
        self.rescheduled.notify_one();
    }

    /// Returns whether the queue is closed and no call is outstanding.
    pub(super) fn is_done(&self) -> bool {
        let state = self.state();
        state.is_closed && state.waiting.is_empty() && state.trips.iter().all(|trip| trip.until.is_none())
    }

    async fn notified(&self, worker: usize) {
        if let Some(worker) = self.workers.get(worker) {
            worker.notified().await;
        }
    }

    fn wake(&self, worker: Option<usize>) {
        if let Some(worker) = worker.and_then(|worker| self.workers.get(worker)) {
            worker.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whatever panics under the lock leaves calls in one of the lists, where the timekeeper finds them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds the worker to those that have nothing to do.
    fn rest(&mut self, worker: usize, is_connected: bool) {
        if let Some(trip) = self.trips.get_mut(worker) {
            trip.is_connected = is_connected;
        }
        if !self.idle.contains(&worker) {
            let place = if is_connected { self.idle.len() } else { 0 };
            self.idle.insert(place, worker);
        }
    }

    /// Returns whether the timekeeper must be woken to look by `deadline`.
    fn look_by(&mut self, deadline: Deadline) -> bool {
        let is_earlier = self.next_look.is_none_or(|look| deadline < look);
        if is_earlier {
            self.next_look = Some(deadline);
        }
        is_earlier
    }
}

impl Trip {
    /// Drops the calls. Their worker closes the connection with the outstanding replies.
    fn give_up(&mut self, worker: &Notify) {
        self.calls.clear();
        if self.until.take().is_some() {
            worker.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
