//! Compiles how a rule refuses. Pure.

use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::config::diagnostic::{Fault, shown};
use crate::config::report::Spanned;
use crate::config::schema;
use crate::policy::Refusal;

/// Fields that are the limiter's to say, or speak of the connection, or say where the message ends.
const OURS: [HeaderName; 12] = [
    header::RETRY_AFTER,
    header::CACHE_CONTROL,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::TE,
    header::CONNECTION,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-policy"),
];

/// Compiles the refusal; what is wrong with it is in the report.
pub(super) fn compile(shape: &schema::Refusal) -> Refusal {
    let status = shape.status.as_ref().and_then(|at| u16::try_from(at.value).ok());
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for Spanned { value: (name, value), location } in &shape.headers {
        let Some(name) = location.key().check(header_name(name)) else { continue };
        let value = HeaderValue::from_str(value).map_err(|_| {
            let message = format!("the value '{}' holds what no header can", shown(value));
            Fault::new(message, "write printable ASCII")
        });
        headers.extend(location.check(value).map(|value| (name, value)));
    }
    let body = shape.body.as_ref().map(|at| at.value.as_str().into());
    if body.is_some() && !headers.iter().any(|(name, _)| *name == header::CONTENT_TYPE) {
        headers.push((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")));
    }
    Refusal { status: status.and_then(|status| StatusCode::from_u16(status).ok()), body, headers }
}

fn header_name(text: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(format!("'{}' is no header name", shown(text)), "write a name such as X-Reason")
    })?;
    if OURS.contains(&name) {
        return Err(Fault::new(format!("{name} is set by tidegate"), "remove it"));
    }
    Ok(name)
}
