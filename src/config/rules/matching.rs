//! Reads what a rule matches. Pure.

use std::net::Ipv6Addr;

use http::{HeaderName, HeaderValue, Method};

use crate::config::diagnostic::{Fault, nearest, shown};
use crate::config::key_table::Kind;
use crate::config::readable_header::{Purpose, readable};
use crate::config::report::Spanned;
use crate::config::section::{Hint, Section};
use crate::config::value::Value;
use crate::policy::header::HeaderPattern;
use crate::policy::matcher::{HostPattern, Match};
use crate::policy::path::PathPolicy;
use crate::policy::template::Template;

const HINTS: &[Hint] =
    &[(&["upgrade"], "upgrades are matched by websocket", "expected websocket: true, or websocket: false")];

/// Conditions that can be empty, each with the message and the help for that.
const EMPTY: [(&str, &str, &str); 3] = [
    (
        "methods",
        "the list of methods is empty",
        "add an item such as GET, or leave methods out to match every method",
    ),
    (
        "hosts",
        "the list of hosts is empty",
        "add an item such as api.example.com, or leave hosts out to match every host",
    ),
    (
        "headers",
        "the mapping of headers is empty",
        "add a line such as X-Plan: pro, or leave headers out to match every request",
    ),
];

/// Reads the conditions. None: there is a fault in them, which has been reported.
pub(in crate::config) fn read(value: &Value<'_>, reading: &PathPolicy) -> Option<Match> {
    value.section(HINTS, |section| {
        let methods = section.texts("methods", "methods", "expected methods, such as [GET, POST]");
        let methods = distinct(methods, method, "method");
        let help = "expected a path, such as /api/tasks/{id} or /files/*";
        let path = section.text("path", "path template", help);
        let path = path.and_then(|at| at.check(|text| template(text, reading)));
        let help = "expected hosts, such as api.example.com or \"*.example.com\"";
        let hosts = distinct(section.texts("hosts", "hosts", help), |at| at.check(|text| host(text)), "host");
        let headers = headers(section);
        empty_conditions(section);
        let websocket = section.value("websocket", Kind::Boolean, "");
        let websocket = websocket.and_then(|value| Some((value.boolean()?, value.location)));
        let is_sound = section.is_sound();
        let matches = Match {
            methods,
            path: path.map_or_else(Template::any, |at| at.value),
            hosts,
            headers,
            websocket: websocket.as_ref().map(|(wanted, _)| *wanted),
        };
        if let (Some((true, location)), true) = (websocket, is_sound)
            && !matches.admits_method(&Method::GET)
        {
            let message = "the rule never matches: an upgrade to WebSocket is a GET, and methods has no GET";
            location.error(Fault::new(message, "expected methods with GET, or no methods"));
        }
        Some(matches)
    })
}

/// Reports conditions that are empty: they read like "no request", and would match every request.
fn empty_conditions(section: &Section<'_>) {
    for (key, message, help) in EMPTY {
        if section.is_empty(key) {
            section.located(key).error(Fault::new(message, help));
        }
    }
}

/// Reads a path template.
pub(in crate::config) fn template(text: &str, reading: &PathPolicy) -> Result<Template, Fault> {
    Template::parse(text, reading).map_err(|error| {
        let message = format!("invalid path '{}': {error}", shown(text));
        Fault::new(message, "expected a path such as /api/tasks, /api/tasks/{id} or /files/*")
    })
}

/// What is read from the texts, each once.
fn distinct<T: PartialEq>(
    texts: Option<Vec<Spanned<String>>>,
    read: impl Fn(&Spanned<String>) -> Option<Spanned<T>>,
    what: &str,
) -> Vec<T> {
    let mut values = Vec::new();
    for Spanned { value, location } in texts.unwrap_or_default().iter().filter_map(read) {
        if values.contains(&value) {
            location.error(Fault::new(format!("duplicate {what}"), "keep one of the two"));
        } else {
            values.push(value);
        }
    }
    values
}

fn method(at: &Spanned<String>) -> Option<Spanned<Method>> {
    const USUAL: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let Spanned { value: text, location } = at;
    let upper = text.to_ascii_uppercase();
    let parsed = Method::from_bytes(text.as_bytes());
    let result = match parsed {
        _ if matches!(&*upper, "CONNECT" | "TRACE") => {
            Err(Fault::new(format!("{upper} never matches: tidegate refuses such requests"), "remove it"))
        }
        _ if upper != *text => Err(Fault::new(
            format!("'{}' never matches: methods are upper case", shown(text)),
            format!("expected {}", shown(&upper)),
        )),
        Ok(method) => Ok(method),
        Err(_) => Err(Fault::new(
            format!("invalid method \'{}\'", shown(text)),
            "expected methods, such as [GET, POST]",
        )),
    };
    let value = location.check(result)?;
    if !USUAL.contains(&&**text)
        && let Some(meant) = nearest(text, &USUAL)
    {
        location.warn(format!("unusual method '{}'", shown(text)), format!("did you mean {meant}?"));
    }
    Some(Spanned { value, location: location.clone() })
}

fn host(text: &str) -> Result<HostPattern, Fault> {
    const HELP: &str = "expected a name such as api.example.com, or \"*.example.com\" for all names below it";
    let fault = |why: &str| Fault::new(format!("invalid host '{}'{why}", shown(text)), HELP);
    if !text.is_ascii() {
        let message = format!("invalid host '{}': it is not ASCII", shown(text));
        return Err(Fault::new(message, "expected the name as it is sent, in punycode: xn--..."));
    }
    let lower = text.to_ascii_lowercase();
    if let Some(inner) = lower.strip_prefix('[') {
        // Compared without the brackets, in the form that clients send.
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| HostPattern::Exact(address.to_string().into()))
            .ok_or_else(|| fault(""));
    }
    if lower.contains("://") || lower.contains('/') {
        return Err(fault(": it is a URL"));
    }
    if lower.contains(':') {
        return Err(fault(": it has a port, and hosts are compared without it"));
    }
    if lower == "*" {
        return Err(Fault::new("invalid host '*'", "leave hosts out to match every host"));
    }
    let (below, name) = lower.strip_prefix("*.").map_or((false, &*lower), |name| (true, name));
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(fault(""));
    }
    Ok(if below { HostPattern::Below(format!(".{name}").into()) } else { HostPattern::Exact(name.into()) })
}

fn headers(section: &mut Section<'_>) -> Vec<(HeaderName, HeaderPattern)> {
    let help = "expected a text in quotes: an exact value, the start of one such as \"Bearer *\", or \"*\" for any \
                value";
    let mut headers: Vec<(HeaderName, HeaderPattern)> = Vec::new();
    for (name, at) in header_lines(section, help) {
        let key = at.location.key();
        let Some(name) = key.check(header_name(name)) else { continue };
        let Some(pattern) = at.check(|value| pattern(&name, value)) else { continue };
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
pub(super) fn header_lines<'n>(section: &mut Section<'n>, help: &str) -> Vec<(&'n str, Spanned<String>)> {
    let lines = section.value("headers", Kind::Mapping, "");
    let lines = lines.and_then(|lines| lines.entries("expected NAME: VALUE for each header"));
    lines.unwrap_or_default().into_iter().filter_map(|(name, line)| Some((name, line.text(help)?))).collect()
}

fn header_name(text: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(format!("invalid header name \'{}\'", shown(text)), "expected a name such as X-Plan")
    })?;
    readable(&name, Purpose::Condition).map(|()| name)
}

fn pattern(name: &HeaderName, text: &str) -> Result<HeaderPattern, Fault> {
    let (fixed, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
    if fixed.contains('*') {
        let message = format!("invalid value '{}': a '*' is only valid at the end", shown(text));
        let help = "expected an exact value, the start of one such as \"Bearer *\", or \"*\" for any value";
        return Err(Fault::new(message, help));
    }
    if open && fixed.is_empty() {
        return Ok(HeaderPattern::Present);
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
    Ok(if open { HeaderPattern::starts_with(name, &value) } else { HeaderPattern::equals(name, &value) })
}
