//! The rules: as the configuration has them, and as they act.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::json::Params;
use super::limit_view::{LimitView, Outage, RuleMode};
use super::override_view::OverrideView;
use super::problem::Problem;
use crate::overrides::Subject;
use crate::policy::counter_key::OnMissing;
use crate::policy::{self, Policy};

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
    /// As it acts now, with the overrides.
    effective: Behavior,
    /// What an operator has set for the rule.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    item: Option<OverrideView>,
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

impl Rule {
    /// `in_force` is the policy with the overrides.
    fn new(shared: &Shared, rule: &policy::Rule, kind: RuleKind, in_force: &Policy) -> Self {
        let effective = in_force.named(&rule.name).unwrap_or(rule);
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
            on_outage: rule.on_outage.into(),
            configured: Behavior::new(rule),
            effective: Behavior::new(effective),
            item: shared
                .parts
                .overrides
                .get(&Subject::Rule(Arc::clone(&rule.name)))
                .map(|listed| shared.view(listed)),
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
    fn new(rule: &policy::Rule) -> Self {
        Self { mode: rule.mode.into(), limits: rule.limits.iter().map(LimitView::new).collect() }
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
    let (configured, in_force) = (shared.parts.overrides.configured(), shared.parts.overrides.policy());
    let view = |rule, kind| Rule::new(&shared, rule, kind, &in_force);
    let endpoint = configured.rules().iter().map(|rule| view(rule, RuleKind::Endpoint));
    let global = configured.global().iter().map(|rule| view(rule, RuleKind::Global));
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
    )
)]
pub(super) async fn rule(
    State(shared): State<Shared>,
    Params(name): Params<String>,
) -> Result<Json<Rule>, Problem> {
    let (configured, in_force) = (shared.parts.overrides.configured(), shared.parts.overrides.policy());
    let kind = |global| if global { RuleKind::Global } else { RuleKind::Endpoint };
    find(&configured, &name).map(|(rule, global)| Json(Rule::new(&shared, rule, kind(global), &in_force)))
}

/// Returns the rule of a name, and whether it is a global one.
pub(super) fn find<'p>(policy: &'p Arc<Policy>, name: &str) -> Result<(&'p policy::Rule, bool), Problem> {
    let endpoint = policy.rules().iter().map(|rule| (rule, false));
    let mut all = endpoint.chain(policy.global().iter().map(|rule| (rule, true)));
    all.find(|(rule, _)| *rule.name == *name).ok_or_else(no_rule)
}

/// Returns the problem that no rule has the name.
pub(super) fn no_rule() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is no rule of this name").help("GET /v1/rules lists all rules")
}
