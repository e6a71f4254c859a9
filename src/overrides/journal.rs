//! What is logged and counted about overrides: each change once on each instance.

use super::change::{Effect, Override, Subject};
use super::set::{Entry, OverrideSet};
use super::sharing::{Obstacles, is_denied};
use crate::metrics::{self, LimitMeter, ShownLimit};
use crate::policy::Policy;

/// Logs how the second set differs from the first.
pub(super) fn changes(before: &OverrideSet, after: &OverrideSet) {
    for (subject, entry) in &after.entries {
        let last = before.entries.get(subject);
        if last != Some(entry) {
            match entry {
                Entry::Set(item) => set(item),
                Entry::Removed { by, .. } if before.get(subject).is_some() => removed(subject, by.as_deref()),
                Entry::Removed { .. } => {}
            }
        }
    }
    for reset in after.resets.iter().filter(|reset| !before.resets.contains(reset)) {
        let (rule, client, author) = (&*reset.rule, &*reset.client, &*reset.author);
        tracing::info!(rule, client, author, "client reset");
    }
}

fn set(item: &Override) {
    let Override { subject, effect, reason, author, version, expires_ms, set_ms } = item;
    let (rule, client) = words(subject);
    let expires_in_s = expires_ms.map(|at_ms| (at_ms - set_ms) / 1000);
    tracing::info!(rule, client, %effect, author, reason, expires_in_s, version, "override set");
}

fn removed(subject: &Subject, by: Option<&str>) {
    let (rule, client) = words(subject);
    match by {
        Some(author) => tracing::info!(rule, client, author, "override removed"),
        None => tracing::info!(rule, client, "override expired"),
    }
}

fn words(subject: &Subject) -> (&str, Option<&str>) {
    (subject.rule().map_or("*", |rule| rule), subject.client().map(|client| &**client))
}

/// Counts the overrides in force.
pub(super) fn count(set: &OverrideSet) {
    for kind in Effect::KINDS {
        let number = set.overrides().filter(|item| item.effect.kind(&item.subject) == kind).count();
        metrics::overrides(kind, number);
    }
}

/// Shows the limits of all rules. Those of single clients and of tiers are not among them.
pub(super) fn show_limits(meter: &LimitMeter, configured: &Policy, in_force: &Policy) {
    meter.show(limits(configured), limits(in_force));
}

fn limits(policy: &Policy) -> impl Iterator<Item = ShownLimit<'_>> {
    let rules = policy.rules().iter().chain(policy.global());
    rules.flat_map(|rule| {
        rule.limits.iter().map(|named| ShownLimit {
            rule: &rule.name,
            window_ms: named.limit.window_ms(),
            quota: named.limit.quota(),
            burst: named.limit.burst(),
        })
    })
}

/// Logs what stands in the way of sharing since now.
pub(super) fn obstacles(before: &Obstacles, after: &Obstacles) {
    // That Redis is unavailable is logged by the store.
    let new = |before: &Option<String>, after: &Option<String>| {
        after.clone().filter(|reason| before != after && is_denied(reason))
    };
    if let Some(reason) = new(&before.reading, &after.reading) {
        tracing::warn!(reason, "overrides cannot be shared: those known here stay in force");
    }
    if let Some(reason) = new(&before.subscribing, &after.subscribing) {
        tracing::info!(reason, "no messages about overrides: changes act here a moment later");
    }
    if let Some(reason) = new(&before.publishing, &after.publishing) {
        tracing::info!(reason, "no message about this override: it acts elsewhere a moment later");
    }
}
