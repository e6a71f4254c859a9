use super::decide;
use crate::limiter::charges::DecidedCharge;
use crate::limiter::fixtures::{Given, QUOTA, WINDOW_MS, decided, rule};
use crate::limiter::verdict::Verdict;
use crate::policy::{Mode, NamedLimit, OnOutage, Rule};
use Given::{Exceeds, Fits, Undecided};

/// Returns the verdict on charges of rules, as text: the kind, and what it names.
fn verdict(given: &[(&Rule, Given)]) -> String {
    decided(given, |charges| match decide(charges.iter().map(DecidedCharge::outcome)) {
        Verdict::Pass { standing, exceeded, .. } => {
            let standing = standing.map(|standing| format!("{}={}", standing.limit.name, standing.remaining));
            let exceeded: Vec<&str> = exceeded.iter().map(|rule| &*rule.name).collect();
            format!("pass {} [{}]", standing.unwrap_or_default(), exceeded.join(" "))
        }
        Verdict::Refuse(limited) => {
            let standing = limited.standing;
            let violated: Vec<&str> = limited.violated.iter().map(|limit| &*limit.name).collect();
            let (rule, limit, violated) = (&limited.rule.name, &standing.limit.name, violated.join(" "));
            format!("refuse {rule} {limit}={} [{violated}]", standing.reset_ms)
        }
        Verdict::Unchecked => "unchecked".to_owned(),
        Verdict::Unavailable { rule } => format!("unavailable {}", rule.name),
    })
}

fn enforced(name: &str) -> Rule {
    rule(name, Mode::Enforce, OnOutage::Local)
}

fn shadow(name: &str) -> Rule {
    rule(name, Mode::Shadow, OnOutage::Local)
}

fn with(name: &str, on_outage: OnOutage) -> Rule {
    rule(name, Mode::Enforce, on_outage)
}

#[test]
fn a_request_without_charges_passes() {
    assert_eq!(verdict(&[]), "pass  []");
}

#[test]
fn a_request_passes_with_the_tightest_standing() {
    let (a, b, c) = (enforced("a"), enforced("b"), enforced("c"));
    assert_eq!(verdict(&[(&a, Fits(5)), (&b, Fits(2)), (&c, Fits(7))]), "pass b=2 []");
}

#[test]
fn of_equal_standings_the_first_counts() {
    let (a, b) = (enforced("a"), enforced("b"));
    assert_eq!(verdict(&[(&a, Fits(2)), (&b, Fits(2))]), "pass a=2 []");
}

#[test]
fn the_standing_describes_the_limit() {
    let a = enforced("a");
    decided(&[(&a, Fits(4))], |charges| {
        let verdict = decide(charges.iter().map(DecidedCharge::outcome));
        let Verdict::Pass { standing: Some(standing), .. } = verdict else { panic!("not passed") };
        let NamedLimit { name, limit, .. } = standing.limit;
        let described = (&**name, limit.quota(), limit.window_ms(), standing.remaining);
        assert_eq!(described, ("a", QUOTA, WINDOW_MS, 4));
    });
}

#[test]
fn the_limit_that_has_room_last_refuses() {
    let (a, b, c) = (enforced("a"), enforced("b"), enforced("c"));
    let given = [(&a, Exceeds(1_000)), (&b, Exceeds(3_000)), (&c, Exceeds(2_000))];
    assert_eq!(verdict(&given), "refuse b b=3000 [a b c]");
}

#[test]
fn of_limits_that_have_room_at_the_same_time_the_first_refuses() {
    let (a, b) = (enforced("a"), enforced("b"));
    assert_eq!(verdict(&[(&a, Exceeds(1_000)), (&b, Exceeds(1_000))]), "refuse a a=1000 [a b]");
}

#[test]
fn limits_with_room_are_not_violated() {
    let (a, b) = (enforced("a"), enforced("b"));
    assert_eq!(verdict(&[(&a, Fits(0)), (&b, Exceeds(1_000))]), "refuse b b=1000 [b]");
}

#[test]
fn a_limit_with_two_counters_is_violated_once() {
    let a = enforced("a");
    assert_eq!(verdict(&[(&a, Exceeds(1_000)), (&a, Exceeds(2_000))]), "refuse a a=2000 [a]");
}

#[test]
fn a_shadow_rule_without_room_does_not_refuse() {
    let (a, b) = (enforced("a"), shadow("b"));
    assert_eq!(verdict(&[(&a, Fits(3)), (&b, Exceeds(1_000))]), "pass a=3 [b]");
}

#[test]
fn the_standing_is_not_one_of_a_shadow_rule() {
    let (a, b) = (enforced("a"), shadow("b"));
    assert_eq!(verdict(&[(&a, Fits(3)), (&b, Fits(1))]), "pass a=3 []");
}

#[test]
fn a_shadow_rule_with_two_exceeded_limits_is_listed_once() {
    let (a, b) = (shadow("a"), shadow("b"));
    assert_eq!(verdict(&[(&a, Exceeds(1)), (&a, Exceeds(1)), (&b, Exceeds(1))]), "pass  [a b]");
}

#[test]
fn a_shadow_rule_without_a_decision_changes_nothing() {
    let (a, b) = (enforced("a"), rule("b", Mode::Shadow, OnOutage::Closed));
    assert_eq!(verdict(&[(&a, Fits(3)), (&b, Undecided)]), "pass a=3 []");
}

#[test]
fn an_open_rule_without_a_decision_leaves_the_request_unchecked() {
    let (a, b) = (enforced("a"), with("b", OnOutage::Open));
    assert_eq!(verdict(&[(&a, Fits(3)), (&b, Undecided)]), "unchecked");
}

#[test]
fn a_local_rule_without_a_decision_leaves_the_request_unchecked() {
    assert_eq!(verdict(&[(&enforced("a"), Undecided)]), "unchecked");
}

#[test]
fn a_closed_rule_without_a_decision_makes_the_request_unavailable() {
    let (a, b) = (enforced("a"), with("b", OnOutage::Closed));
    assert_eq!(verdict(&[(&a, Fits(3)), (&b, Undecided)]), "unavailable b");
}

#[test]
fn a_closed_rule_wins_over_an_open_one() {
    let (open, closed) = (with("open", OnOutage::Open), with("closed", OnOutage::Closed));
    assert_eq!(verdict(&[(&open, Undecided), (&closed, Undecided)]), "unavailable closed");
}

#[test]
fn the_first_of_several_closed_rules_is_named() {
    let (a, b) = (with("a", OnOutage::Closed), with("b", OnOutage::Closed));
    assert_eq!(verdict(&[(&a, Undecided), (&b, Undecided)]), "unavailable a");
}

#[test]
fn a_closed_rule_with_a_decision_does_not_make_the_request_unavailable() {
    let (open, closed) = (with("open", OnOutage::Open), with("closed", OnOutage::Closed));
    assert_eq!(verdict(&[(&open, Undecided), (&closed, Fits(3))]), "unchecked");
}

#[test]
fn a_refusal_wins_over_a_closed_rule_without_a_decision() {
    let (a, b) = (enforced("a"), with("b", OnOutage::Closed));
    assert_eq!(verdict(&[(&b, Undecided), (&a, Exceeds(1_000))]), "refuse a a=1000 [a]");
}

/// Returns the rules of which a limit is nearly used up after a request with these charges.
fn near(given: &[(&Rule, Given)]) -> Vec<String> {
    decided(given, |charges| match decide(charges.iter().map(DecidedCharge::outcome)) {
        Verdict::Pass { near, .. } => near.iter().map(|rule| rule.name.to_string()).collect(),
        verdict => panic!("not passed: {verdict:?}"),
    })
}

#[test]
fn a_limit_is_near_when_less_than_a_fifth_of_it_remains() {
    let (a, b) = (enforced("a"), enforced("b"));
    assert_eq!(near(&[(&a, Fits(QUOTA / 5)), (&b, Fits(QUOTA / 5 - 1))]), ["b"]);
}

#[test]
fn a_shadow_rule_is_near_its_limit_until_it_is_over_it() {
    let (a, b) = (shadow("a"), shadow("b"));
    assert_eq!(near(&[(&a, Fits(0)), (&b, Exceeds(5))]), ["a"]);
}
