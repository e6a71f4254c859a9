//! The routes, and the OpenAPI document that is made from them.

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{self, ContentBuilder, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::Problem;
use super::{Shared, client_id, clients, explain, instances, overrides, reload, rules, status};

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
        (name = "overrides", description = "What operators change at run time, on all instances."),
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

/// The further responses of those that change something.
const CHANGES: [(StatusCode, &str); 4] = [
    (StatusCode::CONFLICT, "There are too many overrides, or other changes came first."),
    (StatusCode::PRECONDITION_FAILED, "The override is not the one that is expected."),
    (StatusCode::UNPROCESSABLE_ENTITY, "The rule cannot have it, or it is not the id of a client."),
    (StatusCode::SERVICE_UNAVAILABLE, "Redis is not available, or refuses."),
];

/// The fields that make a change depend on what there is.
const CONDITIONS: [(&str, &str); 2] = [
    (
        "If-Match",
        "The ETag of the override that is to be changed, or `*` for any: 412 if there is another one, or none.",
    ),
    ("If-None-Match", "`*`: 412 if there is an override."),
];

fn condition((name, description): (&str, &str)) -> openapi::path::Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(description))
        .required(Required::False)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// Returns all routes, and the document about them.
pub(super) fn routes() -> (Router<Shared>, Bytes) {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(status::status))
        .routes(routes!(instances::instances))
        .routes(routes!(reload::reload))
        .routes(routes!(rules::rules))
        .routes(routes!(rules::rule))
        .routes(routes!(client_id::client_id))
        .routes(routes!(overrides::list))
        .routes(routes!(overrides::show_all, overrides::put_all, overrides::delete_all))
        .routes(routes!(overrides::show_rule, overrides::put_rule, overrides::delete_rule))
        .routes(routes!(clients::show, clients::reset))
        .routes(routes!(clients::show_override, clients::put_override, clients::delete_override))
        .routes(routes!(explain::explain))
        .routes(routes!(openapi_document))
        .split_for_parts();
    for (path, item) in &mut document.paths.paths {
        for operation in
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete].into_iter().flatten()
        {
            complete(operation, &COMMON);
            if path.contains('{') {
                complete(operation, &[(StatusCode::NOT_FOUND, "No rule, or no override, has this name.")]);
            }
        }
        for operation in [&mut item.put, &mut item.delete].into_iter().flatten() {
            complete(operation, &CHANGES);
            operation.parameters.get_or_insert_default().extend(CONDITIONS.map(|it| RefOr::T(condition(it))));
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

/// Adds responses to an operation.
fn complete(operation: &mut openapi::path::Operation, responses: &[(StatusCode, &str)]) {
    for (status, description) in responses {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(Problem::name()))).build();
        let response = ResponseBuilder::new()
            .description(*description)
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
