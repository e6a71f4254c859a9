//! What `tidegate check --verbose` prints of each limit: what it promises, in words.

use crate::policy::{Mode, NamedLimit, Policy, Rule};
use crate::window::{Accuracy, Limit, Slices};

/// Returns the lines about all limits of a policy, those of global rules last.
pub(super) fn lines(policy: &Policy) -> Vec<String> {
    let rules = policy.rules().iter().chain(policy.global());
    rules.flat_map(|rule| rule.limits.iter().flat_map(|limit| lines_of(rule, limit))).collect()
}

fn lines_of(rule: &Rule, NamedLimit { name, limit, slices }: &NamedLimit) -> Vec<String> {
    let mode = match rule.mode {
        Mode::Enforce => "",
        Mode::Shadow => " (shadow: refuses nothing)",
        Mode::Off => return vec![format!("  {name}: off")],
    };
    let window = time(limit.window_ms());
    let burst = match limit.burst() {
        0 => String::new(),
        burst => format!(", burst {burst}"),
    };
    let chosen = match slices {
        Slices::Auto => " (auto)",
        Slices::Exactly(_) => "",
    };
    let plural = if limit.slices() == 1 { "" } else { "s" };
    vec![
        format!(
            "  {name}: {} per {window}{burst}, counted in {} slice{plural}{chosen}{mode}",
            limit.quota(),
            limit.slices()
        ),
        format!("    guarantee: {}", guarantee(limit)),
        format!("    accuracy: {} from an exact log (measured by make accuracy)", differs(limit)),
    ]
}

fn guarantee(limit: &Limit) -> String {
    match limit.strict_span_ms() {
        Some(span_ms) => format!(
            "never more than {} requests of one client within {}",
            limit.quota() + limit.burst(),
            time(span_ms)
        ),
        None => "none with a single slice: within one window, up to about twice the limit may be admitted"
            .to_owned(),
    }
}

fn differs(limit: &Limit) -> &'static str {
    match limit.accuracy() {
        Accuracy::Fine => "what is admitted differs by at most 0.7 %",
        Accuracy::Medium => "what is admitted differs by at most 1 %",
        Accuracy::Coarse => "what is admitted differs by at most 2.5 %",
    }
}

/// A time in seconds, or in milliseconds below one second.
fn time(ms: i64) -> String {
    match (ms / 1000, ms % 1000) {
        (0, ms) => format!("{ms}ms"),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, ms) => format!("{seconds}.{}s", format!("{ms:03}").trim_end_matches('0')),
    }
}
