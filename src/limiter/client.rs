//! What an operator sees and forgets of one client: its counters, and what is remembered of them here.

use std::sync::Arc;

use super::charges::counter_key;
use super::{Backend, Limiter, upgrade};
use crate::policy::{NamedLimit, Rule};
use crate::store::{Charged, StoreError};

/// How a client stands with one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The name of the limit.
    pub name: Arc<str>,
    /// Units per window.
    pub quota: i64,
    /// Units above the quota that a rested client may use.
    pub burst: i64,
    /// The length of the window in milliseconds.
    pub window_ms: i64,
    /// Units that count against the limit.
    pub used: i64,
    /// Units that would be admitted now, the burst allowance included.
    pub remaining: i64,
    /// Units of the burst allowance that are not spent.
    pub burst_left: i64,
    /// Milliseconds until a request that costs one unit is admitted; 0 if it would be now.
    pub retry_after_ms: i64,
}

impl Limiter {
    /// Returns how a client stands with each limit of a rule, as the store has it.
    ///
    /// # Errors
    /// When the store makes no reply.
    pub async fn usage(&self, rule: &Rule, client: &str) -> Result<Vec<Usage>, StoreError> {
        let keys: Vec<String> = rule.limits.iter().map(|named| key(rule, client, named)).collect();
        let charged: Vec<Charged<'_>> = keys
            .iter()
            .zip(&rule.limits)
            .map(|(key, named)| Charged { key, window_ms: named.limit.window_ms() })
            .collect();
        let (now, counters) = match &self.backend {
            Backend::Local(store) => store.read(&charged),
            Backend::Shared(shared) => shared.store.read(&charged).await?,
        };
        let now_ms = now.as_i64();
        let usage = rule.limits.iter().zip(counters).map(|(NamedLimit { name, limit, .. }, counter)| Usage {
            name: Arc::clone(name),
            quota: limit.quota(),
            burst: limit.burst(),
            window_ms: limit.window_ms(),
            used: counter.used(limit, now_ms),
            remaining: counter.remaining(limit, now_ms),
            burst_left: counter.burst_left(limit, now_ms),
            retry_after_ms: counter.retry_after(limit, now_ms, 1).unwrap_or_default(),
        });
        Ok(usage.collect())
    }

    /// Deletes the counters of a client: of all limits of these rules, which are forms of one rule.
    ///
    /// # Errors
    /// When the store makes no reply. The counters may be deleted or not.
    pub async fn delete(&self, rules: &[&Rule], client: &str) -> Result<(), StoreError> {
        let keys = keys(rules, client);
        match &self.backend {
            Backend::Local(store) => store.remove(&keys),
            Backend::Shared(shared) => shared.store.delete(&keys).await?,
        }
        self.forget(rules, client);
        Ok(())
    }

    /// Forgets what is remembered here of the counters of a client, which were deleted.
    pub fn forget(&self, rules: &[&Rule], client: &str) {
        let keys = keys(rules, client);
        if let Backend::Shared(shared) = &self.backend {
            shared.forget(&keys);
        }
        self.refusals.forget(&keys, self.timeline.now());
    }
}

/// Returns the keys of all counters of a client, also those of the previous version.
fn keys(rules: &[&Rule], client: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let tiers = rules.iter().flat_map(|rule| rule.tiers.iter().map(|tier| &tier.rule));
    for rule in rules.iter().copied().chain(tiers) {
        for named in &rule.limits {
            let key = key(rule, client, named);
            keys.extend(upgrade::former_key(&key, named));
            keys.push(key);
        }
        let trial = rule
            .trial
            .iter()
            .map(|trial| counter_key(client.to_owned(), &trial.name, trial.limit.window_ms()));
        keys.extend(trial);
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn key(rule: &Rule, client: &str, named: &NamedLimit) -> String {
    counter_key(client.to_owned(), &rule.name, named.limit.window_ms())
}
