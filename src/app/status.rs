//! What `/status` on the ops listener says: for a person with curl, at any hour.

use serde_json::{Value, json};

use crate::limiter::{Limiter, Status};
use crate::store::{ServerHealth, StateChange};

/// The state of this instance, as JSON. No client is named in it.
pub(super) fn report(limiter: &Limiter) -> Value {
    json!({ "version": env!("CARGO_PKG_VERSION"), "store": store(limiter.status()) })
}

fn store(status: Option<Status>) -> Value {
    let Some(Status { health, instances, needs_settlement }) = status else {
        return json!({ "kind": "memory", "state": "up" });
    };
    let down = health.servers.iter().any(|server| server.error.is_some());
    let servers = health.servers.into_iter().map(|ServerHealth { server, error, since_unix_seconds }| {
        json!({ "server": server, "state": state(&error), "since": since_unix_seconds, "error": error })
    });
    let changes = health.changes.into_iter().map(|StateChange { server, error, at_unix_seconds }| {
        json!({ "at": at_unix_seconds, "server": server, "state": state(&error), "error": error })
    });
    json!({
        "kind": "redis",
        "state": if down { "down" } else { "up" },
        "servers": servers.collect::<Vec<_>>(),
        "instances": instances,
        "settled": !needs_settlement,
        "changes": changes.collect::<Vec<_>>(),
    })
}

fn state(error: &Option<String>) -> &'static str {
    if error.is_some() { "down" } else { "up" }
}
