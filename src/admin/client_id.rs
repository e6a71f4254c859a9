//! From the values by which a rule tells clients apart, in clear, to the id of one of them.
//!
//! They are sent in a body, never in a URL, which logs and histories keep: a value may be an API key.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Shared;
use super::json::{JsonBody, Params};
use super::problem::Problem;
use super::rules::find;

/// The values of a client.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientValues {
    /// One value for each part of the rule's key, in the rule's order, as requests have it. Null: requests lack it.
    #[schema(max_items = 64)]
    key: Vec<Option<String>>,
}

/// A client, as its counters are named: free of secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientId {
    /// The parts joined by `,`. In a path it is percent-encoded.
    id: String,
}

/// Returns the id of a client, from values in clear.
#[utoipa::path(
    post,
    path = "/v1/rules/{rule}/client-id",
    tag = "clients",
    params(("rule" = String, Path, description = "The name of the rule.")),
    request_body = ClientValues,
    responses(
        (status = 200, description = "The id.", body = ClientId),
        (status = 422, description = "The values do not fit the key of the rule.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn client_id(
    State(shared): State<Shared>,
    Params(name): Params<String>,
    JsonBody(ClientValues { key }): JsonBody<ClientValues>,
) -> Result<Json<ClientId>, Problem> {
    let policy = shared.parts.overrides.configured();
    let (rule, _) = find(&policy, &name)?;
    let values: Vec<Option<&str>> = key.iter().map(Option::as_deref).collect();
    let id = policy.client_id(rule, &values);
    id.map(|id| Json(ClientId { id })).map_err(|error| {
        // The error names no value.
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
    })
}
