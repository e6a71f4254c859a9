//! What is measured of each rule, besides its requests.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use metrics::{Counter, counter};

use super::table::NEAR_LIMIT;

/// Counts requests that are near a limit.
#[derive(Debug, Default)]
pub(crate) struct RuleMeter {
    near: RwLock<HashMap<Arc<str>, Counter, foldhash::fast::RandomState>>,
}

impl RuleMeter {
    /// Makes the counter of a rule appear with 0.
    pub(super) fn announce(&self, rule: &str) {
        self.count_near(rule, 0);
    }

    /// Counts an admitted request that leaves its client little room in a limit of the rule.
    pub(crate) fn near_limit(&self, rule: &str) {
        self.count_near(rule, 1);
    }

    fn count_near(&self, rule: &str, requests: u64) {
        let known = self.near.read().unwrap_or_else(PoisonError::into_inner).get(rule).cloned();
        let counter = known.unwrap_or_else(|| {
            let counter = counter!(NEAR_LIMIT, "rule" => rule.to_owned());
            let mut near = self.near.write().unwrap_or_else(PoisonError::into_inner);
            near.entry(rule.into()).or_insert(counter).clone()
        });
        counter.increment(requests);
    }
}
