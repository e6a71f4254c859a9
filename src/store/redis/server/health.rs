//! How the servers of a store are, for operators: the log, the metric and [`StoreHealth`] say the same, once per change.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{Stopwatch, unix_seconds};
use crate::metrics;
use crate::store::{ServerHealth, StateChange, StoreError, StoreHealth};

/// So many of the last changes are kept.
const CHANGES: usize = 32;
/// No more of a reason than this many characters.
const REASON: usize = 300;

/// How the servers are.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    servers: BTreeMap<String, State>,
    changes: VecDeque<StateChange>,
}

#[derive(Debug)]
struct State {
    /// None: it answers.
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
    /// There is a server more, and nothing is wrong with it so far.
    pub(crate) fn joins(&self, server: &str) {
        let mut known = self.known();
        known.servers.insert(server.to_owned(), State::new(None));
        known.tell();
    }

    /// The store goes on without it.
    pub(crate) fn leaves(&self, server: &str) {
        let mut known = self.known();
        if known.servers.get(server).is_some_and(|state| state.error.is_some()) {
            known.change(server, None);
            tracing::info!(server, "Redis goes on without the server that was down: limits are shared again");
        }
        known.servers.remove(server);
        known.tell();
    }

    /// It does not answer as it should.
    pub(crate) fn down(&self, server: &str, error: String) {
        let lasted = self.known().change(server, Some(error.clone()));
        metrics::store_outage();
        let up_seconds = lasted.round();
        tracing::warn!(
            server,
            error,
            up_seconds,
            "Redis does not answer as it should: rules do what on_outage says"
        );
    }

    /// It still does not, perhaps for another reason.
    pub(crate) fn still_down(&self, server: &str, error: String) {
        if let Some(State { error: Some(reason), .. }) = self.known().servers.get_mut(server) {
            *reason = error;
        }
    }

    /// It answers again.
    pub(crate) fn up(&self, server: &str) {
        let down_seconds = (self.known().change(server, None) * 1000.0).round() / 1000.0;
        tracing::info!(server, down_seconds, "Redis answers again: limits are shared again");
    }

    /// A reason as it is told: these are somebody else's words.
    pub(crate) fn shortened(reason: &StoreError) -> String {
        reason.to_string().chars().take(REASON).collect()
    }

    pub(crate) fn report(&self) -> StoreHealth {
        let known = self.known();
        let servers = known.servers.iter().map(|(server, state)| ServerHealth {
            server: server.clone(),
            error: state.error.clone(),
            since_unix_seconds: state.since_unix,
        });
        StoreHealth { servers: servers.collect(), changes: known.changes.iter().cloned().collect() }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Changes a server's state. For how many seconds the one before had lasted.
    fn change(&mut self, server: &str, error: Option<String>) -> f64 {
        let state = State::new(error.clone());
        let change = StateChange { server: server.to_owned(), error, at_unix_seconds: state.since_unix };
        let before = self.servers.insert(server.to_owned(), state);
        if self.changes.len() >= CHANGES {
            self.changes.pop_front();
        }
        self.changes.push_back(change);
        self.tell();
        before.map_or(0.0, |before| before.since.seconds())
    }

    fn tell(&self) {
        metrics::store_up(self.servers.values().all(|state| state.error.is_none()));
    }
}
