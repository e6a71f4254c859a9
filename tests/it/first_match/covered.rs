//! Rules that are never reached are found as by a comparison of all pairs.

use fastrand::Rng;
use tidegate::config::{Overrides, compile_text};
use tidegate::policy::Policy;

use super::plain::Rule;

/// Of each later rule the name, and that of the first one before it that takes all of its requests.
fn by_pairs(policy: &Policy) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (index, later) in policy.rules().iter().enumerate() {
        let earlier = policy.rules()[..index].iter().find(|earlier| earlier.matches.covers(&later.matches));
        found.extend(earlier.map(|earlier| (later.name.to_string(), earlier.name.to_string())));
    }
    found
}

/// The same, as the errors of a file with these rules name them.
fn reported(rules: &[Rule]) -> Vec<(String, String)> {
    let written: String = rules.iter().enumerate().map(|(name, rule)| rule.written(name)).collect();
    let text = format!("upstream: http://127.0.0.1:1\nrules:\n{written}");
    let found = compile_text("test.yaml", text.as_bytes(), &Overrides::default(), &|_| Ok(None));
    let quoted = |fault: &tidegate::config::Diagnostic| {
        let mut names = fault.message.split('\'').skip(1).step_by(2).map(str::to_owned);
        names.next().zip(names.next()).unwrap_or_else(|| panic!("{fault}"))
    };
    found.err().unwrap_or_default().iter().map(quoted).collect()
}

#[test]
fn rules_that_are_never_reached_are_found_as_by_comparing_all_pairs() {
    let mut random = Rng::with_seed(4);
    let mut total = 0;
    for _ in 0..30 {
        let (rules, policy) = super::rules(&mut random, 100);
        let (want, found) = (by_pairs(&policy), reported(&rules));
        assert_eq!(found, want);
        total += found.len();
    }
    assert!(total > 100, "only {total} rules were never reached");
}
