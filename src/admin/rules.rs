//! The rules: as the configuration has them, and as they act.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::json::Params;
use super::problem::Problem;
use crate::policy::counter_key::OnMissing;
use crate::policy::{self, Mode, NamedLimit, OnOutage, Policy};

/// The rules, in the order in which they are looked at: the first endpoint rule that matches decides, and every global one
/// that matches.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rules {
    rules: Vec<Rule>,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rule {
    /// Its name.
    name: String,
    kind: RuleKind,
    /// The parts of the key by which its clients are told apart. Empty: all share one counter.
    key: Vec<String>,
    /// What stands for a part that a request lacks.
    on_missing: Missing,
    /// What it does while the store makes no decision.
    on_outage: Outage,
    /// As the configuration has it.
    configured: Behavior,
    /// As it acts now.
    effective: Behavior,
    /// A limit that it tries out: it counts, and refuses nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    trial: Option<LimitView>,
    /// Tiers of clients that have other limits, in order of precedence.
    tiers: Vec<TierView>,
}

/// The limits of a tier.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tier)]
struct TierView {
    /// The name of the tier.
    name: String,
    /// Empty: its clients have no limit.
    limits: Vec<LimitView>,
}

/// Whether it is under `rules` or under `global`.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RuleKind {
    Endpoint,
    Global,
}

/// What a rule does.
#[derive(Debug, Serialize, ToSchema)]
struct Behavior {
    mode: RuleMode,
    /// A request is charged to all of them, or to none.
    limits: Vec<LimitView>,
}

/// A limit of a rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limit)]
struct LimitView {
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

/// What a rule does where there is no room.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Mode)]
enum RuleMode {
    Enforce,
    Shadow,
    Off,
}

/// What stands for a missing part of a key.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OnMissing)]
enum Missing {
    ClientIp,
    Shared,
    Skip,
    Reject,
}

/// What a rule does while the store makes no decision.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = OnOutage)]
enum Outage {
    Local,
    Open,
    Closed,
}

impl Rule {
    fn new(rule: &policy::Rule, kind: RuleKind) -> Self {
        Self {
            name: rule.name.to_string(),
            kind,
            key: rule.key.parts.iter().map(ToString::to_string).collect(),
            on_missing: match rule.key.on_missing {
                OnMissing::ClientIp => Missing::ClientIp,
                OnMissing::Shared => Missing::Shared,
                OnMissing::Skip => Missing::Skip,
                OnMissing::Reject => Missing::Reject,
            },
            on_outage: match rule.on_outage {
                OnOutage::Local => Outage::Local,
                OnOutage::Open => Outage::Open,
                OnOutage::Closed => Outage::Closed,
            },
            configured: Behavior::new(rule.mode, &rule.limits),
            effective: Behavior::new(rule.mode, &rule.limits),
            trial: rule.trial.as_deref().map(LimitView::new),
            tiers: rule
                .tiers
                .iter()
                .map(|own| TierView {
                    name: own.tier.name.to_string(),
                    limits: own.rule.limits.iter().map(LimitView::new).collect(),
                })
                .collect(),
        }
    }
}

impl Behavior {
    fn new(mode: Mode, limits: &[NamedLimit]) -> Self {
        let mode = match mode {
            Mode::Enforce => RuleMode::Enforce,
            Mode::Shadow => RuleMode::Shadow,
            Mode::Off => RuleMode::Off,
        };
        Self { mode, limits: limits.iter().map(LimitView::new).collect() }
    }
}

impl LimitView {
    fn new(named: &NamedLimit) -> Self {
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

/// Lists all rules.
#[utoipa::path(
    get,
    path = "/v1/rules",
    tag = "rules",
    responses((status = 200, description = "All rules, global ones last.", body = Rules))
)]
pub(super) async fn rules(State(shared): State<Shared>) -> Json<Rules> {
    let policy = shared.parts.live.load();
    let endpoint = policy.rules().iter().map(|rule| Rule::new(rule, RuleKind::Endpoint));
    let global = policy.global().iter().map(|rule| Rule::new(rule, RuleKind::Global));
    Json(Rules { rules: endpoint.chain(global).collect() })
}

/// Shows one rule.
#[utoipa::path(
    get,
    path = "/v1/rules/{rule}",
    tag = "rules",
    params(("rule" = String, Path, description = "The name of the rule.")),
    responses(
        (status = 200, description = "The rule.", body = Rule),
        (status = 404, description = "There is none of this name.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn rule(
    State(shared): State<Shared>,
    Params(name): Params<String>,
) -> Result<Json<Rule>, Problem> {
    let policy = shared.parts.live.load();
    let kind = |global| if global { RuleKind::Global } else { RuleKind::Endpoint };
    find(&policy, &name).map(|(rule, global)| Json(Rule::new(rule, kind(global))))
}

/// Returns the rule of a name, and whether it is a global one.
pub(super) fn find<'p>(policy: &'p Arc<Policy>, name: &str) -> Result<(&'p policy::Rule, bool), Problem> {
    let endpoint = policy.rules().iter().map(|rule| (rule, false));
    let mut all = endpoint.chain(policy.global().iter().map(|rule| (rule, true)));
    all.find(|(rule, _)| *rule.name == *name).ok_or_else(|| {
        let problem = Problem::new(StatusCode::NOT_FOUND, "there is no rule of this name");
        problem.help("GET /v1/rules lists all rules")
    })
}
