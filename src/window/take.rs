//! Several limits on one request: all are checked, then all are charged, or none.

use super::{Counter, Limit};

/// What one request asks of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The limit that the counter is compared with.
    pub limit: Limit,
    /// Units asked for, at least 1.
    pub cost: i64,
    /// Charges of one group stand or fall together. Group [`Charge::BINDING`] decides about the request; any
    /// other is a trial (a shadow rule): it is charged only if the request passes, and never stops it.
    pub group: u32,
}

impl Charge {
    /// The group of the charges that decide about the request.
    pub const BINDING: u32 = 0;
}

/// What became of one charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// There was room for it.
    pub fits: bool,
    /// It was counted. It is not, although it fits, when another of its group or the request is refused.
    pub charged: bool,
}

/// The groups of which a charge has no room.
#[derive(Debug, Default)]
pub(crate) struct RefusedGroups(Vec<u32>);

impl RefusedGroups {
    /// Checks a charge of the request against its counter, and returns whether there is room for it.
    pub(crate) fn check(&mut self, charge: &Charge, counter: &mut Counter, now_ms: i64) -> bool {
        counter.rebase(&charge.limit, now_ms);
        let fits = counter.fits(&charge.limit, now_ms, charge.cost);
        if !fits {
            self.0.push(charge.group);
        }
        fits
    }

    /// Returns whether a charge stands, now that all charges of the request have been checked.
    pub(crate) fn admit(&self, charge: &Charge) -> bool {
        !self.0.contains(&Charge::BINDING) && !self.0.contains(&charge.group)
    }
}

impl Counter {
    /// Counts a charge that stands.
    pub(crate) fn count(&mut self, charge: &Charge, now_ms: i64) {
        self.add(&charge.limit, now_ms, charge.cost);
    }
}

/// Checks all `charges`, each against the counter at its place, and counts those that stand.
pub fn take_all(counters: &mut [Counter], charges: &[Charge], now_ms: i64) -> Vec<Taken> {
    let mut refused = RefusedGroups::default();
    let mut taken = Vec::with_capacity(charges.len());
    for (counter, charge) in counters.iter_mut().zip(charges) {
        let fits = refused.check(charge, counter, now_ms);
        taken.push(Taken { fits, charged: false });
    }
    for ((counter, charge), taken) in counters.iter_mut().zip(charges).zip(&mut taken) {
        if refused.admit(charge) {
            counter.count(charge, now_ms);
            taken.charged = true;
        }
    }
    taken
}
