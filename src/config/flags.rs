//! The text of `--limit`: `[METHODS ]PATH=RATE[,burst=N][,slices=N][,key=PART]...[,mode=MODE][,name=NAME]`. Pure.

use super::Overrides;
use super::diagnostic::{Fault, nearest, shown};
use super::name::{MAX_NAME, is_name};
use super::rate;
use super::report::{Location, Spanned};
use super::schema::{Limit, MODES, Match, Refusal, Rule};
use crate::policy::Mode;

const HELP: &str = "write '[METHODS ]PATH=RATE[,burst=N][,slices=N][,key=PART][,mode=MODE][,name=NAME]', \
                      such as 'GET|POST /api/*=100/min,burst=10'";
const NAME_HELP: &str = "expected name=NAME, 1 to 64 letters, digits, '.', '_' or '-'";

/// Reads all `--limit` flags.
pub(super) fn rules(overrides: &Overrides, root: &Location) -> Vec<Rule> {
    let flag = overrides.variable("--limit").unwrap_or("--limit");
    let rule = |text: &String| {
        let location = root.flag(format!("{flag} '{}'", shown(text)));
        let rule = rule(text, &location);
        location.check(rule)
    };
    overrides.limits.iter().filter_map(rule).collect()
}

fn rule(text: &str, location: &Location) -> Result<Rule, Fault> {
    fn at<T>(value: T, location: &Location) -> Spanned<T> {
        Spanned { value, location: location.clone() }
    }
    let text = text.trim();
    let (methods, rest) = match text.split_once(char::is_whitespace) {
        Some((methods, rest)) if !text.starts_with('/') => (methods, rest.trim_start()),
        _ => ("*", text),
    };
    let mut options = rest.split(',');
    let first = options.next().unwrap_or_default();
    let (path, rate) = first.rsplit_once('=').ok_or_else(|| Fault::new("this is no limit", HELP))?;
    let mut limit = Limit { rate: at(rate::rate(rate)?, location), burst: None, slices: None };
    let mut matches = Match::any();
    matches.path = Some(at(path.trim().to_owned(), location));
    if methods != "*" {
        matches.methods = methods.split('|').map(|method| at(method.to_owned(), location)).collect();
    }
    let mut key: Option<Vec<Spanned<String>>> = None;
    let (mut mode, mut name) = (None, None);
    for option in options {
        let (option, value) = option.split_once('=').unwrap_or((option, ""));
        match option.trim() {
            "burst" if limit.burst.is_none() => {
                limit.burst = Some(at(number(value, 0, i64::from(u32::MAX))?, location))
            }
            "slices" if limit.slices.is_none() => {
                limit.slices = Some(at(number(value, 1, crate::window::Limit::MAX_SLICES)?, location));
            }
            "mode" if mode.is_none() => mode = Some(read_mode(value)?),
            "name" if name.is_none() => name = Some(read_name(value)?),
            // Several parts make one key; none, one bucket for all.
            "key" => {
                let parts = key.get_or_insert_default();
                parts.extend(
                    Some(value).filter(|value| !value.is_empty()).map(|value| at(value.to_owned(), location)),
                );
            }
            "burst" | "slices" | "mode" | "name" => {
                return Err(Fault::new(format!("'{}' stands twice", shown(option)), "keep one of the two"));
            }
            other => {
                let guess = nearest(other, &["burst", "slices", "key", "mode", "name"]);
                let guess = guess.map(|meant| format!("did you mean '{meant}'? ")).unwrap_or_default();
                return Err(Fault::new(
                    format!("there is no option '{}'", shown(other)),
                    format!("{guess}{HELP}"),
                ));
            }
        }
    }
    let mode = mode.unwrap_or_default();
    let name = match name {
        // The path is invalid, which is reported when it is compiled.
        None if !path.trim().starts_with('/') => None,
        None => Some(derived_name(methods, path.trim())?),
        given => given,
    };
    Ok(Rule {
        location: location.clone(),
        name: name.map(|name| at(name, location)),
        matches,
        key,
        on_missing: None,
        limits: vec![limit],
        mode,
        on_outage: None,
        refusal: Refusal::default(),
    })
}

fn number(text: &str, least: i64, most: i64) -> Result<i64, Fault> {
    let value = text.parse().ok().filter(|value| (least..=most).contains(value));
    let fault = || Fault::new(format!("'{}' is no number from {least} to {most}", shown(text)), HELP);
    value.ok_or_else(fault)
}

fn read_mode(text: &str) -> Result<Mode, Fault> {
    let found = MODES.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode);
    found.ok_or_else(|| {
        Fault::new(format!("'{}' is no mode", shown(text)), "write mode=enforce, mode=shadow or mode=off")
    })
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
        return Err(Fault::new("the path has no letter or digit to name the limit by", "add ,name=NAME"));
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
