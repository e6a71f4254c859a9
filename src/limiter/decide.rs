//! From the decisions about its charges to the verdict on a request. Pure.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::charges::{DecidedCharge, PendingCharge};
use super::verdict::{Limited, Standing, Verdict};
use crate::policy::{OnOutage, Rule};

/// Returns the verdict on a request with these charges. If the store made no decision about a charge of an enforced rule, the
/// rule's outage policy counts: `closed` refuses the request, and `open` lets it pass. So does `local` if not even this
/// instance could decide.
pub(super) fn decide<'p>(charges: &[DecidedCharge<'_, 'p>]) -> Verdict<'p> {
    let mut tightest: Option<Standing> = None;
    let mut refused = Vec::new();
    let mut exceeded: Vec<&Rule> = Vec::new();
    let (mut is_unchecked, mut closed) = (false, None);
    for DecidedCharge { pending, decision } in charges {
        let rule = pending.rule;
        match decision {
            Ok(decision) if pending.is_binding() => {
                let standing = pending.standing_after(decision);
                if !decision.taken.fits {
                    refused.push((*pending, standing));
                } else if tightest.as_ref().is_none_or(|tightest| standing.remaining < tightest.remaining) {
                    tightest = Some(standing);
                }
            }
            // A rule with several limits is listed once.
            Ok(decision) => {
                if !decision.taken.fits && exceeded.last().is_none_or(|last| last.name != rule.name) {
                    exceeded.push(rule);
                }
            }
            Err(_) if pending.is_binding() => {
                is_unchecked = true;
                closed = closed.or((rule.on_outage == OnOutage::Closed).then_some(rule));
            }
            Err(_) => {}
        }
    }
    if let Some(limited) = refusal(refused) {
        Verdict::Refuse(limited)
    } else if let Some(rule) = closed {
        Verdict::Unavailable { rule }
    } else if is_unchecked {
        Verdict::Unchecked
    } else {
        Verdict::Pass { standing: tightest, exceeded }
    }
}

/// Returns the refusal by the limits that had no room, if there are any.
pub(super) fn refusal<'p>(refused: Vec<(&PendingCharge<'p>, Standing)>) -> Option<Limited<'p>> {
    let mut violated: Vec<_> = refused.iter().map(|(pending, _)| Arc::clone(&pending.limit.name)).collect();
    // A limit has two counters during an upgrade.
    violated.dedup();
    // Of equal times the first counts; `max_by_key` would return the last.
    let (pending, standing) = refused.into_iter().rev().max_by_key(|(_, standing)| standing.reset_ms)?;
    Some(Limited { rule: pending.rule, standing, violated })
}
