//! Reads the tiers: which clients have other limits than the rest. Pure.

use std::path::PathBuf;
use std::sync::Arc;

use super::diagnostic::{Fault, shown};
use super::key_table::Kind;
use super::name::{self, Names};
use super::report::{Location, Spanned};
use super::rules::conditions;
use super::secret::{SecretSource, Secrets};
use super::section::{Hint, Section};
use super::value::Value;
use crate::policy::Rule;
use crate::policy::counter_key::HashKey;
use crate::policy::matcher::Match;
use crate::policy::path::PathPolicy;
use crate::policy::tier::{KeySet, Tier, TierCondition};

const HINTS: &[Hint] = &[
    (&["keys"], "keys do not belong in this file", "name a file with one key a line in keys_file"),
    (
        &["rate", "burst", "limits", "unlimited"],
        "the limits of a tier belong to the rules",
        "expected tiers: { NAME: { rate: 300/min } } in a rule",
    ),
    (
        &["headers", "path", "methods", "hosts"],
        "this is a condition of match",
        "expected match: { headers: { X-Plan: gold } }",
    ),
];
const CONDITIONS: &str = "expected either match or keys_file";

/// What the conditions of tiers are read with.
#[derive(Clone, Copy)]
pub(super) struct Reading<'r> {
    pub(super) path: &'r PathPolicy,
    pub(super) ipv6_prefix: u8,
    pub(super) hash_key: &'r HashKey,
    pub(super) secrets: &'r Secrets<'r>,
}

/// Reads the tiers, in the order in which they apply. One with a fault in its condition is among them, so that the rules
/// that name it have no fault.
pub(super) fn read(values: &[Value<'_>], reading: Reading<'_>) -> Vec<Spanned<Arc<Tier>>> {
    let (mut names, mut tiers) = (Names::of_tiers(), Vec::new());
    for value in values {
        value.section(HINTS, |section| {
            let name = name::read(section).inspect(|name| names.enter(name));
            let condition = condition(section, reading);
            let Spanned { value: name, location } = name?;
            let condition = condition.unwrap_or_else(|| TierCondition::Keys(KeySet::default()));
            let tier = Tier { name: name.into(), condition };
            tiers.push(Spanned { value: Arc::new(tier), location });
            Some(())
        });
    }
    tiers
}

fn condition(section: &mut Section<'_>, reading: Reading<'_>) -> Option<TierCondition> {
    let matches = section.value("match", Kind::Mapping, "");
    let keys_file = section.text("keys_file", "file", "expected the name of a file with one key a line");
    match (matches, keys_file) {
        (Some(value), None) => {
            let matches = conditions(&value, reading.path)?;
            warn_of_choice(&matches, &value.location);
            Some(TierCondition::Match(Box::new(matches)))
        }
        (None, Some(file)) => keys(&file, reading).map(TierCondition::Keys),
        (None, None) => {
            // An invalid condition is reported already, and is not missing.
            if section.is_sound() {
                section.location.error(Fault::new("the tier has no condition", CONDITIONS));
            }
            None
        }
        (Some(value), Some(file)) => {
            conditions(&value, reading.path);
            let fault = Fault::new("the tier has two conditions", format!("{CONDITIONS}; or two tiers"));
            file.location.key().error(fault);
            None
        }
    }
}

/// Warns of a tier that clients choose.
fn warn_of_choice(matches: &Match, location: &Location) {
    const CHOICE: &str = "clients choose this tier: any of them can send the";
    if let Some((header, _)) = matches.headers.first() {
        let help = "have a proxy in front remove the header from clients, or use keys_file";
        location.warn(format!("{CHOICE} header {header}"), help);
    } else if let Some((parameter, _)) = matches.query.first() {
        let help = "use keys_file, or a header that a proxy in front sets and removes from clients";
        location.warn(format!("{CHOICE} query parameter '{}'", shown(parameter)), help);
    }
}

/// Reads the file of keys. It is read again when it changes, so one without keys may get some later.
fn keys(at: &Spanned<String>, reading: Reading<'_>) -> Option<KeySet> {
    let file = shown(&at.value);
    let bytes = (reading.secrets)(&SecretSource::Keys(PathBuf::from(&at.value)));
    let bytes = bytes.map_err(|why| {
        let message = format!("the file '{file}' cannot be read: {why}");
        Fault::new(message, "name a file with one key a line that tidegate may read")
    });
    // None: it may be absent.
    let bytes = at.location.check(bytes)?;
    let keys = KeySet::read(bytes.as_deref().unwrap_or_default(), reading.ipv6_prefix, reading.hash_key);
    if keys.is_empty() && bytes.is_some() {
        at.location.warn(
            format!("the file '{file}' has no key: no client belongs to the tier"),
            "add keys, one a line",
        );
    }
    Some(keys)
}

/// Warns of tiers that no request reaches.
pub(super) fn unreachable<'r>(
    tiers: &[Spanned<Arc<Tier>>],
    rules: impl Iterator<Item = &'r Spanned<Rule>> + Clone,
) {
    for (index, Spanned { value: tier, location }) in tiers.iter().enumerate() {
        let names = |rule: &Rule, tier: &Tier| rule.tiers.iter().any(|each| each.tier.name == tier.name);
        let mut naming = rules.clone().filter(|rule| names(&rule.value, tier)).peekable();
        if naming.peek().is_none() {
            let message = format!("no rule has limits for the tier '{}'", tier.name);
            location.warn(
                message,
                format!("add tiers: {{ {}: {{ rate: 300/min }} }} to a rule, or remove the tier", tier.name),
            );
            continue;
        }
        let before = tiers.get(..index).unwrap_or_default();
        let takers: Vec<&Tier> =
            before.iter().map(|at| &*at.value).filter(|earlier| takes_all(earlier, tier)).collect();
        let taken = naming.all(|rule| takers.iter().any(|earlier| names(&rule.value, earlier)));
        if let Some(first) = takers.first().filter(|_| taken) {
            let (name, taker) = (&tier.name, &first.name);
            let message = format!("the tier '{name}' is never reached: '{taker}' takes all of its requests");
            location.warn(message, format!("move it above '{taker}', or remove it"));
        }
    }
}

fn takes_all(earlier: &Tier, later: &Tier) -> bool {
    match (&earlier.condition, &later.condition) {
        (TierCondition::Match(earlier), TierCondition::Match(later)) => earlier.covers(later),
        _ => false,
    }
}
