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
