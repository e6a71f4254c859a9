//! Reads one rule: match, key, limits. Pure.

mod counter_key;
mod limits;
mod matching;
mod refusal;
mod tiers;

use std::sync::Arc;

use super::key_table::Kind;
use super::name::{self, Names};
use super::report::Spanned;
use super::section::Hint;
use super::store::ON_OUTAGE;
use super::value::Value;
use crate::policy::counter_key::{KeyPart, KeySpec, OnMissing};
use crate::policy::matcher::Match;
use crate::policy::path::PathPolicy;
use crate::policy::tier::{RuleTier, Tier};
use crate::policy::{Mode, OnOutage, Rule};
pub(super) use matching::read as conditions;
pub(super) use matching::template;

const HINTS: &[Hint] = &[
    (&["count_on"], "count_on is not built yet", "remove it: every request that passes is counted"),
    (&["window"], "the window is part of the rate", "expected rate: N/DURATION, such as 100/90s"),
    (&["limit"], "the limit is the rate", "expected rate: N/DURATION, such as 100/90s"),
    (&["path"], "path is a condition of match", "expected match: { path: /api/tasks }"),
    (&["methods"], "methods is a condition of match", "expected match: { methods: [GET], path: /api/tasks }"),
    (&["websocket"], "websocket is a condition of match", "expected match: { websocket: true }"),
];
const ON_MISSING: &[(&str, OnMissing)] = &[
    ("client_ip", OnMissing::ClientIp),
    ("shared", OnMissing::Shared),
    ("skip", OnMissing::Skip),
    ("reject", OnMissing::Reject),
];
const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow), ("off", Mode::Off)];

/// What holds for a rule without keys of its own.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'d> {
    pub(super) key: &'d [KeyPart],
    pub(super) on_outage: OnOutage,
    /// How requests' paths are read, and so those of rules.
    pub(super) path: &'d PathPolicy,
    /// The tiers of the file, in order of precedence.
    pub(super) tiers: &'d [Spanned<Arc<Tier>>],
}

/// Reads a rule, at the location of its name. None: there is a fault in it, which has been reported.
pub(super) fn read(value: &Value<'_>, defaults: Defaults<'_>, names: &mut Names) -> Option<Spanned<Rule>> {
    value.section(HINTS, |section| {
        let name = name::read(section);
        let matches = match section.value("match", Kind::Mapping, "") {
            Some(value) => matching::read(&value, defaults.path),
            None => Some(Match::default()),
        };
        let parts = counter_key::read(section, matches.as_ref()).unwrap_or_else(|| defaults.key.to_vec());
        let on_missing = section.word("on_missing", ON_MISSING, OnMissing::default());
        let limits = limits::read(section, name.as_ref().map_or("", |name| &name.value));
        let mode = section.optional_word("mode", MODES, "enforce");
        let needs_rate = mode.as_ref().map_or(!section.has("mode"), |mode| mode.value != Mode::Off);
        // The table of keys would have it as required in any case.
        if needs_rate && !section.has("limits") && !section.location.is_for_keys() {
            limits::require(section);
        }
        if mode.as_ref().is_some_and(|mode| mode.value == Mode::Off) {
            for (key, limits) in [("trial", "the trial limit counts"), ("tiers", "the limits of tiers count")]
            {
                if section.has(key) {
                    let help = format!("remove {key}, or set mode: shadow");
                    section.located(key).key().warn(format!("{limits} nothing: the rule is off"), help);
                }
            }
        }
        let trial = limits::trial(section, name.as_ref().map_or("", |name| &name.value));
        let has_key = !parts.is_empty();
        let tiers =
            tiers::read(section, name.as_ref().map_or("", |name| &name.value), defaults.tiers, has_key);
        let on_outage = section.optional_word("on_outage", ON_OUTAGE, "`store.on_outage`");
        let custom_response = match section.value("refusal", Kind::Mapping, "") {
            Some(value) => refusal::read(&value, name.as_ref().map_or("", |name| &name.value)).map(Some),
            None => Some(None),
        };
        let Spanned { value: name, location } = name.inspect(|name| names.enter(name))?;
        let mut rule = Rule {
            name: name.into(),
            matches: matches?,
            key: KeySpec { parts, on_missing },
            limits,
            trial: trial.map(Box::new),
            tiers: Vec::new(),
            mode: mode.map_or(Mode::default(), |at| at.value),
            on_outage: on_outage.map_or(defaults.on_outage, |at| at.value),
            custom_response: custom_response?.map(Box::new),
        };
        let tiers =
            tiers.into_iter().map(|(tier, limits)| RuleTier { tier, rule: Rule { limits, ..rule.clone() } });
        rule.tiers = tiers.collect();
        Some(Spanned { value: rule, location })
    })
}
