//! Counters that instances of the previous version share with this one while both are running.
//!
//! That version had the number of slices at the end of a counter's key, 4 unless the rule set it. The key ends with 4 for all
//! now, so most counters are shared as they are: scripts of both versions read buckets of any slices. A rule that sets another
//! number had a key of its own. While an instance of that version is alive, and for a window after, both counters are charged,
//! so that no client gets the limit from each.

use super::charges::{Charges, KEY_END, PendingCharge};
use crate::policy::NamedLimit;
use crate::store::KeyedCharge;
use crate::window::Slices;

impl<'p> PendingCharge<'p> {
    /// Returns the same charge to the counter of the previous version, if that has another key.
    fn former(&self) -> Option<Self> {
        let KeyedCharge { key, charge } = &self.keyed;
        let key = former_key(key, self.limit)?;
        Some(Self { keyed: KeyedCharge { key, charge: *charge }, rule: self.rule, limit: self.limit })
    }
}

/// Returns the key that the previous version has for the counter of that key and limit, if it is another one.
pub(super) fn former_key(key: &str, limit: &NamedLimit) -> Option<String> {
    let slices = match limit.slices {
        Slices::Auto | Slices::Exactly(4) => return None,
        Slices::Exactly(slices) => slices,
    };
    Some(format!("{}:{slices}", key.strip_suffix(KEY_END)?))
}

impl<'p> Charges<'p> {
    /// Returns these charges together with those of the counters of the previous version, where `is_shared` returns for a
    /// window in milliseconds whether that build may have counted in it. None: there are no such counters.
    pub(super) fn with_former(&self, is_shared: impl Fn(i64) -> bool) -> Option<Self> {
        let former = |pending: &PendingCharge<'p>| {
            pending.former().filter(|former| is_shared(former.keyed.charge.limit.window_ms()))
        };
        if !self.as_slice().iter().any(|pending| former(pending).is_some()) {
            return None;
        }
        let both =
            |pending: &PendingCharge<'p>| [Some(pending.clone()), former(pending)].into_iter().flatten();
        Some(Self::from_pending(self.as_slice().iter().flat_map(both).collect()))
    }
}
