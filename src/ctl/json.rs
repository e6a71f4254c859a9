//! Parts of the JSON of responses, as texts. Pure.

use serde_json::Value;

/// A value as a text.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// The items of a list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// `100/min burst 20`.
pub(super) fn limit(limit: &Value) -> String {
    match limit["burst"].as_i64() {
        Some(burst) if burst > 0 => format!("{} burst {burst}", text(&limit["rate"])),
        _ => text(&limit["rate"]),
    }
}
