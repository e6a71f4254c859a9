//! Compiles what a rule matches. Pure.

use std::net::Ipv6Addr;

use http::{HeaderName, HeaderValue, Method};

use crate::config::header::{Purpose, readable};
use crate::config::problem::{Wrong, nearest, shown};
use crate::config::report::{At, Place, Report};
use crate::config::schema;
use crate::policy::header::HeaderPattern;
use crate::policy::matcher::{HostPattern, Match};
use crate::policy::path::PathPolicy;
use crate::policy::template::Template;

/// Compiles the conditions. None: something is wrong with them, and the report says what.
pub(super) fn compile(shape: &schema::Match, reading: &PathPolicy, report: &mut Report) -> Option<Match> {
    let before = report.errors();
    let path = match &shape.path {
        Some(at) => report.take(&at.place, template(&at.value, reading)).unwrap_or_else(Template::any),
        None => Template::any(),
    };
    let methods = shape.methods.iter().filter_map(|at| method(at, report)).collect();
    let methods = distinct(methods, "method", report);
    let hosts = shape.hosts.iter().filter_map(|at| {
        let host = report.take(&at.place, host(&at.value))?;
        Some(At { value: host, place: at.place.clone() })
    });
    let hosts = hosts.collect();
    let hosts = distinct(hosts, "host", report);
    let headers = headers(shape, report);
    let websocket = shape.websocket.as_ref().map(|at| at.value);
    let matches = Match { methods, path, hosts, headers, websocket };
    if !shape.sound || report.errors() > before {
        return None;
    }
    match &shape.websocket {
        Some(at) if at.value && !matches.admits_method(&Method::GET) => {
            let message = "the rule never matches: an upgrade to WebSocket is a GET, and methods has no GET";
            report.error(&at.place, Wrong::new(message, "expected methods with GET, or no methods"));
            None
        }
        _ => Some(matches),
    }
}

/// Reads a path template.
pub(in crate::config) fn template(text: &str, reading: &PathPolicy) -> Result<Template, Wrong> {
    Template::parse(text, reading).map_err(|error| {
        let message = format!("'{}' is no path: {error}", shown(text));
        Wrong::new(message, "write a path such as /api/tasks, /api/tasks/{id} or /files/*")
    })
}

/// The values, each once.
fn distinct<T: PartialEq>(items: Vec<At<T>>, what: &str, report: &mut Report) -> Vec<T> {
    let mut values = Vec::with_capacity(items.len());
    for At { value, place } in items {
        if values.contains(&value) {
            report.error(&place, Wrong::new(format!("this {what} stands twice"), "keep one of the two"));
        } else {
            values.push(value);
        }
    }
    values
}

fn method(at: &At<String>, report: &mut Report) -> Option<At<Method>> {
    const USUAL: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let At { value: text, place } = at;
    let upper = text.to_ascii_uppercase();
    let parsed = Method::from_bytes(text.as_bytes());
    let result = match parsed {
        _ if matches!(&*upper, "CONNECT" | "TRACE") => {
            Err(Wrong::new(format!("{upper} never comes this far: tidegate refuses it"), "remove it"))
        }
        _ if upper != *text => Err(Wrong::new(
            format!("'{}' never matches: methods are upper case", shown(text)),
            format!("write {}", shown(&upper)),
        )),
        Ok(method) => Ok(method),
        Err(_) => {
            Err(Wrong::new(format!("'{}' is no method", shown(text)), "write methods, such as [GET, POST]"))
        }
    };
    let value = report.take(place, result)?;
    if !USUAL.contains(&&**text)
        && let Some(meant) = nearest(text, &USUAL)
    {
        report.warn(place, format!("'{}' is no usual method", shown(text)), format!("did you mean {meant}?"));
    }
    Some(At { value, place: place.clone() })
}

fn host(text: &str) -> Result<HostPattern, Wrong> {
    const REMEDY: &str = "write a name such as api.example.com, or \"*.example.com\" for all names below it";
    let wrong = |what: &str| Wrong::new(format!("'{}' {what}", shown(text)), REMEDY);
    if !text.is_ascii() {
        let message = format!("'{}' is not ASCII", shown(text));
        return Err(Wrong::new(message, "write the name as it is sent, in punycode: xn--..."));
    }
    let lower = text.to_ascii_lowercase();
    if let Some(inner) = lower.strip_prefix('[') {
        // Compared without the brackets, in the form that clients send.
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| HostPattern::Exact(address.to_string().into()))
            .ok_or_else(|| wrong("is no host"));
    }
    if lower.contains("://") || lower.contains('/') {
        return Err(wrong("is a URL, not a host"));
    }
    if lower.contains(':') {
        return Err(wrong("holds a port: hosts are compared without it"));
    }
    if lower == "*" {
        return Err(Wrong::new("'*' stands for no host name", "leave hosts out to match every host"));
    }
    let (below, name) = lower.strip_prefix("*.").map_or((false, &*lower), |name| (true, name));
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(wrong("is no host"));
    }
    Ok(if below { HostPattern::Below(format!(".{name}").into()) } else { HostPattern::Exact(name.into()) })
}

fn headers(shape: &schema::Match, report: &mut Report) -> Vec<(HeaderName, HeaderPattern)> {
    let mut headers: Vec<(HeaderName, HeaderPattern)> = Vec::with_capacity(shape.headers.len());
    for At { value: (name, value), place } in &shape.headers {
        let Some((name, pattern)) = header(name, value, place, report) else { continue };
        if headers.iter().any(|(other, _)| *other == name) {
            let message = format!("the header {name} stands twice: case makes no difference");
            report.error(&place.clone().key(), Wrong::new(message, "keep one of the two"));
        } else {
            headers.push((name, pattern));
        }
    }
    headers
}

fn header(
    name: &str,
    value: &str,
    place: &Place,
    report: &mut Report,
) -> Option<(HeaderName, HeaderPattern)> {
    let key = place.clone().key();
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        Wrong::new(format!("'{}' is no header name", shown(name)), "write a name such as X-Plan")
    });
    let name = parsed.and_then(|name| readable(&name, Purpose::Condition).map(|()| name));
    let name = report.take(&key, name)?;
    report.take(place, pattern(&name, value)).map(|pattern| (name, pattern))
}

fn pattern(name: &HeaderName, text: &str) -> Result<HeaderPattern, Wrong> {
    let (fixed, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
    if fixed.contains('*') {
        let message = format!("invalid value '{}': a '*' is only valid at the end", shown(text));
        let help = "expected an exact value, the start of one such as \"Bearer *\", or \"*\" for any value";
        return Err(Wrong::new(message, help));
    }
    if open && fixed.is_empty() {
        return Ok(HeaderPattern::Present);
    }
    let never = |what: &str| {
        let message = format!("the value '{}' never matches: it {what}", shown(text));
        Wrong::new(message, "write the value as it is sent, in printable ASCII")
    };
    if fixed.trim_start() != fixed {
        return Err(never("starts with a blank"));
    }
    // Behind the start of a value there may be one: "Bearer *".
    if !open && fixed.trim_end() != fixed {
        return Err(never("ends with a blank"));
    }
    let value = HeaderValue::from_str(fixed).map_err(|_| never("holds what no header can"))?;
    Ok(if open { HeaderPattern::starts_with(name, &value) } else { HeaderPattern::equals(name, &value) })
}
