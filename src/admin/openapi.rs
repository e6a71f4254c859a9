//! The routes, and the OpenAPI document that is made from them.

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use utoipa::openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::{Shared, client_id, instances, reload, rules, status};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "tidegate admin API",
        description = "What an instance of tidegate does, and what can be changed while it runs.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    components(schemas(Problem)),
    tags(
        (name = "instance", description = "This instance, and those that share its limits."),
        (name = "configuration", description = "The configuration file."),
        (name = "rules", description = "The rules, and what they do."),
        (name = "clients", description = "The clients of rules."),
    )
)]
struct Document;

/// The responses that each route can have: what the gate refuses, what bodies are refused for, and what is not there.
const COMMON: [(StatusCode, &str); 8] = [
    (StatusCode::BAD_REQUEST, "The request cannot be read."),
    (StatusCode::UNAUTHORIZED, "A token is needed, and there is none, or a wrong one."),
    (StatusCode::FORBIDDEN, "The token may only read, or a web page from elsewhere sent the request."),
    (StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time."),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not declared as JSON."),
    (StatusCode::MISDIRECTED_REQUEST, "The host is not one that the API is known by."),
    (StatusCode::TOO_MANY_REQUESTS, "Too many requests."),
];

/// Returns all routes, and the document about them.
pub(super) fn routes() -> (Router<Shared>, Bytes) {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::status))
        .routes(routes!(instances::instances))
        .routes(routes!(reload::reload))
        .routes(routes!(rules::rules))
        .routes(routes!(rules::rule))
        .routes(routes!(client_id::client_id))
        .routes(routes!(openapi_document))
        .split_for_parts();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            complete(operation);
        }
    }
    let json = document.to_json().unwrap_or_default();
    let router = router
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path").help(LOOK_UP))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method").help(LOOK_UP)
        });
    (router, json.into())
}

const LOOK_UP: &str = "GET /v1/openapi.json describes all paths";

/// Adds the common responses to an operation.
fn complete(operation: &mut openapi::path::Operation) {
    for (status, description) in COMMON {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", problem)
            .build();
        let status = status.as_str().to_owned();
        operation.responses.responses.entry(status).or_insert(RefOr::T(response));
    }
}

/// Returns this document.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "instance",
    responses((status = 200, description = "The OpenAPI document.", body = Object))
)]
async fn openapi_document(State(shared): State<Shared>) -> ([(header::HeaderName, HeaderValue); 1], Bytes) {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], shared.document)
}
