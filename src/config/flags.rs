//! The text of `--limit`: `[METHODS ]PATH=RATE[,burst=N][,slices=N][,key=PART]...[,mode=MODE]`. Pure.

use super::problem::{Wrong, nearest, shown};
use super::rate;
use super::report::{At, Place, Report};
use super::schema::{Limit, MODES, Match, Refusal, Rule};
use crate::policy::Mode;

const REMEDY: &str = "write '[METHODS ]PATH=RATE[,burst=N][,slices=N][,key=PART][,mode=MODE]', \
                      such as 'GET|POST /api/*=100/min,burst=10'";

/// Reads all `--limit` flags; the rules are named `limit-1`, `limit-2`, ...
pub(super) fn rules(limits: &[String], report: &mut Report) -> Vec<Rule> {
    let rule = |(place, text): (usize, &String)| {
        let name = format!("limit-{}", place + 1);
        let place = Place::Flag(format!("--limit '{}'", shown(text)));
        let rule = rule(name, text, &place);
        report.take(&place, rule)
    };
    limits.iter().enumerate().filter_map(rule).collect()
}

fn rule(name: String, text: &str, place: &Place) -> Result<Rule, Wrong> {
    fn at<T>(value: T, place: &Place) -> At<T> {
        At { value, place: place.clone() }
    }
    let text = text.trim();
    let (methods, rest) = match text.split_once(char::is_whitespace) {
        Some((methods, rest)) if !text.starts_with('/') => (methods, rest.trim_start()),
        _ => ("*", text),
    };
    let mut options = rest.split(',');
    let first = options.next().unwrap_or_default();
    let (path, rate) = first.rsplit_once('=').ok_or_else(|| Wrong::new("this is no limit", REMEDY))?;
    let mut limit = Limit { rate: at(rate::rate(rate)?, place), burst: None, slices: None };
    let mut matches = Match::any();
    matches.path = Some(at(path.trim().to_owned(), place));
    if methods != "*" {
        matches.methods = methods.split('|').map(|method| at(method.to_owned(), place)).collect();
    }
    let mut key: Option<Vec<At<String>>> = None;
    let mut mode = None;
    for option in options {
        let (option, value) = option.split_once('=').unwrap_or((option, ""));
        match option.trim() {
            "burst" if limit.burst.is_none() => {
                limit.burst = Some(at(number(value, 0, i64::from(u32::MAX))?, place))
            }
            "slices" if limit.slices.is_none() => {
                limit.slices = Some(at(number(value, 1, crate::window::Limit::MAX_SLICES)?, place));
            }
            "mode" if mode.is_none() => mode = Some(read_mode(value)?),
            // Several parts make one key; none, one bucket for all.
            "key" => {
                let parts = key.get_or_insert_default();
                parts.extend(
                    Some(value).filter(|value| !value.is_empty()).map(|value| at(value.to_owned(), place)),
                );
            }
            "burst" | "slices" | "mode" => {
                return Err(Wrong::new(format!("'{}' stands twice", shown(option)), "keep one of the two"));
            }
            other => {
                let guess = nearest(other, &["burst", "slices", "key", "mode"]);
                let guess = guess.map(|meant| format!("did you mean '{meant}'? ")).unwrap_or_default();
                return Err(Wrong::new(
                    format!("there is no option '{}'", shown(other)),
                    format!("{guess}{REMEDY}"),
                ));
            }
        }
    }
    let mode = mode.unwrap_or_default();
    Ok(Rule {
        name: Some(at(name, place)),
        matches,
        key,
        on_missing: None,
        limits: vec![limit],
        mode,
        on_outage: None,
        refusal: Refusal::default(),
    })
}

fn number(text: &str, least: i64, most: i64) -> Result<i64, Wrong> {
    let value = text.parse().ok().filter(|value| (least..=most).contains(value));
    let wrong = || Wrong::new(format!("'{}' is no number from {least} to {most}", shown(text)), REMEDY);
    value.ok_or_else(wrong)
}

fn read_mode(text: &str) -> Result<Mode, Wrong> {
    let found = MODES.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode);
    found.ok_or_else(|| {
        Wrong::new(format!("'{}' is no mode", shown(text)), "write mode=enforce, mode=shadow or mode=off")
    })
}
