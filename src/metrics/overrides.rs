//! The metric of overrides.

use metrics::gauge;

use super::table::OVERRIDES;

/// Sets how many overrides of a kind are in force.
pub(crate) fn overrides(kind: &'static str, number: usize) {
    gauge!(OVERRIDES, "kind" => kind).set(number as f64);
}
