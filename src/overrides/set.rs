//! All overrides as one instance knows them, and how what two sides know becomes one. Pure.
//!
//! Each change has a version of its own, which is later than any other that its author knew, and not before the store's
//! time in microseconds. Of two changes of one override the later version is in force. A removal stays known for a while,
//! so that an instance which missed it does not put the override back after a restart of the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::change::{Override, Subject};

/// How long removals are known at least, in milliseconds.
const REMOVAL_MS: i64 = 3_600_000;
/// The most removals that are known.
const MAX_REMOVALS: usize = 1_000;
/// How long resets are known, in milliseconds: longer than any instance relies on a refusal of the store.
const RESET_MS: i64 = 60_000;
/// The most resets that are known.
const MAX_RESETS: usize = 1_000;

/// What is known of one override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Set(Override),
    /// It was removed, or has expired.
    Removed {
        version: u64,
        at_ms: i64,
        /// None: it has expired.
        by: Option<String>,
    },
}

impl Entry {
    pub(super) fn version(&self) -> u64 {
        match self {
            Self::Set(item) => item.version,
            Self::Removed { version, .. } => *version,
        }
    }
}

/// A client whose counters and refusals are forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reset {
    pub(super) rule: Arc<str>,
    pub(super) client: Arc<str>,
    pub(super) author: String,
    pub(super) version: u64,
}

/// All overrides and removals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OverrideSet {
    pub(super) entries: BTreeMap<Subject, Entry>,
    /// The version of the latest removal that is no longer known: what is older than it and not an entry was removed.
    pub(super) floor: u64,
    /// In ascending order of their versions.
    pub(super) resets: Vec<Reset>,
}

impl OverrideSet {
    /// Returns the override of a subject.
    pub(super) fn get(&self, subject: &Subject) -> Option<&Override> {
        match self.entries.get(subject)? {
            Entry::Set(item) => Some(item),
            Entry::Removed { .. } => None,
        }
    }

    /// Returns the overrides.
    pub(super) fn overrides(&self) -> impl Iterator<Item = &Override> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::Set(item) => Some(item),
            Entry::Removed { .. } => None,
        })
    }

    /// Returns the latest version.
    pub(super) fn version(&self) -> u64 {
        let entries = self.entries.values().map(Entry::version);
        entries.chain(self.resets.iter().map(|reset| reset.version)).max().unwrap_or_default().max(self.floor)
    }

    /// Returns the version of a change at this time.
    pub(super) fn next_version(&self, now_ms: i64) -> u64 {
        let now = u64::try_from(now_ms).unwrap_or_default().saturating_mul(1000);
        now.max(self.version().saturating_add(1))
    }

    /// Returns when the next override expires.
    pub(super) fn next_expiry(&self) -> Option<i64> {
        self.overrides().filter_map(|item| item.expires_ms).min()
    }

    /// Sets an override.
    pub(super) fn set(&mut self, item: Override) {
        self.entries.insert(item.subject.clone(), Entry::Set(item));
    }

    /// Removes an override.
    pub(super) fn remove(&mut self, subject: Subject, author: &str, now_ms: i64) {
        let version = self.next_version(now_ms);
        self.entries.insert(subject, Entry::Removed { version, at_ms: now_ms, by: Some(author.to_owned()) });
    }

    /// Notes that a client is reset.
    pub(super) fn reset(&mut self, rule: Arc<str>, client: Arc<str>, author: &str, now_ms: i64) {
        let version = self.next_version(now_ms);
        self.resets.push(Reset { rule, client, author: author.to_owned(), version });
    }

    /// Adds what the other side knows better. Returns whether this side knows something better than the other one.
    pub(super) fn merge(&mut self, other: &Self) -> bool {
        let mut knows_better = false;
        let (own_floor, other_floor) = (self.floor, other.floor);
        self.entries.retain(|subject, own| match other.entries.get(subject) {
            Some(theirs) => {
                match own.version().cmp(&theirs.version()) {
                    std::cmp::Ordering::Less => own.clone_from(theirs),
                    std::cmp::Ordering::Equal => {}
                    std::cmp::Ordering::Greater => knows_better = true,
                }
                true
            }
            None if own.version() <= other_floor => false,
            None => {
                knows_better = true;
                true
            }
        });
        for (subject, theirs) in &other.entries {
            if !self.entries.contains_key(subject) {
                if theirs.version() > own_floor {
                    self.entries.insert(subject.clone(), theirs.clone());
                } else {
                    knows_better = true;
                }
            }
        }
        self.floor = own_floor.max(other_floor);
        for reset in &other.resets {
            if !self.resets.contains(reset) {
                self.resets.push(reset.clone());
            }
        }
        self.resets.sort_by_key(|reset| reset.version);
        knows_better
    }

    /// Turns what has expired into removals, and forgets removals and resets that are old. Returns what has expired.
    pub(super) fn prune(&mut self, now_ms: i64) -> Vec<Override> {
        let mut expired = Vec::new();
        for entry in self.entries.values_mut() {
            if let Entry::Set(item) = entry
                && let Some(at_ms) = item.expires_ms.filter(|at_ms| *at_ms <= now_ms)
            {
                let removed = Entry::Removed { version: item.version, at_ms, by: None };
                if let Entry::Set(item) = std::mem::replace(entry, removed) {
                    expired.push(item);
                }
            }
        }
        let mut removals: Vec<(i64, u64)> = Vec::new();
        for entry in self.entries.values() {
            if let Entry::Removed { version, at_ms, .. } = entry {
                removals.push((*at_ms, *version));
            }
        }
        removals.sort_unstable();
        let superfluous = removals.len().saturating_sub(MAX_REMOVALS);
        let forgotten = removals
            .iter()
            .enumerate()
            .filter(|(index, (at_ms, _))| *index < superfluous || *at_ms < now_ms - REMOVAL_MS)
            .map(|(_, (_, version))| *version)
            .collect::<std::collections::HashSet<u64>>();
        if let Some(latest) = forgotten.iter().max() {
            self.floor = self.floor.max(*latest);
            self.entries.retain(
                |_, entry| !matches!(entry, Entry::Removed { version, .. } if forgotten.contains(version)),
            );
        }
        let oldest = u64::try_from(now_ms - RESET_MS).unwrap_or_default().saturating_mul(1000);
        self.resets.retain(|reset| reset.version > oldest);
        let superfluous = self.resets.len().saturating_sub(MAX_RESETS);
        self.resets.drain(..superfluous);
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::change::Effect;

    const NOW_MS: i64 = 1_700_000_000_000;

    fn item(rule: &str, expires_ms: Option<i64>, version: u64) -> Override {
        let (subject, effect) =
            (Subject::Rule(rule.into()), Effect::Rule { rate: None, burst: Some(1), mode: None });
        let (reason, author) = (String::new(), "oncall".to_owned());
        Override { subject, effect, reason, author, set_ms: NOW_MS, expires_ms, version }
    }

    fn with(items: &[Override]) -> OverrideSet {
        let mut set = OverrideSet::default();
        items.iter().cloned().for_each(|item| set.set(item));
        set
    }

    #[test]
    fn versions_rise_even_if_the_clock_steps_back() {
        let mut set = with(&[item("a", None, 5)]);
        let first = set.next_version(NOW_MS);
        assert_eq!(first, 1_700_000_000_000_000);
        set.set(item("b", None, first));
        assert_eq!(set.next_version(NOW_MS - 5_000), first + 1);
    }

    #[test]
    fn an_expired_override_stays_known_as_removed() {
        let mut set = with(&[item("a", Some(NOW_MS), 7), item("b", Some(NOW_MS + 1), 8)]);
        assert_eq!(set.next_expiry(), Some(NOW_MS));
        assert_eq!(set.prune(NOW_MS), [item("a", Some(NOW_MS), 7)]);
        assert_eq!(set.get(&Subject::Rule("a".into())), None);
        let removed = Entry::Removed { version: 7, at_ms: NOW_MS, by: None };
        assert_eq!(set.entries[&Subject::Rule("a".into())], removed);
        assert_eq!(set.next_expiry(), Some(NOW_MS + 1));
    }

    #[test]
    fn removals_are_forgotten_after_an_hour() {
        let mut set = with(&[item("a", None, 7)]);
        set.remove(Subject::Rule("a".into()), "oncall", NOW_MS);
        let version = set.version();
        set.prune(NOW_MS + REMOVAL_MS);
        assert_eq!(set.entries.len(), 1);
        set.prune(NOW_MS + REMOVAL_MS + 1);
        assert_eq!((set.entries.len(), set.floor, set.version()), (0, version, version));
    }

    #[test]
    fn the_number_of_removals_is_bounded() {
        let mut set = OverrideSet::default();
        for number in 0..i64::try_from(MAX_REMOVALS).unwrap() + 5 {
            set.remove(Subject::Rule(number.to_string().into()), "oncall", NOW_MS + number);
        }
        set.prune(NOW_MS + 2_000);
        assert_eq!(set.entries.len(), MAX_REMOVALS);
        assert!(!set.entries.contains_key(&Subject::Rule("4".into())), "the oldest are forgotten");
        assert!(set.entries.contains_key(&Subject::Rule("5".into())));
    }

    #[test]
    fn resets_are_known_for_a_minute() {
        let mut set = OverrideSet::default();
        set.reset("a".into(), "*".into(), "oncall", NOW_MS);
        set.prune(NOW_MS + RESET_MS - 1);
        assert_eq!(set.resets.len(), 1);
        set.prune(NOW_MS + RESET_MS);
        assert_eq!(set.resets, []);
    }

    /// Returns both sides after each has learned from the other, and whether each knew something better.
    fn exchanged(one: &OverrideSet, other: &OverrideSet) -> (OverrideSet, bool, bool) {
        let (mut left, mut right) = (one.clone(), other.clone());
        let knows_better = (left.merge(other), right.merge(one));
        assert_eq!(left, right, "both sides agree");
        (left, knows_better.0, knows_better.1)
    }

    #[test]
    fn of_two_changes_the_later_one_is_in_force() {
        let (older, newer) = (with(&[item("a", None, 7)]), with(&[item("a", Some(NOW_MS), 8)]));
        assert_eq!(exchanged(&older, &newer), (newer.clone(), false, true));
        assert_eq!(exchanged(&newer, &newer), (newer.clone(), false, false));
    }

    #[test]
    fn a_server_that_lost_everything_learns_it_again() {
        let mut known = with(&[item("a", None, 7)]);
        known.remove(Subject::Rule("b".into()), "oncall", NOW_MS);
        known.reset("a".into(), "*".into(), "oncall", NOW_MS);
        assert_eq!(exchanged(&known, &OverrideSet::default()), (known.clone(), true, false));
    }

    #[test]
    fn a_removal_is_not_undone_by_an_instance_that_missed_it() {
        let late = with(&[item("a", None, 7)]);
        let mut known = late.clone();
        known.remove(Subject::Rule("a".into()), "oncall", NOW_MS);
        assert_eq!(exchanged(&late, &known), (known.clone(), false, true));
        known.prune(NOW_MS + REMOVAL_MS + 1);
        assert_eq!(known.entries.len(), 0);
        let (agreed, late_knows_better, _) = exchanged(&late, &known);
        assert_eq!((agreed.entries.len(), late_knows_better), (0, false), "also after it is forgotten");
    }

    #[test]
    fn an_expired_override_does_not_give_way_to_its_predecessor() {
        let late = with(&[item("a", None, 7)]);
        let mut known = with(&[item("a", Some(NOW_MS), 8)]);
        known.prune(NOW_MS);
        assert_eq!(exchanged(&late, &known).0.get(&Subject::Rule("a".into())), None);
    }

    #[test]
    fn what_each_side_alone_knows_is_kept() {
        let (one, other) = (with(&[item("a", None, 7)]), with(&[item("b", None, 6)]));
        let both = with(&[item("a", None, 7), item("b", None, 6)]);
        assert_eq!(exchanged(&one, &other), (both, true, true));
    }
}
