//! The state of the servers, for operators. The log, the metric and [`StoreHealth`] report each change once, alike.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{Stopwatch, unix_seconds};
use crate::metrics;
use crate::store::{ServerHealth, StateChange, StoreError, StoreHealth};

/// The number of past changes that are kept.
const CHANGES: usize = 32;
/// The length in characters to which a reason is cut: its text may come from the network.
const REASON: usize = 300;

/// The state of each server of a store.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<States>);

#[derive(Debug, Default)]
struct States {
    servers: BTreeMap<String, State>,
    changes: VecDeque<StateChange>,
    /// Since when a server is down. None: all are available.
    degraded: Option<Stopwatch>,
    /// For how many seconds a server was down before that.
    degraded_seconds: f64,
}

#[derive(Debug)]
struct State {
    /// None: the server is available.
    error: Option<String>,
    since: Stopwatch,
    since_unix: f64,
}

impl State {
    fn new(error: Option<String>) -> Self {
        Self { error, since: Stopwatch::start(), since_unix: unix_seconds() }
    }
}

impl Health {
    /// Adds a server, as available.
    pub(crate) fn register(&self, server: &str) {
        metrics::breaker_open(server, false);
        let mut states = self.states();
        states.servers.insert(server.to_owned(), State::new(None));
        states.set_metric();
    }

    /// Removes a server that the store no longer uses.
    pub(crate) fn unregister(&self, server: &str) {
        let mut states = self.states();
        if states.servers.get(server).is_some_and(|state| state.error.is_some()) {
            states.change(server, None);
            tracing::info!(server, "unavailable redis server left the cluster, sharing limits again");
        }
        states.servers.remove(server);
        metrics::breaker_left(server);
        states.set_metric();
    }

    /// Records that a server became unavailable.
    pub(crate) fn down(&self, server: &str, error: String) {
        let up_seconds = self.states().change(server, Some(error.clone())).round();
        metrics::store_outage();
        tracing::warn!(server, error, up_seconds, "redis unavailable, applying on_outage policy");
    }

    /// Updates the reason for which a server is unavailable.
    pub(crate) fn still_down(&self, server: &str, error: String) {
        if let Some(State { error: Some(reason), .. }) = self.states().servers.get_mut(server) {
            *reason = error;
        }
    }

    /// Records that a server became available again.
    pub(crate) fn up(&self, server: &str) {
        let down_seconds = (self.states().change(server, None) * 1000.0).round() / 1000.0;
        tracing::info!(server, down_seconds, "redis available again");
    }

    /// Returns the text of a reason, cut to a bounded length.
    pub(crate) fn shortened(reason: &StoreError) -> String {
        reason.to_string().chars().take(REASON).collect()
    }

    /// Returns the state of all servers and the latest changes.
    pub(crate) fn report(&self) -> StoreHealth {
        let states = self.states();
        let servers = states.servers.iter().map(|(server, state)| ServerHealth {
            server: server.clone(),
            error: state.error.clone(),
            since_unix_seconds: state.since_unix,
        });
        StoreHealth { servers: servers.collect(), changes: states.changes.iter().cloned().collect() }
    }

    /// Returns for how many seconds in all a server has been down.
    pub(crate) fn degraded_seconds(&self) -> f64 {
        let states = self.states();
        states.degraded_seconds + states.degraded.map_or(0.0, |since| since.seconds())
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl States {
    /// Changes a server's state. Returns for how many seconds it was in the previous one.
    fn change(&mut self, server: &str, error: Option<String>) -> f64 {
        metrics::breaker_open(server, error.is_some());
        let state = State::new(error.clone());
        let change = StateChange { server: server.to_owned(), error, at_unix_seconds: state.since_unix };
        let before = self.servers.insert(server.to_owned(), state);
        if self.changes.len() >= CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.set_metric();
        before.map_or(0.0, |before| before.since.seconds())
    }

    fn set_metric(&mut self) {
        let up = self.servers.values().all(|state| state.error.is_none());
        if up {
            self.degraded_seconds += self.degraded.take().map_or(0.0, |since| since.seconds());
        } else {
            self.degraded.get_or_insert_with(Stopwatch::start);
        }
        metrics::store_up(up);
    }
}
