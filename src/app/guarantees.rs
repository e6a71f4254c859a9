//! What `tidegate check --verbose` prints of each limit: what it promises, in words.

use crate::policy::{Mode, NamedLimit, Policy, Rule};
use crate::window::{Limit, Slices};

/// Returns the lines about all limits of a policy, those of global rules last.
pub(super) fn lines(policy: &Policy) -> Vec<String> {
    let rules = policy.rules().iter().chain(policy.global());
    let limits = rules.flat_map(|rule| {
        let trial = rule.trial.as_deref().map(|trial| (rule, trial, " (trial: refuses nothing)".to_owned()));
        let tiers = rule.tiers.iter().flat_map(move |each| {
            let note = format!(" (tier {})", each.tier.name);
            each.rule.limits.iter().map(move |limit| (rule, limit, note.clone()))
        });
        let own = rule.limits.iter().map(move |limit| (rule, limit, String::new()));
        own.chain(tiers).chain(trial)
    });
    limits.flat_map(|(rule, limit, note)| lines_of(rule, limit, &note)).collect()
}

fn lines_of(rule: &Rule, limit: &NamedLimit, note: &str) -> Vec<String> {
    let NamedLimit { name, limit, slices, .. } = limit;
    let mode = match rule.mode {
        Mode::Enforce => note,
        Mode::Shadow if note.is_empty() => " (shadow: refuses nothing)",
        Mode::Shadow => note,
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
    let mut lines = vec![
        format!(
            "  {name}: {} per {window}{burst}, counted in {} slice{plural}{chosen}{mode}",
            limit.quota(),
            limit.slices()
        ),
        format!("    guarantee: {}", guarantee(limit)),
    ];
    lines.extend(accuracy(limit).map(|accuracy| format!("    accuracy: {accuracy}")));
    lines
}

fn guarantee(limit: &Limit) -> String {
    match limit.strict_span_ms() {
        Some(span_ms) => format!(
            "never more than {} of one key within {}",
            requests(limit.quota() + limit.burst()),
            time(span_ms)
        ),
        None => "none with a single slice: within one window, up to about twice the limit may be admitted"
            .to_owned(),
    }
}

fn requests(number: i64) -> String {
    format!("{number} request{}", if number == 1 { "" } else { "s" })
}

/// Returns what was measured with these slices. Numbers other than those of auto are not measured for each limit.
fn accuracy(limit: &Limit) -> Option<String> {
    limit.strict_span_ms()?;
    let auto = limit.auto_slices();
    Some(match limit.slices() == auto {
        true => "within 0.7 % of an exact log, apart from adversaries (measured for limits of 5 to 1,000)"
            .to_owned(),
        false => format!("not measured with this number of slices; auto chooses {auto}"),
    })
}

/// A time in seconds, or in milliseconds below one second.
pub(super) fn time(ms: i64) -> String {
    match (ms / 1000, ms % 1000) {
        (0, ms) => format!("{ms}ms"),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, ms) => format!("{seconds}.{}s", format!("{ms:03}").trim_end_matches('0')),
    }
}
