//! From the decisions about its charges to the verdict on a request. Pure.

#[cfg(test)]
mod tests;

use smallvec::{SmallVec, smallvec};

use super::charges::{ChargeOutcome, PendingCharge};
use super::verdict::{Limited, Standing, Verdict};
use crate::policy::{OnOutage, Rule};

/// Returns the verdict on a request with these charges, each with its outcome. Where the outcome of a charge of an enforced
/// rule is missing, the rule's outage policy decides: `closed` refuses the request, and `open` admits it. `local` admits it
/// too if not even this instance could decide.
pub(super) fn decide<'c, 'p: 'c>(
    charges: impl Iterator<Item = (&'c PendingCharge<'p>, Option<ChargeOutcome>)>,
) -> Verdict<'p> {
    let mut tightest: Option<Standing<'_>> = None;
    let mut refused: SmallVec<[_; 1]> = SmallVec::new();
    let (mut exceeded, mut near): (Vec<&Rule>, Vec<&Rule>) = (Vec::new(), Vec::new());
    let (mut is_unchecked, mut closed) = (false, None);
    for (pending, outcome) in charges {
        let rule = pending.rule;
        if outcome.is_some_and(|outcome| outcome.is_near)
            && near.last().is_none_or(|last| last.name != rule.name)
        {
            near.push(rule);
        }
        match outcome {
            Some(ChargeOutcome { fits, remaining, reset_ms, .. }) if pending.is_binding() => {
                let standing = pending.standing(remaining, reset_ms);
                if !fits {
                    refused.push((rule, standing));
                } else if tightest.as_ref().is_none_or(|tightest| standing.remaining < tightest.remaining) {
                    tightest = Some(standing);
                }
            }
            // A rule with several limits, or for several clients, is listed once.
            Some(outcome) if !outcome.fits && exceeded.iter().all(|other| other.name != rule.name) => {
                exceeded.push(rule);
            }
            None if pending.is_binding() => {
                is_unchecked = true;
                closed = closed.or((rule.on_outage == OnOutage::Closed).then_some(rule));
            }
            Some(_) | None => {}
        }
    }
    if let Some(limited) = refusal(refused.into_iter()) {
        Verdict::Refuse(limited)
    } else if let Some(rule) = closed {
        Verdict::Unavailable { rule }
    } else if is_unchecked {
        Verdict::Unchecked
    } else {
        Verdict::Pass { standing: tightest, exceeded, near }
    }
}

/// Returns the refusal by the limits that had no room, if there are any.
pub(super) fn refusal<'p>(
    mut refused: impl Iterator<Item = (&'p Rule, Standing<'p>)>,
) -> Option<Limited<'p>> {
    let (rule, standing) = refused.next()?;
    let mut limited = Limited { rule, standing, violated: smallvec![standing.limit] };
    for (rule, standing) in refused {
        // A limit has several counters where its rule has several clients, and during an upgrade.
        if limited.violated.iter().all(|other| other.name != standing.limit.name) {
            limited.violated.push(standing.limit);
        }
        // Of equal times the first counts.
        if standing.reset_ms > limited.standing.reset_ms {
            (limited.rule, limited.standing) = (rule, standing);
        }
    }
    Some(limited)
}
