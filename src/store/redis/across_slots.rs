//! Decides about charges whose counters may be in several slots of a cluster, and so on several servers.
//!
//! Each slot decides for itself, all at the same time; what some have charged is given back where others refused.

use std::sync::Arc;

use futures_util::future::join_all;

use super::counters::Counters;
use super::wire::fault;
use crate::clock::Deadline;
use crate::store::{Decision, Decisions, KeyedCharge, StoreError};
use crate::window::Charge;

/// Decides about charges, all or none of each group.
pub(super) async fn take(
    counters: &Arc<Counters>,
    charges: &[&KeyedCharge],
    deadline: Deadline,
) -> Decisions {
    if let [(slot, _)] = &by_slot(counters, charges.iter(), |charge| charge)[..] {
        let decisions = counters.take(*slot, charges, deadline).await;
        if charges.len() == 1 || !decisions.iter().any(is_split) {
            return decisions;
        }
    }
    // A task of its own: what one slot charged must be given back where another refused, even if the client hangs up
    // meanwhile.
    let owned: Vec<KeyedCharge> = charges.iter().copied().cloned().collect();
    let counters = Arc::clone(counters);
    let decided = tokio::spawn(async move {
        let mut decisions = take_parts(&counters, &owned, deadline).await;
        all_or_none(&counters, &owned, &mut decisions, deadline).await;
        decisions
    });
    let lost = || charges.iter().map(|_| Err(StoreError::InvalidReply("it was lost"))).collect();
    decided.await.unwrap_or_else(|_| lost())
}

/// Decides in each slot by itself, at the same time.
async fn take_parts(counters: &Arc<Counters>, charges: &[KeyedCharge], deadline: Deadline) -> Decisions {
    let parts = by_slot(counters, charges.iter().enumerate(), |(_, charge)| charge);
    let decided = join_all(parts.into_iter().map(|(slot, part)| async move {
        let (positions, charges): (Vec<usize>, Vec<&KeyedCharge>) = part.into_iter().unzip();
        let mut decisions = counters.take(slot, &charges, deadline).await;
        if charges.len() > 1 && decisions.iter().any(is_split) {
            // The slot is being moved to another server, and its keys are on both: nothing was counted. A single key is
            // always on one.
            let one = |charge| counters.take(slot, std::slice::from_ref(charge), deadline);
            decisions = join_all(charges.iter().map(one)).await.into_iter().flatten().collect();
        }
        positions.into_iter().zip(decisions)
    }));
    let mut decided: Vec<_> = decided.await.into_iter().flatten().collect();
    decided.sort_unstable_by_key(|(position, _)| *position);
    decided.into_iter().map(|(_, decision)| decision).collect()
}

/// Gives back what was charged in vain: where one slot refused, the other charges of that group; where one refused a
/// binding charge, all.
async fn all_or_none(
    counters: &Arc<Counters>,
    charges: &[KeyedCharge],
    decisions: &mut Decisions,
    deadline: Deadline,
) {
    let revoked = revoke(charges, decisions);
    if !revoked.is_empty() {
        let revoked: Vec<_> = revoked.iter().map(|(charge, decision)| (*charge, decision)).collect();
        // The calls go on after the deadline, but the request does not wait for them any longer.
        let deadline = tokio::time::Instant::from_std(deadline.instant());
        let _ = tokio::time::timeout_at(deadline, counters.give_back(&revoked)).await;
    }
}

/// Turns the decisions about charges that others of their group make vain into ones that charge nothing. Returns those
/// charges, with the decisions as they were.
fn revoke<'a>(charges: &'a [KeyedCharge], decisions: &mut Decisions) -> Vec<(&'a KeyedCharge, Decision)> {
    let refused = charges.iter().zip(decisions.iter());
    let refused =
        refused.filter(|(_, decision)| decision.as_ref().is_ok_and(|decision| !decision.taken.fits));
    let refused: Vec<u32> = refused.map(|(keyed, _)| keyed.charge.group).collect();
    let is_vain = |charge: &Charge| {
        !refused.is_empty() && (refused.contains(&Charge::BINDING) || refused.contains(&charge.group))
    };
    let mut revoked = Vec::new();
    for (keyed, decision) in charges.iter().zip(decisions.iter_mut()) {
        if let Ok(decision) = decision
            && decision.taken.charged
            && is_vain(&keyed.charge)
        {
            revoked.push((keyed, decision.clone()));
            decision.taken.charged = false;
            decision.counter = decision.before.rebased(&keyed.charge.limit, decision.now.as_i64());
        }
    }
    revoked
}

/// Groups items by the slot of their charge.
fn by_slot<T>(
    counters: &Counters,
    items: impl Iterator<Item = T>,
    charge: impl Fn(&T) -> &KeyedCharge,
) -> Vec<(u16, Vec<T>)> {
    let mut parts: Vec<(u16, Vec<T>)> = Vec::new();
    for item in items {
        let slot = counters.slot(&charge(&item).key);
        match parts.iter_mut().find(|(known, _)| *known == slot) {
            Some((_, part)) => part.push(item),
            None => parts.push((slot, vec![item])),
        }
    }
    parts
}

fn is_split(decision: &Result<Decision, StoreError>) -> bool {
    matches!(decision, Err(StoreError::Redis(error)) if fault::is_split(error))
}

#[cfg(test)]
mod tests {
    use super::revoke;
    use crate::store::{Decision, KeyedCharge, StoreMs};
    use crate::window::{Charge, Counter, Limit, Taken};

    /// Returns which of several charges are given back, by group and whether their slot had room.
    fn given_back(charges: &[(u32, bool)]) -> Vec<bool> {
        let limit = Limit::new(1, 0, 60_000, 4).expect("a valid limit");
        let keyed = |(group, _): &(u32, bool)| KeyedCharge {
            key: String::new(),
            charge: Charge { limit, cost: 1, group: *group },
        };
        let decided = |(_, fits): &(u32, bool)| {
            let taken = Taken { fits: *fits, charged: *fits };
            let (now, before, counter) = (StoreMs::default(), Counter::default(), Counter::default());
            Ok(Decision { limit, now, taken, before, counter })
        };
        let keyed: Vec<KeyedCharge> = charges.iter().map(keyed).collect();
        let mut decisions = charges.iter().map(decided).collect();
        let given = revoke(&keyed, &mut decisions).len();
        let charged = decisions.iter().map(|decision| decision.as_ref().is_ok_and(|it| it.taken.charged));
        let revoked: Vec<bool> =
            charges.iter().zip(charged).map(|((_, fits), left)| *fits && !left).collect();
        assert_eq!(given, revoked.iter().filter(|revoked| **revoked).count());
        revoked
    }

    #[test]
    fn a_refused_binding_charge_revokes_all() {
        assert_eq!(
            given_back(&[(Charge::BINDING, false), (Charge::BINDING, true), (7, true)]),
            [false, true, true]
        );
    }

    #[test]
    fn a_refused_charge_of_a_group_revokes_that_group() {
        assert_eq!(
            given_back(&[(Charge::BINDING, true), (7, false), (7, true), (8, true)]),
            [false, false, true, false]
        );
    }

    #[test]
    fn nothing_is_revoked_where_all_have_room() {
        assert_eq!(given_back(&[(Charge::BINDING, true), (7, true)]), [false, false]);
    }
}
