//! What one policy has that another has not, for the log of a reload. Pure.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::{NamedLimit, Policy, Rule};

/// The differences between the rules of two policies, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Rules that only the later one has.
    pub(crate) added: Vec<Arc<str>>,
    /// Rules that only the earlier one has.
    pub(crate) removed: Vec<Arc<str>>,
    /// Rules that both have, and what differs.
    pub(crate) changed: Vec<(Arc<str>, String)>,
    /// Whether the rules that both have are in another order.
    pub(crate) reordered: bool,
}

/// The most names that are written of one kind: a log line is read by people.
const MOST: usize = 20;

impl Changes {
    pub(crate) fn between(before: &Policy, after: &Policy) -> Self {
        let (earlier, later) = (by_name(before), by_name(after));
        let mut changes = Self::default();
        for rule in all(after) {
            match earlier.get(&*rule.name) {
                None => changes.added.push(Arc::clone(&rule.name)),
                Some(earlier) => {
                    let difference = difference(earlier, rule);
                    changes.changed.extend(difference.map(|text| (Arc::clone(&rule.name), text)));
                }
            }
        }
        let gone = all(before).filter(|rule| !later.contains_key(&*rule.name));
        changes.removed = gone.map(|rule| Arc::clone(&rule.name)).collect();
        let kept_before = all(before).filter(|rule| later.contains_key(&*rule.name)).map(|rule| &rule.name);
        let kept_after = all(after).filter(|rule| earlier.contains_key(&*rule.name)).map(|rule| &rule.name);
        changes.reordered = !kept_before.eq(kept_after);
        changes
    }
}

fn all(policy: &Policy) -> impl Iterator<Item = &Rule> {
    policy.rules().iter().chain(policy.global())
}

fn by_name(policy: &Policy) -> HashMap<&str, &Rule> {
    all(policy).map(|rule| (&*rule.name, rule)).collect()
}

/// As the log shows it: `added a; removed b, c; changed d: 5/min -> 8/min; reordered`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let names = |verb: &str, names: &[Arc<str>]| {
            (!names.is_empty())
                .then(|| format!("{verb} {}", listed(names.iter().map(ToString::to_string), names.len())))
        };
        parts.extend(names("added", &self.added));
        parts.extend(names("removed", &self.removed));
        if !self.changed.is_empty() {
            let changed = self.changed.iter().map(|(name, difference)| format!("{name}: {difference}"));
            parts.push(format!("changed {}", listed(changed, self.changed.len())));
        }
        if self.reordered {
            parts.push("reordered".to_owned());
        }
        if parts.is_empty() { f.write_str("none") } else { f.write_str(&parts.join("; ")) }
    }
}

fn listed(texts: impl Iterator<Item = String>, number: usize) -> String {
    let mut text = texts.take(MOST).collect::<Vec<_>>().join(", ");
    if number > MOST {
        text.push_str(&format!(" and {} more", number - MOST));
    }
    text
}

/// What differs between two rules of one name. None: nothing does.
fn difference(before: &Rule, after: &Rule) -> Option<String> {
    let mut parts = Vec::new();
    if before.limits != after.limits {
        parts.push(format!("{} -> {}", limits(&before.limits), limits(&after.limits)));
    }
    if before.trial != after.trial {
        let trial = |rule: &Rule| {
            rule.trial.as_ref().map_or("none".to_owned(), |trial| limits(std::slice::from_ref(trial)))
        };
        parts.push(format!("trial {} -> {}", trial(before), trial(after)));
    }
    if before.mode != after.mode {
        parts.push(format!("mode {} -> {}", before.mode.word(), after.mode.word()));
    }
    let others = [
        ("tiers", tiers(before) != tiers(after)),
        ("match", before.matches != after.matches),
        ("key", before.key != after.key),
        ("on_outage", before.on_outage != after.on_outage),
        ("refusal", before.custom_response != after.custom_response),
    ];
    parts.extend(others.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()));
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// The tiers of a rule, each with its limits.
fn tiers(rule: &Rule) -> Vec<(&str, &[NamedLimit])> {
    rule.tiers.iter().map(|own| (&*own.tier.name, &*own.rule.limits)).collect()
}

/// `5/min burst 2 + 100/day`.
fn limits(limits: &[NamedLimit]) -> String {
    let one = |named: &NamedLimit| match named.limit.burst() {
        0 => named.rate(),
        burst => format!("{} burst {burst}", named.rate()),
    };
    match limits {
        [] => "no limit".to_owned(),
        limits => limits.iter().map(one).collect::<Vec<_>>().join(" + "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::counter_key::KeySpec;
    use crate::policy::matcher::Match;
    use crate::policy::{Mode, OnOutage, Parts};

    fn rule(name: &str, quota: i64) -> Rule {
        Rule {
            name: name.into(),
            matches: Match::default(),
            key: KeySpec::default(),
            limits: vec![NamedLimit::example(name, quota, 60_000)],
            trial: None,
            tiers: Vec::new(),
            mode: Mode::Enforce,
            on_outage: OnOutage::Local,
            custom_response: None,
        }
    }

    fn policy(rules: Vec<Rule>) -> Policy {
        Policy::new(Parts { rules, ..Parts::default() })
    }

    fn changes(before: Vec<Rule>, after: Vec<Rule>) -> String {
        Changes::between(&policy(before), &policy(after)).to_string()
    }

    #[test]
    fn equal_policies_differ_in_nothing() {
        assert_eq!(changes(vec![rule("a", 1)], vec![rule("a", 1)]), "none");
    }

    #[test]
    fn each_kind_of_change_is_named() {
        let before = vec![rule("a", 1), rule("b", 2), rule("c", 3)];
        let shadow = Rule { mode: Mode::Shadow, on_outage: OnOutage::Open, ..rule("c", 4) };
        let after = vec![shadow, rule("a", 1), rule("d", 5)];
        let text = "added d; removed b; changed c: 3/min -> 4/min and mode enforce -> shadow and on_outage; reordered";
        assert_eq!(changes(before, after), text);
    }

    #[test]
    fn an_added_rule_does_not_reorder_the_others() {
        let after = vec![rule("x", 1), rule("a", 1), rule("b", 1)];
        assert_eq!(changes(vec![rule("a", 1), rule("b", 1)], after), "added x");
    }

    #[test]
    fn a_line_names_a_bounded_number_of_rules() {
        let many = (0..50).map(|number| rule(&format!("r{number}"), 1)).collect();
        let text = changes(Vec::new(), many);
        assert!(text.ends_with("r19 and 30 more"), "{text}");
    }
}
