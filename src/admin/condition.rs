//! What a request knows of the override that it changes: entity tags and the fields that name them (RFC 9110, 13.1).

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::problem::Problem;
use crate::overrides::Expected;

/// What the author of a change expects, as `If-Match` and `If-None-Match` say.
pub(super) struct Condition(pub(super) Expected);

impl<S: Send + Sync> FromRequestParts<S> for Condition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (wanted, unwanted) = (field(parts, &header::IF_MATCH)?, field(parts, &header::IF_NONE_MATCH)?);
        Ok(Self(match (wanted, unwanted) {
            (None, None) => Expected::Anything,
            (Some("*"), None) => Expected::Present,
            (None, Some("*")) => Expected::Absent,
            (Some(tag), None) => version(tag).map(Expected::Version).ok_or_else(|| {
                let detail = "If-Match has a tag that no override ever had";
                Problem::new(StatusCode::PRECONDITION_FAILED, detail).help(HELP)
            })?,
            (_, Some(_)) => {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid If-None-Match").help(HELP));
            }
        }))
    }
}

const HELP: &str = "expected If-Match with the ETag of the override or *, or If-None-Match: *";

fn field<'p>(parts: &'p Parts, name: &HeaderName) -> Result<Option<&'p str>, Problem> {
    let mut values = parts.headers.get_all(name).iter();
    let invalid = || Problem::new(StatusCode::BAD_REQUEST, format!("invalid {name}")).help(HELP);
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        _ => Err(invalid()),
    }
}

/// Returns the version of a tag. None: it is weak, or not one of ours.
fn version(tag: &str) -> Option<u64> {
    tag.strip_prefix('"')?.strip_suffix('"')?.parse().ok()
}

/// Returns the tag of a version.
pub(super) fn tag(version: u64) -> HeaderValue {
    // Digits and quotation marks are valid.
    HeaderValue::try_from(format!("\"{version}\"")).unwrap_or(HeaderValue::from_static("\"\""))
}
