//! The instances that share the limits, as far as this one knows them.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::status::{ServerState, StoreStatus};
use crate::version;

/// The instances that share the limits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Instances {
    /// Their number, as last seen in Redis; 1 with counters in memory.
    alive: i64,
    /// Those that are known: so far, the one that responds.
    instances: Vec<Instance>,
}

/// An instance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Instance {
    /// The name of its machine or pod.
    name: String,
    version: &'static str,
    /// The commit that it was compiled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'static str>,
    /// The hash of its configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    config_hash: Option<String>,
    /// The state of its store.
    store: ServerState,
}

/// Lists the instances that share the limits.
#[utoipa::path(
    get,
    path = "/v1/instances",
    tag = "instance",
    responses((status = 200, description = "Those that are known.", body = Instances))
)]
pub(super) async fn instances(State(shared): State<Shared>) -> Json<Instances> {
    let store = StoreStatus::read(&shared.parts.limiter);
    let own = Instance {
        name: name(),
        version: version::VERSION,
        commit: version::commit(),
        config_hash: shared.parts.reloads.configuration().hash,
        store: store.state(),
    };
    Json(Instances { alive: store.instances(), instances: vec![own] })
}

/// The name of the machine; in Kubernetes that of the pod.
fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}
