//! What one request charges: a list from the rules that apply to it to the decisions about them. Pure.

use std::sync::Arc;

use super::verdict::Standing;
use crate::policy::{Check, Mode, NamedLimit, Rule};
use crate::store::{Decision, KeyedCharge, StoreError};
use crate::window::Charge;

/// Units that a request costs.
const COST: i64 = 1;

/// The end of each counter's key, which the previous version reads: see `upgrade.rs`.
pub(super) const KEY_END: &str = ":4";

/// All charges of one request: one for each limit of each rule that applies to it.
#[derive(Debug)]
pub struct Charges<'p>(Vec<PendingCharge<'p>>);

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
    /// is charged by itself.
    #[must_use]
    pub fn of(checks: &[Check<'p>]) -> Self {
        let mut charges = Vec::with_capacity(checks.len());
        for (group, Check { rule, client }) in (Charge::BINDING + 1..).zip(checks) {
            let group = if rule.mode == Mode::Enforce { Charge::BINDING } else { group };
            for named in &rule.limits {
                let limit = named.limit;
                let key = format!("{{{client}}}:{}:{}{KEY_END}", rule.name, limit.window_ms());
                let keyed = KeyedCharge { key, charge: Charge { limit, cost: COST, group } };
                charges.push(PendingCharge { keyed, rule, limit: named });
            }
        }
        Self(charges)
    }

    pub(super) fn from_pending(charges: Vec<PendingCharge<'p>>) -> Self {
        Self(charges)
    }

    pub(super) fn as_slice(&self) -> &[PendingCharge<'p>] {
        &self.0
    }
}

impl PendingCharge<'_> {
    /// Returns whether the charge belongs to an enforced rule, so that it decides about the request.
    pub(super) fn is_binding(&self) -> bool {
        self.keyed.charge.group == Charge::BINDING
    }

    /// Returns how the client stands with the limit.
    pub(super) fn standing(&self, remaining: i64, reset_ms: i64) -> Standing {
        let NamedLimit { name, limit, .. } = self.limit;
        let (policy, quota) = (Arc::clone(name), limit.quota());
        Standing { policy, quota, window_ms: limit.window_ms(), remaining, reset_ms }
    }

    /// Returns how the client stands with the limit after a decision.
    pub(super) fn standing_after(&self, decision: &Decision) -> Standing {
        let Decision { limit, now, counter, .. } = decision;
        let remaining = counter.remaining(limit, now.as_i64());
        let reset_ms = counter.retry_after(limit, now.as_i64(), remaining + COST);
        self.standing(remaining, reset_ms.unwrap_or_default())
    }
}

impl AsRef<KeyedCharge> for PendingCharge<'_> {
    fn as_ref(&self) -> &KeyedCharge {
        &self.keyed
    }
}

impl<'c, 'p> DecidedCharge<'c, 'p> {
    /// Joins charges and the decisions about them, which are in the same order.
    pub(super) fn join(
        charges: &'c [PendingCharge<'p>],
        decisions: impl IntoIterator<Item = Result<Decision, StoreError>>,
    ) -> Vec<Self> {
        charges.iter().zip(decisions).map(|(pending, decision)| Self { pending, decision }).collect()
    }
}
