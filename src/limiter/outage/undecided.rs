//! Charges about which the store made no decision. Pure.

use crate::limiter::charges::DecidedCharge;
use crate::policy::OnOutage;

/// Returns whether this instance decides about the charge: the store did not, and the rule allows it.
pub(super) fn is_local(charge: &DecidedCharge<'_, '_>) -> bool {
    charge.decision.is_err() && charge.pending.rule.on_outage == OnOutage::Local
}

/// Returns whether the request is refused, whatever this instance would decide about the rest of its charges. It counts
/// nothing for such a request.
pub(super) fn is_refused(charges: &[DecidedCharge<'_, '_>]) -> bool {
    charges.iter().filter(|charge| charge.pending.is_binding()).any(|charge| match &charge.decision {
        Ok(decision) => !decision.taken.fits,
        Err(_) => charge.pending.rule.on_outage == OnOutage::Closed,
    })
}

#[cfg(test)]
mod tests {
    use super::{is_local, is_refused};
    use crate::limiter::charges::DecidedCharge;
    use crate::limiter::fixtures::{Given, decided, rule};
    use crate::policy::{Mode, OnOutage};

    const RULES: [(Mode, OnOutage); 6] = [
        (Mode::Enforce, OnOutage::Local),
        (Mode::Enforce, OnOutage::Open),
        (Mode::Enforce, OnOutage::Closed),
        (Mode::Shadow, OnOutage::Local),
        (Mode::Shadow, OnOutage::Open),
        (Mode::Shadow, OnOutage::Closed),
    ];

    /// Returns for which of [`RULES`] this is so, if it is `given` about their charge.
    fn results(given: Given, is_so: impl Fn(&DecidedCharge<'_, '_>) -> bool) -> Vec<bool> {
        let each = RULES.iter().map(|&(mode, on_outage)| {
            let rule = rule("a", mode, on_outage);
            decided(&[(&rule, given)], |charges| is_so(&charges[0]))
        });
        each.collect()
    }

    #[test]
    fn local_rules_decide_what_the_store_does_not() {
        assert_eq!(results(Given::Undecided, is_local), [true, false, false, true, false, false]);
    }

    #[test]
    fn no_rule_decides_what_the_store_decides() {
        for given in [Given::Fits(1), Given::Exceeds(1)] {
            assert_eq!(results(given, is_local), [false; 6]);
        }
    }

    #[test]
    fn a_closed_rule_without_a_decision_refuses() {
        let refused = results(Given::Undecided, |charge| is_refused(std::slice::from_ref(charge)));
        assert_eq!(refused, [false, false, true, false, false, false]);
    }

    #[test]
    fn an_enforced_rule_without_room_refuses() {
        let refused = results(Given::Exceeds(1), |charge| is_refused(std::slice::from_ref(charge)));
        assert_eq!(refused, [true, true, true, false, false, false]);
    }

    #[test]
    fn room_refuses_nothing() {
        let refused = results(Given::Fits(1), |charge| is_refused(std::slice::from_ref(charge)));
        assert_eq!(refused, [false; 6]);
    }

    #[test]
    fn one_refusal_is_enough() {
        let [local, closed] =
            [OnOutage::Local, OnOutage::Closed].map(|outage| rule("a", Mode::Enforce, outage));
        let given = [(&local, Given::Undecided), (&closed, Given::Fits(1)), (&local, Given::Exceeds(1))];
        assert!(decided(&given, is_refused));
        assert!(!decided(&given[..2], is_refused));
    }

    #[test]
    fn a_request_without_charges_is_not_refused() {
        assert!(!is_refused(&[]));
    }
}
