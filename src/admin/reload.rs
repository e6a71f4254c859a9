//! The route that reads the configuration again.

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::Shared;
use super::access::Author;
use super::json::Writer;
use super::problem::Problem;
use super::reloads::{Configuration, NotReloaded};

/// Reads the configuration file again, now.
#[utoipa::path(
    post,
    path = "/v1/reload",
    tag = "configuration",
    responses(
        (status = 200, description = "It is in force.", body = Configuration),
        (status = 409, description = "tidegate was started without a file.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file has faults, and nothing was changed.", body = Problem,
            content_type = "application/problem+json"),
        (status = 503, description = "The file could not be read in time.", body = Problem,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn reload(
    State(shared): State<Shared>,
    Writer(Author { name, peer, .. }): Writer,
) -> Result<Json<Configuration>, Problem> {
    tracing::info!(author = name, %peer, "reload wanted by the admin API");
    let reload = shared.parts.reloads.on_request().await.map_err(|error| match error {
        NotReloaded::NoFile => Problem::new(StatusCode::CONFLICT, "there is no file to read again")
            .help("start tidegate with --config FILE"),
        NotReloaded::Busy => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the file is still being read"),
    })?;
    if let Some(error) = reload.error {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error);
        return Err(problem.faults(reload.faults).help("correct the file: nothing was changed"));
    }
    Ok(Json(shared.parts.reloads.configuration()))
}
