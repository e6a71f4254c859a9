//! The routes about one client of a rule: how it stands, its reset, and its override.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Shared;
use super::access::Author;
use super::condition::Condition;
use super::json::{JsonBody, Params, Writer};
use super::limit_view::RuleMode;
use super::override_view::{ClientOverride, OverrideView};
use super::overrides::problem;
use super::problem::Problem;
use crate::limiter::Usage;
use crate::overrides::{Inspection, Subject};
use crate::policy;

/// A client of a rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Client)]
pub(super) struct ClientView {
    rule: String,
    /// As its counters are named: free of secrets.
    id: String,
    /// The mode of the rule for this client.
    mode: RuleMode,
    /// How it stands with each limit, by the counters that all instances share. A tier, which depends on the request, is left
    /// out.
    limits: Vec<UsageView>,
    /// What an operator has set for this client.
    #[serde(rename = "override", skip_serializing_if = "Option::is_none")]
    item: Option<OverrideView>,
}

/// How a client stands with a limit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
struct UsageView {
    /// The name that clients see.
    name: String,
    /// As the configuration writes it: `100/min`.
    rate: String,
    /// The number of requests in a window.
    quota: i64,
    window_ms: i64,
    burst: i64,
    /// Requests that count against the limit.
    used: i64,
    /// Requests that would be admitted now, the burst included.
    remaining: i64,
    /// What is left of the burst.
    burst_left: i64,
    /// When the next request is admitted; 0 if it would be now.
    retry_after_ms: i64,
}

impl ClientView {
    fn new(shared: &Shared, (rule, id): (String, String), inspection: Inspection) -> Self {
        let Inspection { mode, usage, item } = inspection;
        let item = item.map(|listed| shared.view(listed));
        Self { rule, id, mode: mode.into(), limits: usage.into_iter().map(UsageView::new).collect(), item }
    }
}

impl UsageView {
    fn new(usage: Usage) -> Self {
        let Usage { name, quota, burst, window_ms, used, remaining, burst_left, retry_after_ms } = usage;
        let rate = policy::written_rate(quota, window_ms);
        let name = name.to_string();
        Self { name, rate, quota, window_ms, burst, used, remaining, burst_left, retry_after_ms }
    }
}

/// Shows how a client stands with a rule.
#[utoipa::path(
    get,
    path = "/v1/rules/{rule}/clients/{id}",
    tag = "clients",
    params(
        ("rule" = String, Path, description = "The name of the rule."),
        ("id" = String, Path, description = "The id of the client."),
    ),
    responses(
        (status = 200, description = "What it has used, also if that is nothing.", body = ClientView),
        (status = 422, description = "Not the id of a client.", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Redis is not available, or refuses.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(shared): State<Shared>,
    Params(client): Params<(String, String)>,
) -> Result<Json<ClientView>, Problem> {
    let inspection = shared.parts.overrides.inspect(&client.0, &client.1).await.map_err(problem)?;
    Ok(Json(ClientView::new(&shared, client, inspection)))
}

/// Resets a client: what it has used and the refusals are forgotten on every instance.
#[utoipa::path(
    delete,
    path = "/v1/rules/{rule}/clients/{id}",
    tag = "clients",
    params(
        ("rule" = String, Path, description = "The name of the rule."),
        ("id" = String, Path, description = "The id of the client."),
    ),
    responses((status = 204, description = "It is as if it had sent nothing."))
)]
pub(super) async fn reset(
    State(shared): State<Shared>,
    Params((rule, client)): Params<(String, String)>,
    Writer(Author { name, .. }): Writer,
) -> Result<StatusCode, Problem> {
    shared.parts.overrides.reset(&rule, &client, &name).await.map_err(problem)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the override of a client.
#[utoipa::path(
    get,
    path = "/v1/rules/{rule}/clients/{id}/override",
    tag = "clients",
    params(
        ("rule" = String, Path, description = "The name of the rule."),
        ("id" = String, Path, description = "The id of the client."),
    ),
    responses((status = 200, description = "The override, with its ETag.", body = OverrideView))
)]
pub(super) async fn show_override(
    State(shared): State<Shared>,
    Params(client): Params<(String, String)>,
) -> Result<Response, Problem> {
    shared.show_override(&subject(client))
}

/// Gives a client a rate of its own, lifts its limits, or blocks it, on all instances.
#[utoipa::path(
    put,
    path = "/v1/rules/{rule}/clients/{id}/override",
    tag = "clients",
    params(
        ("rule" = String, Path, description = "The name of the rule."),
        ("id" = String, Path, description = "The id of the client."),
    ),
    request_body = ClientOverride,
    responses((status = 200, description = "It is in force.", body = OverrideView))
)]
pub(super) async fn put_override(
    State(shared): State<Shared>,
    Params(client): Params<(String, String)>,
    Writer(Author { name, .. }): Writer,
    Condition(expected): Condition,
    JsonBody(body): JsonBody<ClientOverride>,
) -> Result<Response, Problem> {
    shared.put_override(&subject(client), &body.proposal(name)?, expected).await
}

/// Removes the override of a client, whose rule may be gone. If there is none, nothing changes.
#[utoipa::path(
    delete,
    path = "/v1/rules/{rule}/clients/{id}/override",
    tag = "clients",
    params(
        ("rule" = String, Path, description = "The name of the rule."),
        ("id" = String, Path, description = "The id of the client."),
    ),
    responses((status = 204, description = "There is none any more."))
)]
pub(super) async fn delete_override(
    State(shared): State<Shared>,
    Params(client): Params<(String, String)>,
    Writer(Author { name, .. }): Writer,
    Condition(expected): Condition,
) -> Result<StatusCode, Problem> {
    shared.delete_override(&subject(client), expected, &name).await
}

fn subject((rule, client): (String, String)) -> Subject {
    Subject::Client { rule: rule.into(), client: client.into() }
}
