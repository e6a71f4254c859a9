//! The instances that share the limits: each reports what it is, in Redis, and reads what the others report.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::status::{ServerState, StoreStatus};
use super::{Parts, Shared};
use crate::version;

/// How often an instance reports.
const EVERY: Duration = Duration::from_secs(1);
/// For how long a report holds.
const HOLDS: Duration = Duration::from_secs(10);
/// The most instances that are shown.
const MOST: usize = 500;
/// The longest report that is read.
const MAX_BYTES: usize = 4096;

/// The instances that share the limits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Instances {
    /// Their number, as last seen in Redis; 1 with counters in memory.
    alive: i64,
    /// This one first, then those that Redis knows, at most 500. One that was started a moment ago, or is of an earlier version, may
    /// be missing.
    instances: Vec<Instance>,
}

/// An instance, as it reports.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Instance {
    /// Whether it is the one that responds.
    #[serde(default)]
    own: bool,
    /// The name of its machine or pod.
    name: String,
    version: String,
    /// The commit that it was compiled from.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    /// The hash of its configuration file.
    #[serde(skip_serializing_if = "Option::is_none")]
    config_hash: Option<String>,
    /// The version of its overrides: instances that agree have the same.
    overrides: u64,
    /// The state of its store. (One whose store is down is seen for a few seconds only.)
    store: ServerState,
}

impl Instance {
    fn own(parts: &Parts) -> Self {
        Self {
            own: true,
            name: name(),
            version: version::VERSION.to_owned(),
            commit: version::commit().map(str::to_owned),
            config_hash: parts.reloads.configuration().hash,
            overrides: parts.overrides.version(),
            store: StoreStatus::read(&parts.limiter).state(),
        }
    }

    /// Reads a report. None: it is damaged, or of a version with other fields.
    fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok().filter(|_| text.len() <= MAX_BYTES)
    }
}

/// Reports what this instance is, for as long as the process runs.
pub(crate) async fn report_all(parts: Parts) {
    let Some(store) = parts.limiter.shared_store() else { return };
    loop {
        let own = Instance { own: false, ..Instance::own(&parts) };
        if let Ok(text) = serde_json::to_vec(&own) {
            // Without Redis no other instance shows it, and the breaker has reported that.
            let _ = store.introduce(&text, HOLDS).await;
        }
        tokio::time::sleep(EVERY.mul_f64(0.75 + fastrand::f64() / 4.0)).await;
    }
}

/// Lists the instances that share the limits.
#[utoipa::path(
    get,
    path = "/v1/instances",
    tag = "instance",
    responses((status = 200, description = "Those that are known.", body = Instances))
)]
pub(super) async fn instances(State(shared): State<Shared>) -> Json<Instances> {
    let parts = &shared.parts;
    let mut instances = vec![Instance::own(parts)];
    if let Some(store) = parts.limiter.shared_store() {
        let reports = store.introductions(MOST).await.unwrap_or_default();
        let others = reports.iter().filter(|(number, _)| *number != store.instance());
        instances.extend(others.filter_map(|(_, text)| Instance::read(text)));
    }
    Json(Instances { alive: StoreStatus::read(&parts.limiter).instances(), instances })
}

/// The name of the machine; in Kubernetes that of the pod.
fn name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}
