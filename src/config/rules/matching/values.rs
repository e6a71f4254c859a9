//! Reads what a rule demands of values: those of header fields and of query parameters. Pure.

use http::{HeaderName, HeaderValue};

use crate::config::diagnostic::{Fault, shown};
use crate::config::key_table::Kind;
use crate::config::readable_header::{Purpose, readable};
use crate::config::report::{Location, Spanned};
use crate::config::section::Section;
use crate::policy::header;
use crate::policy::pattern::ValuePattern;

const HELP: &str = "expected a text in quotes: an exact value, the start of one such as \"Bearer *\", or \"*\" for any value";

pub(super) fn headers(section: &mut Section<'_>) -> Vec<(HeaderName, ValuePattern)> {
    let mut headers: Vec<(HeaderName, ValuePattern)> = Vec::new();
    for (name, at) in header_lines(section, HELP) {
        let key = at.location.key();
        let Some(name) = key.check(header_name(name)) else { continue };
        let Some(pattern) = at.check(|value| header_pattern(&name, value)) else { continue };
        if headers.iter().any(|(other, _)| *other == name) {
            let message = format!("duplicate header {name}: the case of a name makes no difference");
            key.error(Fault::new(message, "keep one of the two"));
        } else {
            headers.push((name, pattern.value));
        }
    }
    headers
}

/// Names of headers, and a text for each. The location of the text is that of the line.
pub(in crate::config::rules) fn header_lines<'n>(
    section: &mut Section<'n>,
    help: &str,
) -> Vec<(&'n str, Spanned<String>)> {
    lines(section, "headers", "expected NAME: VALUE for each header", help)
}

fn lines<'n>(
    section: &mut Section<'n>,
    key: &'static str,
    expected: &str,
    help: &str,
) -> Vec<(&'n str, Spanned<String>)> {
    let lines = section.value(key, Kind::Mapping, "").and_then(|lines| lines.entries(expected));
    lines.unwrap_or_default().into_iter().filter_map(|(name, line)| Some((name, line.text(help)?))).collect()
}

/// Reads the conditions on query parameters. Their names and values are those that remain when they are decoded.
pub(super) fn query(section: &mut Section<'_>) -> Vec<(Box<str>, ValuePattern)> {
    let mut query = Vec::new();
    for (name, at) in lines(section, "query", "expected NAME: VALUE for each query parameter", HELP) {
        let key = at.location.key();
        if name.is_empty() {
            key.error(Fault::new(
                "the name of the query parameter is empty",
                "expected a name such as dry_run",
            ));
        }
        warn_of_escapes(&key, name);
        warn_of_escapes(&at.location, &at.value);
        let Some(pattern) = at.check(|text| query_pattern(text)) else { continue };
        query.push((name.into(), pattern.value));
    }
    query
}

fn query_pattern(text: &str) -> Result<ValuePattern, Fault> {
    let (fixed, open) = split(text)?;
    let bytes = fixed.as_bytes().into();
    Ok(match open {
        true if fixed.is_empty() => ValuePattern::Present,
        true => ValuePattern::StartsWith(bytes),
        false => ValuePattern::Equals(bytes),
    })
}

/// Warns of escapes: what requests have is decoded before it is compared.
fn warn_of_escapes(location: &Location, text: &str) {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    if decoded != text {
        let message = format!(
            "'{}' hardly ever matches: names and values are compared when they are decoded",
            shown(text)
        );
        location.warn(message, format!("expected '{}'", shown(&decoded)));
    }
}

fn header_name(text: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(format!("invalid header name \'{}\'", shown(text)), "expected a name such as X-Plan")
    })?;
    readable(&name, Purpose::Condition).map(|()| name)
}

/// Splits a text into what a value is or starts with, and whether something may follow.
fn split(text: &str) -> Result<(&str, bool), Fault> {
    let (fixed, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
    if fixed.contains('*') {
        let message = format!("invalid value '{}': a '*' is only valid at the end", shown(text));
        let help = "expected an exact value, the start of one such as \"Bearer *\", or \"*\" for any value";
        return Err(Fault::new(message, help));
    }
    Ok((fixed, open))
}

fn header_pattern(name: &HeaderName, text: &str) -> Result<ValuePattern, Fault> {
    let (fixed, open) = split(text)?;
    if open && fixed.is_empty() {
        return Ok(ValuePattern::Present);
    }
    let never = |what: &str| {
        let message = format!("the value '{}' never matches: it {what}", shown(text));
        Fault::new(message, "expected the value as it is sent, in printable ASCII")
    };
    if fixed.trim_start() != fixed {
        return Err(never("starts with a blank"));
    }
    // Behind the start of a value there may be one: "Bearer *".
    if !open && fixed.trim_end() != fixed {
        return Err(never("ends with a blank"));
    }
    let value = HeaderValue::from_str(fixed).map_err(|_| never("has a character that no header can have"))?;
    Ok(if open { header::starts_with(name, &value) } else { header::equals(name, &value) })
}
