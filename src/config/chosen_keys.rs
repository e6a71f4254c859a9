//! Finds limits that a client escapes because it chooses the counter itself. Pure.

use super::report::Spanned;
use crate::policy::counter_key::{KeyPart, OnMissing};
use crate::policy::pattern::ValuePattern;
use crate::policy::{Mode, Rule};

const HELP: &str = "add a limit by client_ip to global, such as { name: per-address, key: [client_ip], rate: 100/s }, unless a proxy \
                    in front checks the values";

/// Warns of rules whose clients choose the counter, where no other limit bounds them. One warning for each part of a key.
pub(super) fn warn(rules: &[Spanned<Rule>], global: &[Spanned<Rule>]) {
    let mut chosen: Vec<(&KeyPart, Vec<&Spanned<Rule>>)> = Vec::new();
    for at in rules.iter().chain(global).filter(|at| !is_bounded(&at.value, global)) {
        let Some(part) = chosen_part(&at.value) else { continue };
        match chosen.iter_mut().find(|(other, _)| *other == part) {
            Some((_, rules)) => rules.push(at),
            None => chosen.push((part, vec![at])),
        }
    }
    for (part, rules) in chosen {
        let Some((Spanned { value: rule, location }, more)) = rules.split_first() else { continue };
        let others = match more.len() {
            0 => String::new(),
            1 => format!(", and neither does '{}'", more.first().map_or("", |at| &at.value.name)),
            count => format!(", and neither do {count} more rules"),
        };
        let message = format!(
            "the rule '{}' does not limit a client that sends another {part} with each request{others}",
            rule.name
        );
        location.warn(message, HELP);
    }
}

/// Returns the first part of the key whose value a client can choose as it likes.
fn chosen_part(rule: &Rule) -> Option<&KeyPart> {
    let is_fixed = |pattern: &ValuePattern| matches!(pattern, ValuePattern::Equals(_));
    let is_chosen = |part: &&KeyPart| match part {
        KeyPart::Header(name) => {
            !rule.matches.headers.iter().any(|(other, pattern)| other == name && is_fixed(pattern))
        }
        KeyPart::Query(name) => {
            !rule.matches.query.iter().any(|(other, pattern)| other == name && is_fixed(pattern))
        }
        KeyPart::Cookie(_) => true,
        // The host and the path name what the upstream has. The rest is not in the client's hands.
        KeyPart::ClientIp
        | KeyPart::Path(_)
        | KeyPart::Host
        | KeyPart::Method
        | KeyPart::TlsSan
        | KeyPart::FirstOf(_) => false,
    };
    rule.key.parts.iter().flat_map(KeyPart::read).find(is_chosen)
}

/// Returns whether a limit that the client does not escape bounds the requests of the rule, or the rule checks nothing.
fn is_bounded(rule: &Rule, global: &[Spanned<Rule>]) -> bool {
    let is_bound = |Spanned { value: other, .. }: &Spanned<Rule>| {
        let parts = &other.key.parts;
        let certain = match other.key.on_missing {
            OnMissing::Skip => parts.iter().all(|part| matches!(part, KeyPart::ClientIp | KeyPart::Method)),
            OnMissing::ClientIp | OnMissing::Shared | OnMissing::Reject => {
                parts.iter().all(|part| matches!(part, KeyPart::ClientIp | KeyPart::Method | KeyPart::TlsSan))
            }
        };
        certain
            && (other.mode == Mode::Enforce || other.mode == rule.mode)
            && other.matches.covers(&rule.matches)
    };
    rule.mode == Mode::Off || global.iter().any(is_bound)
}
