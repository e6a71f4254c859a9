//! Reads what a rule matches. Pure.

mod host;
mod values;

use http::Method;

use crate::config::diagnostic::{Fault, nearest, shown};
use crate::config::key_table::Kind;
use crate::config::network::networks;
use crate::config::report::Spanned;
use crate::config::section::{Hint, Section};
use crate::config::value::Value;
use crate::policy::condition::Condition;
use crate::policy::matcher::Match;
use crate::policy::path::PathPolicy;
use crate::policy::paths::Paths;
use crate::policy::template::Template;
use host::host;
pub(super) use values::header_lines;
use values::{headers, query};

const HINTS: &[Hint] = &[
    (&["upgrade"], "upgrades are matched by websocket", "expected websocket: true, or websocket: false"),
    (&["cidrs"], "the addresses of clients are matched by clients", "expected clients: [198.51.100.0/24]"),
];
const NOT_HINTS: &[Hint] =
    &[(&["not"], "not cannot be part of not", "expected the condition as one of the rule itself")];

/// Conditions that can be empty, each with the message and the help for that.
const EMPTY: [(&str, &str, &str); 6] = [
    (
        "path",
        "the list of paths is empty",
        "add an item such as /api/*, or leave path out to match every path",
    ),
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
    (
        "query",
        "the mapping of query parameters is empty",
        "add a line such as dry_run: \"true\", or leave query out to match every request",
    ),
    (
        "clients",
        "the list of clients is empty",
        "add an item such as 198.51.100.0/24, or leave clients out to match every client",
    ),
];

/// Reads the conditions. None: there is a fault in them, which has been reported.
pub(in crate::config) fn read(value: &Value<'_>, reading: &PathPolicy) -> Option<Match> {
    value.section(HINTS, |section| {
        let mut matches = conditions(section, reading);
        let not = section.value("not", Kind::Mapping, "");
        matches.not = not.and_then(|not| exclusions(&not, reading)).map(Box::new);
        if section.is_sound() {
            never_matching(section, &matches);
        }
        Some(matches)
    })
}

/// Reads the conditions of which none may hold.
fn exclusions(value: &Value<'_>, reading: &PathPolicy) -> Option<Match> {
    value.section(NOT_HINTS, |section| {
        let matches = conditions(section, reading);
        if section.is_sound() && section.has("path") && matches.path.is_any() {
            let message = "the rule never matches: not excludes every path";
            section.located("path").error(Fault::new(message, "narrow the path, or remove the rule"));
        } else if section.is_sound() && matches.conditions().next().is_none() {
            let help = "add a condition such as headers: { X-Api-Key: \"*\" }, or leave not out";
            section.location.error(Fault::new("not has no condition", help));
        }
        Some(matches)
    })
}

fn conditions(section: &mut Section<'_>, reading: &PathPolicy) -> Match {
    let help = "expected methods, such as [GET, POST]";
    let methods = distinct(section.texts("methods", "methods", help), method, "method");
    let help = "expected paths, such as /api/tasks/{id} or /files/*";
    let path = section.texts("path", "path templates", help).map(|texts| paths(texts, reading));
    let help = "expected hosts, such as api.example.com or \"*.example.com\"";
    let hosts = distinct(section.texts("hosts", "hosts", help), |at| at.check(|text| host(text)), "host");
    let headers = headers(section);
    let query = query(section);
    let clients = section.value("clients", Kind::Texts("networks or addresses"), "");
    let clients = clients.map(|value| networks(&value)).unwrap_or_default();
    let clients = clients.into_iter().map(|at| at.value).collect();
    let websocket = section.value("websocket", Kind::Boolean, "").and_then(|value| value.boolean());
    empty_conditions(section);
    let path = path.unwrap_or_default();
    Match { methods, path, hosts, headers, query, clients, websocket, not: None }
}

/// Reports conditions that no request fulfils.
fn never_matching(section: &Section<'_>, matches: &Match) {
    let upgrades = Condition::WebSocket(true);
    if matches.websocket == Some(true) && matches.conditions().any(|other| upgrades.excludes(&other)) {
        let message = "the rule never matches: an upgrade to WebSocket is a GET, and methods has no GET";
        section.located("websocket").error(Fault::new(message, "expected methods with GET, or no methods"));
    }
    if let Some(condition) = matches.contradiction() {
        let message = format!("the rule never matches: not excludes all of its requests ({condition})");
        section.located("not").error(Fault::new(message, "narrow it, or remove the rule"));
    }
}

/// Reports conditions that are empty: they read like "no request", and would match every request.
fn empty_conditions(section: &Section<'_>) {
    for (key, message, help) in EMPTY {
        if section.is_empty(key) {
            section.located(key).error(Fault::new(message, help));
        }
    }
}

/// Reads path templates.
fn paths(texts: Vec<Spanned<String>>, reading: &PathPolicy) -> Paths {
    let read = |at: &Spanned<String>| at.check(|text| template(text, reading));
    let templates: Vec<Spanned<Template>> = texts.iter().filter_map(read).collect();
    for (index, Spanned { value: path, location }) in templates.iter().enumerate() {
        let covers = |(other, at): &(usize, &Spanned<Template>)| {
            *other != index && at.value.covers(path) && (*other < index || !path.covers(&at.value))
        };
        if let Some((_, cover)) = templates.iter().enumerate().find(covers) {
            let message = format!("the path {path} is superfluous: {} has all of it", cover.value);
            location.warn(message, "remove one of the two");
        }
    }
    templates.into_iter().map(|at| at.value).collect::<Vec<_>>().into()
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
