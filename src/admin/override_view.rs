//! Overrides in JSON: what a request sets, and what is shown of one.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limit_view::RuleMode;
use super::problem::Problem;
use crate::config::{Fault, Rate as WrittenRate, read_duration, read_rate};
use crate::overrides::{Effect, Listed, Override, Proposal, Rate};
use crate::policy;

/// What a rule does instead. It needs a rate, a burst or a mode.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleOverride {
    /// As the configuration writes it: `100/min`. It replaces the rate of the rule; where that has several limits, the one of
    /// equal window.
    #[serde(default)]
    #[schema(example = "100/min")]
    rate: Option<String>,
    /// How many more a client may send that had paused.
    #[serde(default)]
    burst: Option<i64>,
    #[serde(default)]
    mode: Option<RuleMode>,
    /// When it ends: `30m`. Absent: it stays until it is removed.
    #[serde(default)]
    #[schema(example = "30m")]
    expires_in: Option<String>,
    /// Why. The log and the list of overrides show it.
    #[serde(default)]
    reason: String,
}

/// What a rule does for one client instead: exactly one of a rate, `unlimited` and `blocked`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientOverride {
    /// The client's own rate, as the configuration writes it: `100/min`.
    #[serde(default)]
    #[schema(example = "100/min")]
    rate: Option<String>,
    /// The burst that belongs to the rate. Absent: it is that of the rule.
    #[serde(default)]
    burst: Option<i64>,
    /// The rule does not limit the client.
    #[serde(default)]
    unlimited: bool,
    /// All requests of the client are refused with 403, whatever the mode of the rule.
    #[serde(default)]
    blocked: bool,
    /// When it ends: `30m`. Absent: it stays until it is removed.
    #[serde(default)]
    #[schema(example = "30m")]
    expires_in: Option<String>,
    /// Why. The log and the list of overrides show it.
    #[serde(default)]
    reason: String,
}

impl RuleOverride {
    pub(super) fn proposal(self, author: String) -> Result<Proposal, Problem> {
        let rate = self.rate.as_deref().map(rate).transpose()?;
        let effect = Effect::Rule { rate, burst: self.burst, mode: self.mode.map(Into::into) };
        proposal(effect, self.expires_in.as_deref(), self.reason, author)
    }
}

impl ClientOverride {
    pub(super) fn proposal(self, author: String) -> Result<Proposal, Problem> {
        let rate = self.rate.as_deref().map(rate).transpose()?;
        let effect = match (rate, self.burst, self.unlimited, self.blocked) {
            (Some(rate), burst, false, false) => Effect::ClientRate { rate, burst },
            (None, None, true, false) => Effect::Unlimited,
            (None, None, false, true) => Effect::Blocked,
            _ => {
                let detail = "the override of a client needs one of a rate (with or without a burst), unlimited and blocked";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
            }
        };
        proposal(effect, self.expires_in.as_deref(), self.reason, author)
    }
}

fn proposal(
    effect: Effect,
    expires_in: Option<&str>,
    reason: String,
    author: String,
) -> Result<Proposal, Problem> {
    let expires_in: Option<Duration> = expires_in.map(read_duration).transpose().map_err(invalid)?;
    Ok(Proposal { effect, reason, author, expires_in })
}

fn rate(text: &str) -> Result<Rate, Problem> {
    let WrittenRate { quota, window_ms } = read_rate(text).map_err(invalid)?;
    Ok(Rate { quota, window_ms })
}

fn invalid(Fault { message, help }: Fault) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, message).help(help)
}

/// An override that is in force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Override)]
pub(super) struct OverrideView {
    /// The rule. Absent: all rules at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    /// The id of the client. Absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    /// As the configuration writes it: `100/min`.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<RuleMode>,
    /// The rule does not limit the client.
    unlimited: bool,
    /// All requests of the client are refused with 403.
    blocked: bool,
    /// Why it was set.
    reason: String,
    /// The name of the token by which it was set.
    author: String,
    /// When it was set, in seconds of Unix time by the clock of the store.
    set_at: f64,
    /// When it ends, by the same clock. Absent: it stays until it is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_seconds: Option<f64>,
    /// Rises with each change of any override. It is the entity tag too.
    pub(super) version: u64,
    /// Why it has no effect: its rule does not exist any more, or has no limit that it could replace.
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<String>,
    /// Whether all instances have it. If not, counters and overrides are in the memory of this process, and end with it.
    shared: bool,
}

impl OverrideView {
    pub(super) fn new(listed: Listed, shared: bool) -> Self {
        let Listed { item, expires_in_ms, idle } = listed;
        let Override { subject, effect, reason, author, set_ms, expires_ms, version } = item;
        let (rate, burst, mode) = match &effect {
            Effect::Rule { rate, burst, mode } => (*rate, *burst, *mode),
            Effect::ClientRate { rate, burst } => (Some(*rate), *burst, None),
            Effect::Unlimited | Effect::Blocked => (None, None, None),
        };
        Self {
            rule: subject.rule().map(ToString::to_string),
            client: subject.client().map(ToString::to_string),
            rate: rate.map(|Rate { quota, window_ms }| policy::written_rate(quota, window_ms)),
            burst,
            mode: mode.map(Into::into),
            unlimited: effect == Effect::Unlimited,
            blocked: effect == Effect::Blocked,
            reason,
            author,
            set_at: seconds(set_ms),
            expires_at: expires_ms.map(seconds),
            expires_in_seconds: expires_in_ms.map(seconds),
            version,
            idle,
            shared,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}
