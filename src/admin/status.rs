//! The state of this instance.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use super::overrides::OverridesState;
use super::reloads::Configuration;
use crate::limiter::{self, Limiter};
use crate::store::StoreHealth;
use crate::version;

/// The state of this instance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The version of tidegate.
    version: &'static str,
    /// The commit that it was compiled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    /// The target that it was compiled for.
    target: &'static str,
    /// Seconds since it began to serve.
    uptime_seconds: f64,
    /// What the configuration in force was read from.
    configuration: Configuration,
    /// The number of rules, global ones included.
    rules: usize,
    /// What operators have changed at run time.
    overrides: OverridesState,
    /// Where the counters are.
    store: StoreStatus,
}

/// The store, as this instance sees it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum StoreStatus {
    /// Counters in this process.
    Memory {
        /// Always `up`.
        state: ServerState,
    },
    /// Counters in Redis.
    Redis {
        /// `down` while a server that is in use is down.
        state: ServerState,
        /// Each server that is in use.
        servers: Vec<Server>,
        /// The number of instances that share the limits.
        instances: i64,
        /// Whether Redis has everything that was admitted without it.
        settled: bool,
        /// The last changes, the latest last.
        changes: Vec<Change>,
    },
}

/// The state of a server: that of its breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServerState {
    /// It is used.
    Up,
    /// Its breaker is open: it is not used until probes succeed.
    Down,
}

/// One server of Redis.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Server {
    server: String,
    state: ServerState,
    /// The beginning of this state, in seconds of Unix time.
    since: f64,
    /// Why it is down.
    #[schema(required = true)]
    error: Option<String>,
}

/// A change of a server's state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Change {
    /// In seconds of Unix time.
    at: f64,
    server: String,
    state: ServerState,
    /// Why it went down.
    #[schema(required = true)]
    error: Option<String>,
}

impl StoreStatus {
    /// Reads the state of a limiter's store. No client is named in it.
    pub(crate) fn read(limiter: &Limiter) -> Self {
        let Some(limiter::Status { health, instances, needs_settlement }) = limiter.status() else {
            return Self::Memory { state: ServerState::Up };
        };
        let StoreHealth { servers, changes } = health;
        let servers: Vec<Server> = servers
            .into_iter()
            .map(|server| Server {
                state: ServerState::of(server.error.as_ref()),
                server: server.server,
                since: server.since_unix_seconds,
                error: server.error,
            })
            .collect();
        let changes = changes.into_iter().map(|change| Change {
            at: change.at_unix_seconds,
            state: ServerState::of(change.error.as_ref()),
            server: change.server,
            error: change.error,
        });
        let is_down = servers.iter().any(|server| server.state == ServerState::Down);
        Self::Redis {
            state: if is_down { ServerState::Down } else { ServerState::Up },
            servers,
            instances,
            settled: !needs_settlement,
            changes: changes.collect(),
        }
    }

    /// The number of instances that share the limits.
    pub(super) fn instances(&self) -> i64 {
        match self {
            Self::Memory { .. } => 1,
            Self::Redis { instances, .. } => *instances,
        }
    }

    pub(super) fn state(&self) -> ServerState {
        match self {
            Self::Memory { state } | Self::Redis { state, .. } => *state,
        }
    }
}

impl ServerState {
    fn of(error: Option<&String>) -> Self {
        if error.is_some() { Self::Down } else { Self::Up }
    }
}

/// Reports the state of this instance.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "instance",
    responses((status = 200, description = "Its state.", body = Status))
)]
pub(super) async fn status(State(shared): State<Shared>) -> Json<Status> {
    let policy = shared.parts.overrides.configured();
    Json(Status {
        version: version::VERSION,
        commit: version::commit(),
        target: version::TARGET,
        uptime_seconds: shared.started.seconds(),
        configuration: shared.parts.reloads.configuration(),
        rules: policy.rules().len() + policy.global().len(),
        overrides: OverridesState::read(&shared.parts.overrides),
        store: StoreStatus::read(&shared.parts.limiter),
    })
}
