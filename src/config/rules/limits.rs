//! Reads the limits of a rule: its own, or a list of them. Pure.

use std::sync::Arc;

use crate::config::diagnostic::Fault;
use crate::config::key_table::Kind;
use crate::config::rate;
use crate::config::report::{Location, Spanned};
use crate::config::section::{Hint, Section};
use crate::config::yaml::Node;
use crate::policy::NamedLimit;
use crate::window::{Limit, LimitError, Slices};

const RATE_HELP: &str = "expected rate: N/s, N/min, N/h, N/day or N/DURATION, such as 30/min or 100/90s";

/// The keys of a limit.
const KEYS: [&str; 3] = ["rate", "burst", "slices"];

const TRIAL_HINTS: &[Hint] = &[
    (&["limits"], "a trial has a single limit", "expected trial: { rate: 20/min }"),
    (&["mode"], "a trial refuses nothing", "remove mode"),
];

/// Reports the rate if it is missing.
pub(super) fn require(section: &Section<'_>) {
    section.require("rate", "the rate is missing", RATE_HELP);
}

/// Reads the limits. A rule without any is the caller's to judge.
pub(super) fn read(section: &mut Section<'_>, name: &str) -> Vec<NamedLimit> {
    let own = KEYS.into_iter().find(|key| section.has(key)).map(|key| section.located(key).key());
    let single = limit(section);
    let Some(list) = section.value("limits", Kind::List, "") else {
        let named = |at: Spanned<(Limit, Slices)>| {
            let (limit, slices) = at.value;
            NamedLimit::new(name.into(), limit, slices)
        };
        return single.into_iter().map(named).collect();
    };
    if let Some(own) = own {
        let fault = Fault::new(
            "a rule has either a rate of its own or a list of limits",
            "move rate, burst and slices into the list",
        );
        own.collision(fault, &list.location);
    }
    if matches!(list.node, Node::List(items) if items.is_empty()) {
        let fault = Fault::new("the list of limits is empty", "add an item such as { rate: 5/min }");
        list.location.error(fault);
    }
    let items = list.items("expected a list, such as [{ rate: 5/min }, { rate: 50/day }]");
    let limits = items.iter().filter_map(|item| item.section(&[], required));
    distinct(limits.collect(), name)
}

/// Reads the trial limit. Its name, by which its counter goes, is not one that a rule can have.
pub(super) fn trial(section: &mut Section<'_>, name: &str) -> Option<NamedLimit> {
    let value = section.value("trial", Kind::Mapping, "")?;
    let (limit, slices) = value.section(TRIAL_HINTS, required)?.value;
    Some(NamedLimit::new(format!("{name}~trial").into(), limit, slices))
}

/// Names limits after their windows, which differ.
fn distinct(limits: Vec<Spanned<(Limit, Slices)>>, name: &str) -> Vec<NamedLimit> {
    let mut seen: Vec<(i64, Location)> = Vec::new();
    let mut named = Vec::with_capacity(limits.len());
    let is_only = limits.len() == 1;
    for Spanned { value: (limit, slices), location } in limits {
        let window_ms = limit.window_ms();
        if let Some((_, first)) = seen.iter().find(|(window, _)| *window == window_ms) {
            let message =
                format!("duplicate window {}: the rule has two limits of it", rate::label(window_ms));
            let help = "keep the smaller limit: the other one is never reached";
            location.collision(Fault::new(message, help), first);
            continue;
        }
        seen.push((window_ms, location));
        let name: Arc<str> = match is_only {
            true => name.into(),
            false => format!("{name}:{}", rate::label(window_ms)).into(),
        };
        named.push(NamedLimit::new(name, limit, slices));
    }
    named
}

/// Reads a limit whose rate must be there.
fn required(section: &mut Section<'_>) -> Option<Spanned<(Limit, Slices)>> {
    let limit = limit(section);
    require(section);
    limit
}

/// Reads one limit and the slices that it asks for, at the location of its rate.
fn limit(section: &mut Section<'_>) -> Option<Spanned<(Limit, Slices)>> {
    let rate = section.value("rate", Kind::Text("rate"), "");
    let burst = section.number("burst", 0..=u32::MAX.into(), 0);
    let slices = slices(section);
    let at = rate?.parsed("a rate", RATE_HELP, rate::rate)?;
    let rate = at.value;
    let chosen = slices.as_ref().map_or(Slices::Auto, |at| at.value);
    let allowance = burst.as_ref().map_or(0, |at| at.value);
    let number = chosen.number(rate.quota, allowance, rate.window_ms);
    match Limit::new(rate.quota, allowance, rate.window_ms, number) {
        Ok(limit) => Some(Spanned { value: (limit, chosen), location: at.location }),
        Err(error) => {
            let (location, help) = match error {
                LimitError::NoQuota => (None, "expected 1 or more; mode: off switches the rule off"),
                LimitError::NegativeBurst => (burst.map(|at| at.location), "expected 0 or more"),
                LimitError::Window => (None, "expected a window from 1ms to 366d"),
                LimitError::Slices => (slices.map(|at| at.location), "expected fewer slices, or auto"),
                LimitError::Count => (None, "expected a lower rate, or a lower burst"),
                LimitError::Precision => (
                    None,
                    "expected the same rate over a shorter window: 1000000/s instead of 86400000000/day",
                ),
            };
            location.unwrap_or(at.location).error(Fault::new(error.to_string(), help));
            None
        }
    }
}

/// Reads a number, or the word for as many slices as the limit needs.
fn slices(section: &mut Section<'_>) -> Option<Spanned<Slices>> {
    let (auto, most) = ("auto", Limit::MAX_SLICES);
    let value = section.value("slices", Kind::WordOrInteger(auto, 1, most), auto)?;
    if matches!(value.node, Node::Text(text) if text == auto) {
        return Some(Spanned { value: Slices::Auto, location: value.location });
    }
    let number = value.integer_or((1, most), auto)?;
    Some(Spanned { value: Slices::Exactly(number.value), location: number.location })
}
