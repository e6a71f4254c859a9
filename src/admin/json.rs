//! What routes read of a request: its body, the parameters in its path, and whether its author may change anything.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::access::Author;
use super::problem::Problem;
use crate::settings::Role;

/// The largest body.
pub(super) const MAX_BODY: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A body in JSON.
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts) {
            // A form of a web page from elsewhere cannot have this type, unless the browser asks first.
            let problem =
                Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not declared as JSON");
            return Err(problem.help("send Content-Type: application/json"));
        }
        let bytes = read(body).await?;
        let body = serde_json::from_slice(&bytes).map_err(|error| {
            // Where it is JSON, but not what the route takes, its content is at fault.
            let status = match error.classify() {
                serde_json::error::Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
                _ => StatusCode::BAD_REQUEST,
            };
            Problem::new(status, format!("invalid body: {error}"))
        })?;
        Ok(Self(body))
    }
}

fn is_json(parts: &Parts) -> bool {
    let value = parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).map(str::trim);
    essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
}

async fn read(body: Body) -> Result<bytes::Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => {
            let detail = format!("the body has more than {MAX_BODY} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
        Ok(Err(_)) => Err(Problem::new(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut source = Some(error as &dyn std::error::Error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The parameters in the path.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let fault = |_| Problem::new(StatusCode::BAD_REQUEST, "the path is not UTF-8");
        path.map(|Path(params)| Self(params)).map_err(fault)
    }
}

/// The author of a request that changes something.
pub(super) struct Writer(pub(super) Author);

impl<S: Send + Sync> FromRequestParts<S> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Author>() {
            Some(author) if author.role == Role::Write => Ok(Self(author.clone())),
            Some(Author { name, .. }) => {
                let problem =
                    Problem::new(StatusCode::FORBIDDEN, format!("the token '{name}' may only read"));
                Err(problem.help("use a token with role: write"))
            }
            // The gate adds an author to each request.
            None => Err(Problem::new(StatusCode::FORBIDDEN, "the request has no author")),
        }
    }
}
