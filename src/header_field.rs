//! Header fields as people write them. Pure.

use http::{HeaderName, HeaderValue};

/// Reads a header field: `NAME: VALUE`.
///
/// # Errors
/// When it is not one. The error repeats no value, which may be a secret.
pub(crate) fn read(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("expected 'NAME: VALUE'")?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|error| error.to_string())?;
    Ok((name, value))
}
