//! Limits and modes of rules in JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::{Mode, NamedLimit, OnOutage};

/// A limit of a rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limit)]
pub(super) struct LimitView {
    /// The name that clients see.
    name: String,
    /// As the configuration writes it: `100/min`.
    rate: String,
    /// The number of requests in a window.
    quota: i64,
    window_ms: i64,
    /// How many more a client may send that had paused.
    burst: i64,
    slices: i64,
}

/// What a rule does with a request that finds no room.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Mode)]
pub(super) enum RuleMode {
    Enforce,
    Shadow,
    Off,
}

impl From<Mode> for RuleMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Enforce => Self::Enforce,
            Mode::Shadow => Self::Shadow,
            Mode::Off => Self::Off,
        }
    }
}

impl From<RuleMode> for Mode {
    fn from(mode: RuleMode) -> Self {
        match mode {
            RuleMode::Enforce => Self::Enforce,
            RuleMode::Shadow => Self::Shadow,
            RuleMode::Off => Self::Off,
        }
    }
}

/// What a rule does while the store makes no decision.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OnOutage)]
pub(super) enum Outage {
    Local,
    Open,
    Closed,
}

impl From<OnOutage> for Outage {
    fn from(on_outage: OnOutage) -> Self {
        match on_outage {
            OnOutage::Local => Self::Local,
            OnOutage::Open => Self::Open,
            OnOutage::Closed => Self::Closed,
        }
    }
}

impl LimitView {
    pub(super) fn new(named: &NamedLimit) -> Self {
        Self {
            name: named.name.to_string(),
            rate: named.rate(),
            quota: named.limit.quota(),
            window_ms: named.limit.window_ms(),
            burst: named.limit.burst(),
            slices: named.limit.slices(),
        }
    }
}
