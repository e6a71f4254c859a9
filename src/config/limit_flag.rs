//! The text of `--limit`: `[METHODS ]PATH=RATE[,burst=N][,slices=N|auto][,key=PART]...[,mode=MODE][,name=NAME]`. Pure.

use super::Overrides;
use super::diagnostic::{Fault, did_you_mean, shown};
use super::name::{MAX_NAME, is_name};
use super::report::Location;
use super::rules;
use super::yaml::Node;
use crate::policy::path::PathPolicy;

const HELP: &str = "expected '[METHODS ]PATH=RATE[,burst=N][,slices=N|auto][,key=PART][,mode=MODE][,name=NAME]', \
                      such as 'GET|POST /api/*=100/min,burst=10'";
const NAME_HELP: &str = "expected name=NAME, 1 to 64 ASCII letters, digits, '.', '_' or '-'";

/// Turns all `--limit` flags into rules as the file has them, each with its location.
pub(super) fn limits(overrides: &Overrides, root: &Location) -> Vec<(Node, Location)> {
    let flag = overrides.variable("--limit").unwrap_or("--limit");
    let rule = |text: &String| {
        let location = root.flag(format!("{flag} '{}'", shown(text)));
        Some((location.check(rule(text))?, location))
    };
    overrides.limits.iter().filter_map(rule).collect()
}

fn rule(text: &str) -> Result<Node, Fault> {
    let text = text.trim();
    let (methods, rest) = match text.split_once(char::is_whitespace) {
        Some((methods, rest)) if !text.starts_with('/') => (methods, rest.trim_start()),
        _ => ("*", text),
    };
    let mut options = rest.split(',');
    let first = options.next().unwrap_or_default();
    let (path, rate) = first.rsplit_once('=').ok_or_else(|| Fault::new("invalid limit", HELP))?;
    let path = path.trim();
    let mut matches = vec![("path", Node::text(path))];
    if methods != "*" {
        if methods.split('|').any(str::is_empty) {
            return Err(Fault::new("a method is missing", HELP));
        }
        matches.push(("methods", Node::List(methods.split('|').map(Node::text).collect())));
    }
    let mut rule = vec![("match", Node::map(matches)), ("rate", Node::text(rate))];
    let (mut key, mut name) = (None, None);
    for option in options {
        let (option, value) = option.split_once('=').unwrap_or((option, ""));
        let option = match option.trim() {
            // Several parts make one key; none, one bucket for all.
            "key" => {
                let parts: &mut Vec<Node> = key.get_or_insert_default();
                parts.extend(Some(value).filter(|value| !value.is_empty()).map(Node::text));
                continue;
            }
            "name" if name.is_none() => {
                name = Some(read_name(value)?);
                continue;
            }
            "burst" => "burst",
            "slices" => "slices",
            "mode" => "mode",
            "name" => "name",
            other => {
                let guess = did_you_mean(other, &["burst", "slices", "key", "mode", "name"]);
                return Err(Fault::new(
                    format!("unknown option '{}'", shown(other)),
                    format!("{guess}{HELP}"),
                ));
            }
        };
        if option == "name" || rule.iter().any(|(given, _)| *given == option) {
            return Err(Fault::new(format!("duplicate option '{option}'"), "keep one of the two"));
        }
        rule.push((option, value.parse().map_or_else(|_| Node::text(value), Node::Int)));
    }
    rule.extend(key.map(|parts| ("key", Node::List(parts))));
    let name = match name {
        // Reports what the path is to begin with.
        None if !path.starts_with('/') => {
            rules::template(path, &PathPolicy::default())?;
            derived_name(methods, path)?
        }
        None => derived_name(methods, path)?,
        Some(name) => name,
    };
    rule.push(("name", Node::Text(name)));
    Ok(Node::map(rule))
}

fn read_name(text: &str) -> Result<String, Fault> {
    let fits = is_name(text, MAX_NAME).then(|| text.to_owned());
    fits.ok_or_else(|| Fault::new(format!("invalid name '{}'", shown(text)), NAME_HELP))
}

/// The name of a limit that has no `name=`: its methods in lower case and in the order of the alphabet, then its path,
/// so `GET|POST /api/*` is `get-post-api`. It depends on nothing else, as counters in Redis go by it: adding, removing
/// or reordering other limits must not give a limit another's counter.
fn derived_name(methods: &str, path: &str) -> Result<String, Fault> {
    let mut parts: Vec<String> = match methods {
        "*" => Vec::new(),
        _ => methods.split('|').map(str::to_ascii_lowercase).collect(),
    };
    parts.sort_unstable();
    let path = match path {
        "/" => "root".to_owned(),
        "/*" => "all".to_owned(),
        _ => slug(path),
    };
    if path.is_empty() {
        return Err(Fault::new(
            "the path has no ASCII letter or digit to name the limit by",
            "add ,name=NAME",
        ));
    }
    parts.push(path);
    let mut name = slug(&parts.join("-"));
    name.truncate(MAX_NAME);
    name.truncate(name.trim_end_matches('-').len());
    Ok(name)
}

/// The text with each run of characters that a name cannot have, or of dashes, made one dash; none at either end.
fn slug(text: &str) -> String {
    let parts = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_')));
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}
