//! Trial limits: shadow limits beside those of a rule, with counters of their own. Each sees every request of its rule,
//! whatever becomes of the request, and changes nothing about it.
//!
//! A request that is refused without the store, by a remembered refusal, is still to be counted by a trial limit. That takes
//! a check of its own, unless the trial limit too is known to refuse. So a flood of refused requests reaches the store only
//! as often as the trial limit of each client has room, and then once for each time that a refusal is remembered.

use std::pin::Pin;
use std::sync::Arc;

use super::charges::{Charges, Decider, PendingCharge};
use super::{Backend, Limiter};
use crate::metrics::TrialResult;

impl Limiter {
    /// Returns the future that counts a request in its trial limits. None: its rules have none.
    pub fn count_trials<'a>(
        &'a self,
        charges: &'a Charges<'_>,
    ) -> Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>> {
        Some(Box::pin(self.try_out(charges.trials()?)))
    }

    async fn try_out(&self, trials: &[PendingCharge<'_>]) {
        let mut unknown: Vec<PendingCharge<'_>> = Vec::with_capacity(trials.len());
        for of_rule in by_rule(trials) {
            let is_refused =
                |trial: &PendingCharge<'_>| self.refusals.get(&trial.keyed, || self.timeline.now()).is_some();
            match of_rule.first().filter(|_| of_rule.iter().any(is_refused)) {
                Some(first) => self.trials.count(&first.rule.name, TrialResult::Limited),
                None => unknown.extend_from_slice(of_rule),
            }
        }
        if unknown.is_empty() {
            return;
        }
        let mut fits = match &self.backend {
            Backend::Local(store) => {
                store.take(&unknown).iter().map(|taken| Some(taken.taken.fits)).collect()
            }
            Backend::Shared(_) => self.try_out_together(&unknown).await,
        }
        .into_iter();
        for of_rule in by_rule(&unknown) {
            let results: Vec<Option<bool>> = fits.by_ref().take(of_rule.len()).collect();
            let result = match results {
                results if results.contains(&Some(false)) => TrialResult::Limited,
                results if results.contains(&None) => TrialResult::Undecided,
                _ => TrialResult::Allowed,
            };
            if let Some(first) = of_rule.first() {
                self.trials.count(&first.rule.name, result);
            }
        }
    }

    /// Returns for each charge whether there was room, as far as that was decided.
    async fn try_out_together(&self, unknown: &[PendingCharge<'_>]) -> Vec<Option<bool>> {
        let Backend::Shared(shared) = &self.backend else { return Vec::new() };
        let sent = self.timeline.now();
        let (decided, decider) = shared.decide(unknown).await;
        let replied = self.timeline.now();
        let fits = decided.iter().map(|charge| {
            let (pending, outcome) = charge.outcome();
            if let Some(outcome) = outcome.filter(|outcome| !outcome.fits && decider == Decider::Store) {
                self.refusals.insert(&pending.keyed, &outcome, sent, replied);
            }
            outcome.map(|outcome| outcome.fits)
        });
        fits.collect()
    }
}

/// Splits charges into those of each rule.
fn by_rule<'c, 'p>(charges: &'c [PendingCharge<'p>]) -> impl Iterator<Item = &'c [PendingCharge<'p>]> {
    charges.chunk_by(|one, next| Arc::ptr_eq(&one.rule.name, &next.rule.name))
}
