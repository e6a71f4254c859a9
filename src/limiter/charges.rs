//! What one request charges: a list from the rules that apply to it to the decisions about them. Pure.

use std::sync::Arc;

use smallvec::SmallVec;

use super::verdict::Standing;
use crate::policy::{Check, Mode, NamedLimit, Rule};
use crate::store::{Decision, KeyedCharge, StoreError, StoreMs};
use crate::window::{Charge, Counter, Limit};

/// Units that a request costs.
const COST: i64 = 1;

/// A limit is nearly used up when less than this part of it remains: a fifth.
const NEAR_PART: i64 = 5;

/// The end of each counter's key, which the previous version reads: see `upgrade.rs`.
pub(super) const KEY_END: &str = ":4";

/// All charges of one request: one for each limit of each rule that applies to it, and those of trial limits.
#[derive(Debug)]
pub struct Charges<'p> {
    limits: SmallVec<[PendingCharge<'p>; 1]>,
    trials: Option<Box<Trials<'p>>>,
}

/// A charge about which nothing is decided yet.
#[derive(Clone, Debug)]
pub(super) struct PendingCharge<'p> {
    pub(super) keyed: KeyedCharge,
    pub(super) rule: &'p Rule,
    /// The limit of the rule that the charge is compared with.
    pub(super) limit: &'p NamedLimit,
}

/// A charge, and the decision about it.
#[derive(Debug)]
pub(super) struct DecidedCharge<'c, 'p> {
    pub(super) pending: &'c PendingCharge<'p>,
    /// An error means that the store made no decision.
    pub(super) decision: Result<Decision, StoreError>,
}

/// What was decided about a charge, and what the counter holds afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChargeOutcome {
    /// Whether there was room for it.
    pub(super) fits: bool,
    /// Units that would be admitted now.
    pub(super) remaining: i64,
    /// Milliseconds until more than `remaining` units would be admitted, if no other request arrives.
    pub(super) reset_ms: i64,
    /// Milliseconds since the counter was last charged.
    pub(super) idle_ms: i64,
    /// Whether there was room for it, and more than 80 % of the limit is used now.
    pub(super) is_near: bool,
}

/// The side that decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decider {
    /// The store alone.
    Store,
    /// This instance, at least about the charges that the store did not decide about.
    Instance,
}

impl<'p> Charges<'p> {
    /// Lists the charges of these checks. Those of all enforced rules are charged together or not at all; each shadow rule
    /// is charged by itself, for all of its clients or for none.
    #[must_use]
    pub fn of(checks: impl IntoIterator<Item = Check<'p>>) -> Self {
        let mut charges: SmallVec<[PendingCharge<'p>; 1]> = SmallVec::new();
        let mut trials: Option<Box<Trials<'p>>> = None;
        for Check { rule, client } in checks {
            let group = group(&charges, rule);
            if let Some(trial) = &rule.trial {
                trials.get_or_insert_default().push(rule, trial, &client, COST);
            }
            let mut charge = |client: String, named: &'p NamedLimit| {
                let limit = named.limit;
                let key = counter_key(client, &rule.name, limit.window_ms());
                let keyed = KeyedCharge { key, charge: Charge { limit, cost: COST, group } };
                charges.push(PendingCharge { keyed, rule, limit: named });
            };
            // Most rules have one limit: its key takes the place of the client's part.
            if let Some((last, others)) = rule.limits.split_last() {
                others.iter().for_each(|named| charge(client.clone(), named));
                charge(client, last);
            }
        }
        Self { limits: charges, trials }
    }

    /// Returns the client whose counters are charged: its part of the first counter's key.
    pub(crate) fn client(&self) -> Option<&str> {
        let first = self.limits.first().or_else(|| self.trials()?.first());
        let key = &first?.keyed.key;
        key.strip_prefix('{')?.split_once('}').map(|(client, _)| client)
    }

    pub(super) fn from_pending(charges: Vec<PendingCharge<'p>>) -> Self {
        Self { limits: charges.into(), trials: None }
    }

    pub(super) fn as_slice(&self) -> &[PendingCharge<'p>] {
        &self.limits
    }

    /// Returns whether there is a limit that is not a trial limit.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        !self.limits.is_empty()
    }

    /// Returns the charges of trial limits, if there are any. Those of one rule are next to each other.
    pub(super) fn trials(&self) -> Option<&[PendingCharge<'p>]> {
        self.trials.as_ref().map(|trials| &*trials.0)
    }
}

/// The charges of the trial limits of one request. Those of one rule are next to each other.
#[derive(Debug, Default)]
struct Trials<'p>(Vec<PendingCharge<'p>>);

impl<'p> Trials<'p> {
    /// Adds the charge of the trial limit of a rule, for a client.
    fn push(&mut self, rule: &'p Rule, trial: &'p NamedLimit, client: &str, cost: i64) {
        // No group is the binding one, so those of one rule stand or fall together, and with nothing else.
        let same = self.0.iter().rposition(|pending| Arc::ptr_eq(&pending.rule.name, &rule.name));
        let group = match same.and_then(|index| self.0.get(index)) {
            Some(same) => same.keyed.charge.group,
            None => {
                self.0.iter().map(|pending| pending.keyed.charge.group).max().unwrap_or(Charge::BINDING) + 1
            }
        };
        let limit = trial.limit;
        let key = counter_key(client.to_owned(), &trial.name, limit.window_ms());
        let keyed = KeyedCharge { key, charge: Charge { limit, cost, group } };
        let behind = same.map_or(self.0.len(), |index| index + 1);
        self.0.insert(behind, PendingCharge { keyed, rule, limit: trial });
    }
}

impl<'p> PendingCharge<'p> {
    /// Returns whether the charge belongs to an enforced rule, so that it decides about the request.
    pub(super) fn is_binding(&self) -> bool {
        self.keyed.charge.group == Charge::BINDING
    }

    /// Returns how the client stands with the limit.
    pub(super) fn standing(&self, remaining: i64, reset_ms: i64) -> Standing<'p> {
        Standing { limit: self.limit, remaining, reset_ms }
    }
}

/// Returns the group of a rule's charges, behind the `charges` that are listed.
fn group(charges: &[PendingCharge<'_>], rule: &Rule) -> u32 {
    if rule.mode == Mode::Enforce {
        return Charge::BINDING;
    }
    let same = charges.iter().find(|pending| Arc::ptr_eq(&pending.rule.name, &rule.name));
    let next =
        || charges.iter().map(|pending| pending.keyed.charge.group).max().unwrap_or(Charge::BINDING) + 1;
    same.map_or_else(next, |pending| pending.keyed.charge.group)
}

/// Returns the key of a counter: see [`KeyedCharge::key`].
pub(super) fn counter_key(client: String, rule: &str, window_ms: i64) -> String {
    let mut key = client;
    key.insert(0, '{');
    key.push_str("}:");
    key.push_str(rule);
    key.push(':');
    key.push_str(itoa::Buffer::new().format(window_ms));
    key.push_str(KEY_END);
    key
}

impl AsRef<KeyedCharge> for PendingCharge<'_> {
    fn as_ref(&self) -> &KeyedCharge {
        &self.keyed
    }
}

impl ChargeOutcome {
    /// Reads the counter as the decision at `now` left it.
    pub(super) fn read(fits: bool, counter: &Counter, limit: &Limit, now: StoreMs) -> Self {
        let now_ms = now.as_i64();
        let remaining = counter.remaining(limit, now_ms);
        let reset_ms = counter.retry_after(limit, now_ms, remaining + COST).unwrap_or_default();
        let is_near = fits && remaining * NEAR_PART < limit.quota() + limit.burst();
        Self { fits, remaining, reset_ms, idle_ms: now_ms - counter.last_ms(), is_near }
    }
}

impl<'c, 'p> DecidedCharge<'c, 'p> {
    /// Returns the charge and what was decided about it. None: nothing was.
    pub(super) fn outcome(&self) -> (&'c PendingCharge<'p>, Option<ChargeOutcome>) {
        let outcome = |Decision { taken, counter, limit, now, .. }: &Decision| {
            ChargeOutcome::read(taken.fits, counter, limit, *now)
        };
        (self.pending, self.decision.as_ref().ok().map(outcome))
    }

    /// Joins charges and the decisions about them, which are in the same order.
    pub(super) fn join(
        charges: &'c [PendingCharge<'p>],
        decisions: impl IntoIterator<Item = Result<Decision, StoreError>>,
    ) -> Vec<Self> {
        charges.iter().zip(decisions).map(|(pending, decision)| Self { pending, decision }).collect()
    }
}
