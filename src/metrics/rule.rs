//! What is measured of each rule, besides its requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use metrics::{Counter, Gauge, counter, gauge};

use super::table::{NEAR_LIMIT, RULE_BURST, RULE_LIMIT};

/// A limit as it is configured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfiguredLimit<'p> {
    pub(crate) rule: &'p str,
    pub(crate) window_ms: i64,
    pub(crate) quota: i64,
    pub(crate) burst: i64,
}

/// Counts requests that are near a limit, and shows which limits are configured.
#[derive(Debug, Default)]
pub(crate) struct RuleMeter {
    near: RwLock<HashMap<Arc<str>, Counter, foldhash::fast::RandomState>>,
    /// By rule and window.
    limits: Mutex<HashMap<(Arc<str>, i64), LimitGauges>>,
}

/// The gauges of one limit.
#[derive(Debug)]
struct LimitGauges {
    quota: Gauge,
    burst: Gauge,
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

    /// Shows these limits, and those shown before that are not among them as NaN: a series cannot be removed.
    pub(crate) fn show_limits<'p>(&self, limits: impl Iterator<Item = ConfiguredLimit<'p>>) {
        let mut shown = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        for gauges in shown.values() {
            gauges.set(f64::NAN, f64::NAN);
        }
        for ConfiguredLimit { rule, window_ms, quota, burst } in limits {
            let gauges = shown.entry((rule.into(), window_ms)).or_insert_with(|| {
                let gauge = |name: &'static str| {
                    gauge!(name, "rule" => rule.to_owned(), "window" => window_label(window_ms))
                };
                LimitGauges { quota: gauge(RULE_LIMIT), burst: gauge(RULE_BURST) }
            });
            gauges.set(as_f64(quota), as_f64(burst));
        }
    }
}

impl LimitGauges {
    fn set(&self, quota: f64, burst: f64) {
        self.quota.set(quota);
        self.burst.set(burst);
    }
}

/// Returns the length of a window in seconds where that is exact, as in the names of limits.
fn window_label(window_ms: i64) -> String {
    if window_ms % 1000 == 0 { format!("{}s", window_ms / 1000) } else { format!("{window_ms}ms") }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
fn as_f64(units: i64) -> f64 {
    units as f64
}
