//! Rules and decided charges for the unit tests of the limiter.

use std::sync::Arc;

use super::charges::{Charges, DecidedCharge};
use crate::policy::counter_key::KeySpec;
use crate::policy::matcher::Match;
use crate::policy::{Check, Mode, NamedLimit, OnOutage, Rule};
use crate::store::{Decision, StoreError, StoreMs};
use crate::window::{Counter, Limit, Taken};

/// The quota of each limit, in units per minute.
pub(crate) const QUOTA: i64 = 10;
pub(crate) const WINDOW_MS: i64 = 60_000;

/// The decision about a charge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given {
    /// It has room, and this many units remain.
    Fits(i64),
    /// It has no room for this many milliseconds.
    Exceeds(i64),
    /// The store made no decision.
    Undecided,
}

/// Returns a rule with one limit of [`QUOTA`], which has the name of the rule.
pub(crate) fn rule(name: &str, mode: Mode, on_outage: OnOutage) -> Rule {
    let name: Arc<str> = Arc::from(name);
    let limits = vec![NamedLimit::example(&name, QUOTA, WINDOW_MS)];
    let (matches, key) = (Match::default(), KeySpec::default());
    Rule {
        name,
        matches,
        key,
        limits,
        trial: None,
        tiers: Vec::new(),
        mode,
        on_outage,
        custom_response: None,
    }
}

/// Calls `test` with the charges of rules, each with the decision given about it.
pub(crate) fn decided<R>(given: &[(&Rule, Given)], test: impl FnOnce(&[DecidedCharge<'_, '_>]) -> R) -> R {
    let checks = given.iter().map(|(rule, _)| Check { rule, client: "203.0.113.7".to_owned() });
    let charges = Charges::of(checks);
    let limits = charges.as_slice().iter().map(|pending| pending.keyed.charge.limit);
    let decisions: Vec<_> = limits.zip(given).map(|(limit, (_, given))| decision(limit, *given)).collect();
    test(&DecidedCharge::join(charges.as_slice(), decisions))
}

fn decision(limit: Limit, given: Given) -> Result<Decision, StoreError> {
    let now_ms = 1_700_000_000_000;
    let (fits, used, at_ms) = match given {
        Given::Fits(remaining) => (true, QUOTA - remaining, now_ms),
        Given::Exceeds(wait_ms) => (false, QUOTA, now_ms + wait_ms - WINDOW_MS),
        Given::Undecided => return Err(StoreError::Unsettled),
    };
    let mut counter = Counter::default();
    if used > 0 {
        counter.record(&limit, at_ms, used, 0);
    }
    let taken = Taken { fits, charged: fits };
    Ok(Decision { limit, now: StoreMs::new(now_ms), taken, before: Counter::default(), counter })
}
