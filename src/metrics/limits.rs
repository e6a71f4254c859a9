//! The limits of rules, as they are configured and as they are in force.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Gauge, gauge};

use super::table::{RULE_BURST, RULE_CONFIGURED_LIMIT, RULE_LIMIT};

/// The most windows of a rule that are shown: an override may have any, and a series stays until the process ends.
const MAX_WINDOWS: usize = 8;

/// A limit of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShownLimit<'p> {
    pub(crate) rule: &'p str,
    pub(crate) window_ms: i64,
    pub(crate) quota: i64,
    pub(crate) burst: i64,
}

/// Shows the limits of rules.
#[derive(Debug, Default)]
pub(crate) struct LimitMeter {
    shown: Mutex<Shown>,
}

/// The gauges of each rule, each with the length of its window.
type Shown = HashMap<Arc<str>, Vec<(i64, LimitGauges)>>;

/// The gauges of one limit.
#[derive(Debug)]
struct LimitGauges {
    quota: Gauge,
    burst: Gauge,
    configured: Gauge,
}

impl LimitMeter {
    /// Shows these limits. Those shown before that are not among them become NaN: a series cannot be removed.
    pub(crate) fn show<'p>(
        &self,
        configured: impl Iterator<Item = ShownLimit<'p>>,
        in_force: impl Iterator<Item = ShownLimit<'p>>,
    ) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, gauges) in shown.values().flatten() {
            gauges.quota.set(f64::NAN);
            gauges.burst.set(f64::NAN);
            gauges.configured.set(f64::NAN);
        }
        for limit in configured {
            if let Some(gauges) = gauges(&mut shown, limit) {
                gauges.configured.set(as_f64(limit.quota));
            }
        }
        for limit in in_force {
            if let Some(gauges) = gauges(&mut shown, limit) {
                gauges.quota.set(as_f64(limit.quota));
                gauges.burst.set(as_f64(limit.burst));
            }
        }
    }
}

/// Returns the gauges of a limit. None: too many windows of its rule are shown.
fn gauges<'s>(
    shown: &'s mut Shown,
    ShownLimit { rule, window_ms, .. }: ShownLimit<'_>,
) -> Option<&'s LimitGauges> {
    let windows = shown.entry(rule.into()).or_default();
    let index = match windows.iter().position(|(window, _)| *window == window_ms) {
        Some(index) => index,
        None if windows.len() >= MAX_WINDOWS => return None,
        None => {
            let gauge = |name: &'static str| {
                let gauge = gauge!(name, "rule" => rule.to_owned(), "window" => window_label(window_ms));
                gauge.set(f64::NAN);
                gauge
            };
            let (quota, burst) = (gauge(RULE_LIMIT), gauge(RULE_BURST));
            windows.push((window_ms, LimitGauges { quota, burst, configured: gauge(RULE_CONFIGURED_LIMIT) }));
            windows.len() - 1
        }
    };
    windows.get(index).map(|(_, gauges)| gauges)
}

/// Returns the length of a window in seconds where that is exact, as in the names of limits.
fn window_label(window_ms: i64) -> String {
    if window_ms % 1000 == 0 { format!("{}s", window_ms / 1000) } else { format!("{window_ms}ms") }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
fn as_f64(units: i64) -> f64 {
    units as f64
}
