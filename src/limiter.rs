//! From the checks of a request to a verdict.
//!
//! A store decides about the charges of a request, in this process or shared by all instances. `decide` turns its decisions
//! into a verdict. `outage` takes the place of a shared store that cannot decide, and `refusal_cache` of one that would
//! refuse again.

mod charges;
mod client;
mod decide;
#[cfg(test)]
mod fixtures;
mod outage;
mod refusal_cache;
mod shared;
mod trials;
mod upgrade;
mod verdict;

use smallvec::SmallVec;

use crate::clock::{Clock, LocalMs, Stopwatch, Timeline};
use crate::metrics::{Origin, Origins, TrialMeter};
use crate::store::{Decided, MemoryStore, RedisStore, Store};
pub use charges::Charges;
use charges::{ChargeOutcome, DecidedCharge, Decider, PendingCharge};
pub use client::Usage;
use decide::{decide, refusal};
use refusal_cache::{EarlyRoom, RefusalCache};
use shared::SharedLimiter;
pub use shared::Status;
pub use verdict::{Limited, Standing, Verdict};

/// Decides about requests.
#[derive(Debug)]
pub struct Limiter {
    backend: Backend,
    refusals: RefusalCache,
    origins: Origins,
    trials: TrialMeter,
    timeline: Timeline,
}

/// Where the counters are.
#[derive(Debug)]
enum Backend {
    /// In this process, where a decision is always made, and at once.
    Local(MemoryStore),
    /// In a store that all instances share.
    Shared(SharedLimiter),
}

impl Limiter {
    /// Creates a limiter that counts in `store`. With a shared store it assumes to be one of `instances` until the store
    /// reports their number, and needs a Tokio runtime. `clock` is of the same kind as the store's.
    #[must_use]
    pub fn new(store: Store, instances: u32, clock: Clock) -> Self {
        let timeline = Timeline::begin(clock);
        let (backend, early_room) = match store {
            Store::Memory(store) => (Backend::Local(store), EarlyRoom::Never),
            Store::Redis(store) => {
                let early_room =
                    if store.may_give_back() { EarlyRoom::GiveBack } else { EarlyRoom::Deletion };
                (Backend::Shared(SharedLimiter::new(store, instances, timeline.clone())), early_room)
            }
        };
        let (refusals, origins, trials) =
            (RefusalCache::new(early_room), Origins::default(), TrialMeter::default());
        Self { backend, refusals, origins, trials, timeline }
    }

    /// Returns the shared store, if there is one.
    #[must_use]
    pub fn shared_store(&self) -> Option<&RedisStore> {
        match &self.backend {
            Backend::Local(_) => None,
            Backend::Shared(shared) => Some(&shared.store),
        }
    }

    /// Returns the state of the shared store, if there is one.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match &self.backend {
            Backend::Local(_) => None,
            Backend::Shared(shared) => Some(shared.status()),
        }
    }

    /// Frees the memory of counters that have expired. To be called every few seconds; Redis does it by itself.
    pub fn sweep(&self) {
        if let Backend::Local(store) = &self.backend {
            store.sweep();
        }
    }

    /// Returns the refusal that is remembered of one of the charges, if there is one. Charges nothing and does not wait, so
    /// that a client that is over its limit takes nothing that other clients could use.
    #[must_use]
    pub fn recall<'p>(&self, charges: &Charges<'p>) -> Option<Limited<'p>> {
        let binding = charges.as_slice().iter().filter(|pending| pending.is_binding());
        let refused = binding.filter_map(|pending| {
            let (remaining, reset_ms) = self.refusals.get(&pending.keyed, || self.timeline.now())?;
            Some((pending.rule, pending.standing(remaining, reset_ms)))
        });
        let limited = refusal(refused)?;
        self.origins.count(Origin::DeniedCache);
        Some(limited)
    }

    /// Decides about one request, and charges it if it is admitted. The wait for the store has a deadline.
    pub async fn charge<'p>(&self, charges: &Charges<'p>) -> Verdict<'p> {
        self.charge_from(charges).await.0
    }

    /// The same, with the origin of the decision. None: there was nothing to decide.
    pub(crate) async fn charge_from<'p>(&self, charges: &Charges<'p>) -> (Verdict<'p>, Option<Origin>) {
        if charges.as_slice().is_empty() {
            return (Verdict::Pass { standing: None, exceeded: Vec::new(), near: Vec::new() }, None);
        }
        let (verdict, origin) = match &self.backend {
            Backend::Local(store) => self.charge_locally(store, charges.as_slice()),
            Backend::Shared(shared) => {
                let with_former = shared.with_former(charges);
                self.charge_together(shared, with_former.as_ref().unwrap_or(charges).as_slice()).await
            }
        };
        self.origins.count(origin);
        (verdict, Some(origin))
    }

    /// Decides in this process. Nothing is ever to be given back: all is charged or nothing.
    fn charge_locally<'p>(
        &self,
        store: &MemoryStore,
        charges: &[PendingCharge<'p>],
    ) -> (Verdict<'p>, Origin) {
        let begun = Stopwatch::start();
        let mut decided: SmallVec<[_; 1]> = SmallVec::new();
        store.decide(
            charges,
            begun,
            |_| (),
            |pending, Decided { now, taken, counter }| {
                let outcome = ChargeOutcome::read(taken.fits, counter, &pending.keyed.charge.limit, now);
                decided.push((pending, Some(outcome)));
            },
        );
        let verdict = decide(decided.iter().copied());
        if let Verdict::Refuse(_) = verdict {
            self.remember(decided, self.timeline.at(begun));
        }
        let origin = origin(&verdict, Decider::Store);
        (verdict, origin)
    }

    /// Decides in the store that all instances share, or without it during an outage.
    async fn charge_together<'p>(
        &self,
        shared: &SharedLimiter,
        charges: &[PendingCharge<'p>],
    ) -> (Verdict<'p>, Origin) {
        let sent = self.timeline.now();
        let (charges, decider) = shared.decide(charges).await;
        let decided = || charges.iter().map(DecidedCharge::outcome);
        let verdict = decide(decided());
        match (&verdict, decider) {
            (Verdict::Pass { .. } | Verdict::Unchecked, _) => {}
            (Verdict::Refuse(_), Decider::Store) => self.remember(decided(), sent),
            (Verdict::Refuse(_), Decider::Instance) | (Verdict::Unavailable { .. }, _) => {
                shared.give_back(&charges).await;
            }
        }
        let origin = origin(&verdict, decider);
        (verdict, origin)
    }

    /// Remembers the refusals among decisions of the store. The charges were sent to it at `sent`.
    fn remember<'c, 'p: 'c>(
        &self,
        decided: impl IntoIterator<Item = (&'c PendingCharge<'p>, Option<ChargeOutcome>)>,
        sent: LocalMs,
    ) {
        let replied = self.timeline.now();
        for (pending, outcome) in decided {
            if let Some(outcome) = outcome.filter(|outcome| !outcome.fits && pending.is_binding()) {
                self.refusals.insert(&pending.keyed, &outcome, sent, replied);
            }
        }
    }
}

fn origin(verdict: &Verdict<'_>, decider: Decider) -> Origin {
    match (verdict, decider) {
        (Verdict::Unchecked, _) => Origin::Open,
        (Verdict::Unavailable { .. }, _) => Origin::Closed,
        (Verdict::Pass { .. } | Verdict::Refuse(_), Decider::Store) => Origin::Store,
        (Verdict::Pass { .. } | Verdict::Refuse(_), Decider::Instance) => Origin::Local,
    }
}
