//! The routes that show and change the overrides of rules, and what the routes of clients share with them.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::access::Author;
use super::condition::{Condition, tag};
use super::json::{JsonBody, Params, Writer};
use super::override_view::{OverrideView, RuleOverride};
use super::problem::Problem;
use super::rules::no_rule;
use crate::overrides::{ChangeError, Expected, Listed, Overrides, Proposal, Subject};

/// All overrides.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OverrideList {
    state: OverridesState,
    /// Those for all rules first.
    overrides: Vec<OverrideView>,
}

/// The overrides, as this instance knows them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OverridesState {
    /// Whether all instances share them, in Redis. If not, they are in the memory of this process, and end with it.
    shared: bool,
    /// Their number.
    in_force: usize,
    /// The version of the latest change: instances that agree have the same.
    version: u64,
    /// Why this instance does not read those in Redis. The ones that it knew before stay in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_read: Option<String>,
    /// Why Redis sends this instance no message about changes: they act here a moment later.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_subscribed: Option<String>,
    /// Why Redis sends no message about changes that are made here: they act elsewhere a moment later.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_published: Option<String>,
    /// The rules of Redis's ACL that the user of this instance lacks: `ACL SETUSER NAME ...` adds them.
    missing_rights: Vec<String>,
}

impl OverridesState {
    pub(super) fn read(overrides: &Overrides) -> Self {
        let (obstacles, missing_rights) = overrides.obstacles();
        Self {
            shared: overrides.are_shared(),
            in_force: overrides.list().len(),
            version: overrides.version(),
            not_read: obstacles.reading,
            not_subscribed: obstacles.subscribing,
            not_published: obstacles.publishing,
            missing_rights,
        }
    }
}

/// Lists all overrides.
#[utoipa::path(
    get,
    path = "/v1/overrides",
    tag = "overrides",
    responses((status = 200, description = "All that are in force.", body = OverrideList))
)]
pub(super) async fn list(State(shared): State<Shared>) -> Json<OverrideList> {
    let overrides = &shared.parts.overrides;
    let list = overrides.list().into_iter().map(|listed| shared.view(listed)).collect();
    Json(OverrideList { state: OverridesState::read(overrides), overrides: list })
}

/// Shows the override of all rules at once.
#[utoipa::path(
    get,
    path = "/v1/override",
    tag = "overrides",
    responses(
        (status = 200, description = "The override, with its ETag.", body = OverrideView),
        (status = 404, description = "There is none.", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show_all(State(shared): State<Shared>) -> Result<Response, Problem> {
    shared.show_override(&Subject::AllRules)
}

/// Puts all rules at once into the mode `shadow` or `off`. A rule that refuses less already stays as it is.
#[utoipa::path(
    put,
    path = "/v1/override",
    tag = "overrides",
    request_body = RuleOverride,
    responses((status = 200, description = "It is in force.", body = OverrideView))
)]
pub(super) async fn put_all(
    State(shared): State<Shared>,
    Writer(Author { name, .. }): Writer,
    Condition(expected): Condition,
    JsonBody(body): JsonBody<RuleOverride>,
) -> Result<Response, Problem> {
    shared.put_override(&Subject::AllRules, &body.proposal(name)?, expected).await
}

/// Removes the override of all rules at once. If there is none, nothing changes.
#[utoipa::path(
    delete,
    path = "/v1/override",
    tag = "overrides",
    responses((status = 204, description = "There is none any more."))
)]
pub(super) async fn delete_all(
    State(shared): State<Shared>,
    Writer(Author { name, .. }): Writer,
    Condition(expected): Condition,
) -> Result<StatusCode, Problem> {
    shared.delete_override(&Subject::AllRules, expected, &name).await
}

/// Shows the override of a rule.
#[utoipa::path(
    get,
    path = "/v1/rules/{rule}/override",
    tag = "overrides",
    params(("rule" = String, Path, description = "The name of the rule.")),
    responses((status = 200, description = "The override, with its ETag.", body = OverrideView))
)]
pub(super) async fn show_rule(
    State(shared): State<Shared>,
    Params(rule): Params<String>,
) -> Result<Response, Problem> {
    shared.show_override(&Subject::Rule(rule.into()))
}

/// Changes the rate, burst or mode of a rule, on all instances.
#[utoipa::path(
    put,
    path = "/v1/rules/{rule}/override",
    tag = "overrides",
    params(("rule" = String, Path, description = "The name of the rule.")),
    request_body = RuleOverride,
    responses((status = 200, description = "It is in force.", body = OverrideView))
)]
pub(super) async fn put_rule(
    State(shared): State<Shared>,
    Params(rule): Params<String>,
    Writer(Author { name, .. }): Writer,
    Condition(expected): Condition,
    JsonBody(body): JsonBody<RuleOverride>,
) -> Result<Response, Problem> {
    shared.put_override(&Subject::Rule(rule.into()), &body.proposal(name)?, expected).await
}

/// Removes the override of a rule, which may be gone. If there is none, nothing changes.
#[utoipa::path(
    delete,
    path = "/v1/rules/{rule}/override",
    tag = "overrides",
    params(("rule" = String, Path, description = "The name of the rule.")),
    responses((status = 204, description = "There is none any more."))
)]
pub(super) async fn delete_rule(
    State(shared): State<Shared>,
    Params(rule): Params<String>,
    Writer(Author { name, .. }): Writer,
    Condition(expected): Condition,
) -> Result<StatusCode, Problem> {
    shared.delete_override(&Subject::Rule(rule.into()), expected, &name).await
}

impl Shared {
    /// Returns what is shown of an override.
    pub(super) fn view(&self, listed: Listed) -> OverrideView {
        OverrideView::new(listed, self.parts.overrides.are_shared())
    }

    /// Responds with the override of a subject.
    pub(super) fn show_override(&self, subject: &Subject) -> Result<Response, Problem> {
        let listed = self.parts.overrides.get(subject);
        let listed = listed.ok_or_else(|| {
            let problem = Problem::new(StatusCode::NOT_FOUND, "unknown override");
            problem.help("GET /v1/overrides lists all overrides")
        })?;
        Ok(tagged(self.view(listed)))
    }

    /// Sets the override of a subject, and responds with it.
    pub(super) async fn put_override(
        &self,
        subject: &Subject,
        proposal: &Proposal,
        expected: Expected,
    ) -> Result<Response, Problem> {
        let listed = self.parts.overrides.put(subject, proposal, expected).await.map_err(problem)?;
        Ok(tagged(self.view(listed)))
    }

    /// Removes the override of a subject.
    pub(super) async fn delete_override(
        &self,
        subject: &Subject,
        expected: Expected,
        author: &str,
    ) -> Result<StatusCode, Problem> {
        self.parts.overrides.remove(subject, expected, author).await.map_err(problem)?;
        Ok(StatusCode::NO_CONTENT)
    }
}

fn tagged(view: OverrideView) -> Response {
    ([(header::ETAG, tag(view.version))], Json(view)).into_response()
}

/// Returns the problem that a change failed for.
pub(super) fn problem(error: ChangeError) -> Problem {
    let detail = error.to_string();
    match error {
        ChangeError::UnknownRule(_) => no_rule(),
        ChangeError::Invalid(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail),
        ChangeError::Changed { current } => {
            let problem = Problem::new(StatusCode::PRECONDITION_FAILED, detail);
            match current {
                Some(version) => problem.header(header::ETAG, tag(version)),
                None => problem,
            }
            .help("GET it, and decide again")
        }
        ChangeError::Full => Problem::new(StatusCode::CONFLICT, detail),
        ChangeError::Conflict => Problem::new(StatusCode::CONFLICT, detail),
        ChangeError::Denied(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .help("GET /v1/status lists the rights that the user of Redis lacks"),
        ChangeError::Unavailable(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
            .help("limits go on by on_outage, and overrides that are known stay in force; try again later"),
    }
}
