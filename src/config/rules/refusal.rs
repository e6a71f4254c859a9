//! Reads `refusal`: the custom response of a rule. Pure.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::matching::header_lines;
use crate::config::diagnostic::{Fault, shown};
use crate::config::value::Value;
use crate::policy::CustomResponse;

/// Fields that report the limit, are about the connection, or decide where the message ends: tidegate sets these.
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

/// Reads a custom response. `None`: it has a fault, which has been reported.
pub(super) fn read(value: &Value<'_>) -> Option<CustomResponse> {
    value.section(&[], |section| {
        let status = section.number("status", 400..=599, 429);
        let status = status.and_then(|at| StatusCode::from_u16(u16::try_from(at.value).ok()?).ok());
        let body = section.text("body", "text", "expected the text of the body, a number in quotes");
        let body = body.map(|at| at.value.into());
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, line) in header_lines(section, "expected the header's value in quotes") {
            let name = line.location.key().check(header_name(name));
            let value = line.check(|value| header_value(value));
            headers.extend(name.zip(value.map(|at| at.value)));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == header::CONTENT_TYPE) {
            headers.push((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")));
        }
        Some(CustomResponse { status, body, headers })
    })
}

fn header_value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(text).map_err(|_| {
        let message = format!("the value '{}' has a character that no header can have", shown(text));
        Fault::new(message, "expected printable ASCII")
    })
}

fn header_name(text: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(format!("invalid header name \'{}\'", shown(text)), "expected a name such as X-Reason")
    })?;
    if OURS.contains(&name) {
        return Err(Fault::new(format!("{name} is set by tidegate"), "remove it"));
    }
    Ok(name)
}
