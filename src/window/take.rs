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

/// Checks all `charges`, each against the counter at its place, and counts those that stand.
pub fn take_all(counters: &mut [Counter], charges: &[Charge], now_ms: i64) -> Vec<Taken> {
    let mut refused = Vec::new();
    let mut taken = Vec::with_capacity(charges.len());
    for (counter, charge) in counters.iter_mut().zip(charges) {
        counter.rebase(&charge.limit, now_ms);
        let fits = counter.fits(&charge.limit, now_ms, charge.cost);
        if !fits {
            refused.push(charge.group);
        }
        taken.push(Taken { fits, charged: false });
    }
    for ((counter, charge), taken) in counters.iter_mut().zip(charges).zip(&mut taken) {
        if !refused.contains(&Charge::BINDING) && !refused.contains(&charge.group) {
            counter.add(&charge.limit, now_ms, charge.cost);
            taken.charged = true;
        }
    }
    taken
}
