//! Joins what the rules want done with a request whose path has two readings.

use std::sync::Arc;

use super::{Check, Plan};

/// Joins the plans for two readings of the path of a request that no bypass admits. The upstream may follow either, so
/// the request needs the room that each of them needs.
pub(super) fn join<'p>(as_sent: Plan<'p>, decoded: Plan<'p>) -> Plan<'p> {
    match (as_sent, decoded) {
        (Plan::Check { rule, mut checks }, Plan::Check { rule: other_rule, checks: others }) => {
            for other in others {
                // One request is charged once, whatever it is called.
                if !checks.iter().any(|check| is_same(check, &other)) {
                    // Those of one rule are next to each other.
                    let last = checks.iter().rposition(|check| is_of_one_rule(check, &other));
                    checks.insert(last.map_or(checks.len(), |last| last + 1), other);
                }
            }
            Plan::Check { rule: rule.or(other_rule), checks }
        }
        // The request is refused under one of them.
        (Plan::Check { .. }, refused) | (refused, _) => refused,
    }
}

fn is_same(one: &Check<'_>, other: &Check<'_>) -> bool {
    is_of_one_rule(one, other) && one.client == other.client
}

fn is_of_one_rule(one: &Check<'_>, other: &Check<'_>) -> bool {
    // Names of rules are unique.
    Arc::ptr_eq(&one.rule.name, &other.rule.name)
}
