//! Reads `refusal`: the custom response of a rule. Pure.

use http::{HeaderName, HeaderValue, StatusCode, header};

use super::matching::header_lines;
use crate::config::diagnostic::{Fault, did_you_mean, shown};
use crate::config::key_table::Kind;
use crate::config::section::Hint;
use crate::config::value::Value;
use crate::policy::CustomResponse;
use crate::policy::custom_response::{BodyTemplate, UnknownPlaceholder};

/// Fields that report the limit, are about the connection, or decide where the message ends: tidegate sets these. Of gRPC
/// those of a status, which would turn any response into an error of gRPC.
const OURS: [HeaderName; 15] = [
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
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-retry-pushback-ms"),
];

const HINTS: &[Hint] = &[
    (&["jitter"], "this key has another name", "expected retry_jitter, such as 10%"),
    (&["message"], "this key has another name", "expected body"),
    (
        &["retry_after"],
        "tidegate computes Retry-After",
        "expected retry_jitter: 10% to add to it, or {retry_after} in body to repeat it",
    ),
];

const TYPE_HELP: &str = "expected a media type, such as text/html; charset=utf-8";

/// Reads the response of the rule `rule`. `None`: it has a fault, which has been reported.
pub(super) fn read(value: &Value<'_>, rule: &str) -> Option<CustomResponse> {
    value.section(HINTS, |section| {
        let status = section.number("status", 400..=599, 429);
        let status = status.and_then(|at| StatusCode::from_u16(u16::try_from(at.value).ok()?).ok());
        let body = section.text("body", "text", "expected the text of the body, a number in quotes");
        let content_type = section.text("content_type", "media type", TYPE_HELP);
        let jitter = section.value("retry_jitter", Kind::Percentage(0, 100), "0%");
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, line) in header_lines(section, "expected the header's value in quotes") {
            let location = line.location.key();
            let name = location.check(header_name(name));
            if let Some(at) = content_type.as_ref().filter(|_| name == Some(header::CONTENT_TYPE)) {
                let fault = Fault::new("there are two types of the body", "keep content_type");
                location.collision(fault, &at.location.key());
            }
            let value = line.check(|value| header_value(value));
            headers.extend(name.zip(value.map(|at| at.value)));
        }
        let typed = headers.iter().any(|(name, _)| *name == header::CONTENT_TYPE);
        if let Some(at) = &content_type {
            if body.is_none() && !section.has("body") {
                let help = "add body, or remove content_type: a problem has a type of its own";
                at.location.key().error(Fault::new("content_type is that of body, and there is none", help));
            }
            headers.extend(at.check(|text| media_type(text)).map(|at| (header::CONTENT_TYPE, at.value)));
        } else if body.is_some() && !typed {
            headers.push((header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")));
        }
        let body = body.and_then(|at| at.check(|text| template(text, rule))).map(|at| at.value);
        let retry_jitter = jitter.and_then(|value| value.percentage(0, 100)).unwrap_or_default();
        Some(CustomResponse { status, body, headers, retry_jitter })
    })
}

fn template(text: &str, rule: &str) -> Result<BodyTemplate, Fault> {
    BodyTemplate::parse(text, rule).map_err(|UnknownPlaceholder(word)| {
        let guess = did_you_mean(&word, &BodyTemplate::PLACEHOLDERS);
        Fault::new(
            format!("unknown placeholder '{{{}}}'", shown(&word)),
            format!("{guess}expected {{retry_after}}, {{rule}} or {{limit}}; a word with blanks in its braces is text"),
        )
    })
}

/// Reads `TYPE/SUBTYPE`, with parameters or without (RFC 9110, section 8.3.1).
fn media_type(text: &str) -> Result<HeaderValue, Fault> {
    let token = |part: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        !part.is_empty() && part.bytes().all(plain)
    };
    let essence = text.split(';').next().unwrap_or_default().trim();
    let sound = essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    let value = HeaderValue::from_str(text.trim()).ok().filter(|_| sound);
    value.ok_or_else(|| Fault::new(format!("invalid media type '{}'", shown(text)), TYPE_HELP))
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
