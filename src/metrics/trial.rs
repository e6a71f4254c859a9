//! What trial limits would have decided.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Counter, counter};

use super::table::TRIALS;

/// What the trial limit of a rule would have done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrialResult {
    /// It had room, and counted the request.
    Allowed,
    /// It had no room.
    Limited,
    /// The store made no decision.
    Undecided,
}

impl TrialResult {
    const ALL: [Self; 3] = [Self::Allowed, Self::Limited, Self::Undecided];

    fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Limited => "limited",
            Self::Undecided => "undecided",
        }
    }
}

fn counters(rule: &str) -> [Counter; 3] {
    TrialResult::ALL.map(|result| counter!(TRIALS, "rule" => rule.to_owned(), "result" => result.label()))
}

/// Makes the counters of a rule with a trial limit appear with 0.
pub(crate) fn announce_trial(rule: &str) {
    counters(rule).iter().for_each(|counter| counter.increment(0));
}

/// Counts requests of rules with a trial limit.
#[derive(Debug, Default)]
pub(crate) struct TrialMeter(RwLock<HashMap<Arc<str>, [Counter; 3], foldhash::fast::RandomState>>);

impl TrialMeter {
    /// Counts a request of this rule.
    pub(crate) fn count(&self, rule: &Arc<str>, result: TrialResult) {
        let count = |counters: &[Counter; 3]| {
            for (each, counter) in TrialResult::ALL.iter().zip(counters) {
                if *each == result {
                    counter.increment(1);
                }
            }
        };
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(rule).map(count);
        if known.is_none() {
            let mut rules = self.0.write().unwrap_or_else(PoisonError::into_inner);
            count(rules.entry(Arc::clone(rule)).or_insert_with(|| counters(rule)));
        }
    }
}
