//! Counters that instances of the build before share with this one while both are running.
//!
//! That build had the number of slices at the end of a counter's key, 4 unless the rule set it. The key ends with 4 for all
//! now, so most counters are shared as they are: scripts of both builds read buckets of any slices. A rule that sets another
//! number had a key of its own. While an instance of that build is alive, and for a window after, both counters are charged,
//! so that no client gets the limit from each.

use super::{Charges, Ledger, Source};
use crate::store::KeyedCharge;
use crate::window::Slices;

/// What the key of each counter ends with.
pub(super) const KEY_END: &str = ":4";

impl Source<'_> {
    /// Returns the key that the build before counts in, if it is another one.
    fn former_key(&self, key: &str) -> Option<String> {
        match self.limit.slices {
            Slices::Auto | Slices::Exactly(4) => None,
            Slices::Exactly(slices) => Some(format!("{}:{slices}", key.strip_suffix(KEY_END)?)),
        }
    }
}

impl<'p> Charges<'p> {
    /// Returns these charges together with those of the counters of the build before. None: there are no such counters.
    pub(super) fn with_former(&self, ledger: &Ledger) -> Option<Self> {
        let now = ledger.local();
        let former = |ask: &KeyedCharge, source: &Source<'p>| {
            let key = source.former_key(&ask.key)?;
            let shared = ledger.membership.had_other_builds(ask.charge.limit.window_ms(), now);
            shared.then_some(KeyedCharge { key, charge: ask.charge })
        };
        let each = || self.asks.iter().zip(&self.sources);
        if !each().any(|(ask, source)| former(ask, source).is_some()) {
            return None;
        }
        let mut all = Self { asks: Vec::new(), sources: Vec::new() };
        for (ask, source) in each() {
            for ask in [Some(ask.clone()), former(ask, source)].into_iter().flatten() {
                all.asks.push(ask);
                all.sources.push(*source);
            }
        }
        Some(all)
    }
}
