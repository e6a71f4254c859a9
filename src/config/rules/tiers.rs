//! Reads the limits of a rule for tiers. Pure.

use std::sync::Arc;

use super::limits;
use crate::config::diagnostic::{Fault, did_you_mean, shown};
use crate::config::key_table::{ANY_NAME, Kind};
use crate::config::report::Spanned;
use crate::config::section::Section;
use crate::config::value::Value;
use crate::config::yaml::{Node, Step};
use crate::policy::NamedLimit;
use crate::policy::tier::{Tier, TierCondition};

const UNLIMITED: &str = "unlimited";
const HELP: &str = "expected { rate: 300/min }, { limits: [{ rate: 300/min }] }, or unlimited";

/// The limits of a tier. Without any it is unlimited.
pub(super) type TierLimits = (Arc<Tier>, Vec<NamedLimit>);

/// Reads the limits of the rule `rule` for each tier that it names, in the order of the tiers. `has_key`: the rule tells
/// clients apart.
pub(super) fn read(
    section: &mut Section<'_>,
    rule: &str,
    tiers: &[Spanned<Arc<Tier>>],
    has_key: bool,
) -> Vec<TierLimits> {
    let Some(value) = section.value("tiers", Kind::Mapping, "") else { return Vec::new() };
    if value.location.is_for_keys() {
        let any = value.location.then(Step::Absent(ANY_NAME));
        any.enter_key(Kind::WordOrMapping(UNLIMITED), String::new());
        limits_of(&Value::empty(any), rule);
        return Vec::new();
    }
    let lines = value.entries("expected a tier and its limits on each line, such as gold: { rate: 300/min }");
    let mut found: Vec<(usize, Vec<NamedLimit>)> = Vec::new();
    for (name, value) in lines.unwrap_or_default() {
        let limits = limits_of(&value, rule);
        let Some(index) = tiers.iter().position(|tier| *tier.value.name == *name) else {
            let names: Vec<&str> = tiers.iter().map(|tier| &*tier.value.name).collect();
            let help = match &*names {
                [] => "add it to tiers: at the top of the file".to_owned(),
                names => format!("{}the tiers are {}", did_you_mean(name, names), names.join(", ")),
            };
            value.location.key().error(Fault::new(format!("unknown tier '{}'", shown(name)), help));
            continue;
        };
        let goes_by_keys =
            tiers.get(index).is_some_and(|at| matches!(at.value.condition, TierCondition::Keys(_)));
        if goes_by_keys && !has_key {
            let message =
                format!("no request belongs to the tier '{}' here: the rule has no key", shown(name));
            value.location.key().warn(message, "add key: with the part whose values are in keys_file");
        }
        found.extend(limits.map(|limits| (index, limits)));
    }
    found.sort_by_key(|(index, _)| *index);
    let tier = |index: usize| tiers.get(index).map(|at| Arc::clone(&at.value));
    found.into_iter().filter_map(|(index, limits)| Some((tier(index)?, limits))).collect()
}

fn limits_of(value: &Value<'_>, rule: &str) -> Option<Vec<NamedLimit>> {
    if let Node::Text(text) = value.node {
        let known = text == UNLIMITED;
        if !known {
            let guess = did_you_mean(text, &[UNLIMITED]);
            let message = format!("invalid limits '{}'", shown(text));
            value.location.error(Fault::new(message, format!("{guess}{HELP}")));
        }
        return known.then(Vec::new);
    }
    value.section(&[], |section| {
        let limits = limits::read(section, rule);
        // The table of keys would have it as required in any case.
        if !section.has("limits") && !section.location.is_for_keys() {
            limits::require(section);
        }
        Some(limits)
    })
}
