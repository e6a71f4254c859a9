//! What overrides do to requests, in one instance.

use std::time::Duration;

use tidegate::overrides::{ChangeError, Effect, Expected, MAX_OVERRIDES, Override, Subject};
use tidegate::policy::{Mode, Policy};

use super::{CLIENT, EACH, Instance, OTHER, client, client_rate, each, mode, policy_of, proposal, rate};

#[tokio::test]
async fn a_changed_rate_acts_at_once_and_keeps_the_counts() {
    let instance = Instance::in_memory();
    assert_eq!(instance.admits(CLIENT).await, EACH);
    instance.set(&each(), rate(7)).await;
    assert_eq!(instance.admits(CLIENT).await, 7 - EACH);
    instance.set(&each(), rate(6)).await;
    assert_eq!(instance.admits(CLIENT).await, 0);
    instance.set(&each(), rate(9)).await;
    assert_eq!(instance.admits(CLIENT).await, 2);
    instance.unset(&each()).await;
    assert_eq!(instance.admits(CLIENT).await, 0);
    assert_eq!(instance.admits(OTHER).await, EACH);
}

#[tokio::test]
async fn a_rule_in_shadow_mode_refuses_nothing() {
    let instance = Instance::in_memory();
    assert_eq!(instance.admits(CLIENT).await, EACH);
    instance.set(&each(), mode(Mode::Shadow)).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "shadow_limited");
    instance.set(&each(), mode(Mode::Off)).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "unlimited");
    instance.unset(&each()).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "limited");
}

#[tokio::test]
async fn the_kill_switch_lets_everything_pass() {
    let instance = Instance::in_memory();
    assert_eq!(instance.admits(CLIENT).await, EACH);
    instance.set(&each(), mode(Mode::Enforce)).await;
    instance.set(&Subject::AllRules, mode(Mode::Shadow)).await;
    for (path, outcome) in [("/each", "shadow_limited"), ("/trial", "allowed"), ("/off", "unlimited")] {
        assert_eq!(instance.ask(path, CLIENT).await, outcome, "{path}");
    }
    instance.unset(&Subject::AllRules).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "limited");
}

#[tokio::test]
async fn a_client_with_a_rate_of_its_own_keeps_its_counts() {
    let instance = Instance::in_memory();
    assert_eq!(instance.admits(CLIENT).await, EACH);
    instance.set(&client("each"), client_rate(8)).await;
    assert_eq!(instance.admits(CLIENT).await, 8 - EACH);
    assert_eq!(instance.admits(OTHER).await, EACH);
    instance.unset(&client("each")).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "limited");
}

#[tokio::test]
async fn an_unlimited_client_is_not_charged() {
    let instance = Instance::in_memory();
    instance.set(&client("each"), Effect::Unlimited).await;
    for _ in 0..2 * EACH {
        assert_eq!(instance.ask("/each", CLIENT).await, "unlimited");
    }
    instance.unset(&client("each")).await;
    assert_eq!(instance.admits(CLIENT).await, EACH);
}

#[tokio::test]
async fn a_blocked_client_is_blocked_whatever_the_mode() {
    let instance = Instance::in_memory();
    for rule in ["each", "trial", "off"] {
        instance.set(&client(rule), Effect::Blocked).await;
        assert_eq!(instance.ask(&format!("/{rule}"), CLIENT).await, "blocked");
    }
    for (path, outcome) in [("/each", "allowed"), ("/trial", "allowed"), ("/off", "unlimited")] {
        assert_eq!(instance.ask(path, OTHER).await, outcome, "{path}");
    }
}

/// The rule `each` with other limits for the clients of a tier.
fn tiered(limits: &str) -> Policy {
    let rule = format!(
        "[{{ name: each, match: {{ path: /each }}, key: [client_ip], rate: 5/h, tiers: {{ gold: {limits} }} }}]"
    );
    policy_of(&format!("{rule}\ntiers: [{{ name: gold, match: {{ clients: [203.0.113.0/24] }} }}]"))
}

#[tokio::test]
async fn an_override_of_a_client_comes_before_its_tier() {
    let instance = Instance::in_memory();
    instance.overrides.configure(tiered("unlimited"));
    assert_eq!(instance.ask("/each", CLIENT).await, "unlimited");
    instance.set(&client("each"), client_rate(1)).await;
    assert_eq!(instance.admits(CLIENT).await, 1);
    instance.set(&client("each"), Effect::Blocked).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "blocked");
    assert_eq!(instance.ask("/each", OTHER).await, "unlimited");
}

#[tokio::test]
async fn a_tier_keeps_its_rate_and_takes_the_mode_of_its_rule() {
    let instance = Instance::in_memory();
    instance.overrides.configure(tiered("{ rate: 2/h }"));
    instance.set(&each(), rate(7)).await;
    assert_eq!(instance.admits(CLIENT).await, 2);
    instance.set(&each(), mode(Mode::Shadow)).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "shadow_limited");
    instance.unset(&each()).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "limited");
    instance.set(&Subject::AllRules, mode(Mode::Shadow)).await;
    assert_eq!(instance.ask("/each", CLIENT).await, "shadow_limited");
    instance.overrides.reset("each", CLIENT, "oncall").await.unwrap();
    instance.unset(&Subject::AllRules).await;
    assert_eq!(instance.admits(CLIENT).await, 2);
}

#[tokio::test]
async fn an_override_expires() {
    let instance = Instance::in_memory();
    let set = instance.set_for(&client("each"), Effect::Blocked, Some(Duration::from_millis(300))).await;
    assert!((1..=300).contains(&set.expires_in_ms.unwrap()), "{set:?}");
    instance.comes_to("/each", CLIENT, "allowed").await;
    assert_eq!(instance.overrides.list(), []);
}

#[tokio::test]
async fn a_reset_client_is_admitted_at_once() {
    let instance = Instance::in_memory();
    for _ in 0..2 {
        assert_eq!(instance.admits(CLIENT).await, EACH);
        instance.overrides.reset("each", CLIENT, "oncall").await.unwrap();
    }
    assert_eq!(instance.admits(OTHER).await, EACH);
    assert_eq!(instance.ask("/each", OTHER).await, "limited", "another client was reset");
}

#[tokio::test]
async fn a_client_is_shown_as_its_counter_has_it() {
    let instance = Instance::in_memory();
    instance.ask("/each", CLIENT).await;
    instance.ask("/each", CLIENT).await;
    let effect = Effect::Rule { rate: None, burst: Some(3), mode: None };
    instance.set(&each(), effect).await;
    let shown = instance.overrides.inspect("each", CLIENT).await.unwrap();
    let usage = &shown.usage[0];
    assert_eq!((usage.quota, usage.burst, usage.used), (5, 3, 2));
    assert_eq!((usage.remaining, usage.burst_left, usage.retry_after_ms), (6, 3, 0));
    while instance.ask("/each", CLIENT).await == "allowed" {}
    let usage = instance.overrides.inspect("each", CLIENT).await.unwrap().usage.remove(0);
    assert_eq!((usage.used, usage.remaining, usage.burst_left), (8, 0, 0));
    assert!(usage.retry_after_ms > 0);
    let new = instance.overrides.inspect("each", OTHER).await.unwrap();
    assert_eq!((new.usage[0].used, new.usage[0].remaining), (0, 8));
}

#[tokio::test]
async fn overrides_of_rules_that_are_gone_are_kept() {
    let instance = Instance::in_memory();
    instance.set(&each(), rate(7)).await;
    let without = || policy_of("[{ name: other, match: { path: /each }, key: [client_ip], rate: 1/h }]");
    instance.overrides.configure(without());
    assert_eq!(instance.admits(CLIENT).await, 1);
    assert!(instance.overrides.list()[0].idle.as_deref().unwrap().contains("does not exist"));
    instance.overrides.configure(super::policy());
    assert_eq!(instance.overrides.list()[0].idle, None);
    assert_eq!(instance.admits(CLIENT).await, 7);
}

#[tokio::test]
async fn a_change_that_expects_another_version_is_refused() {
    let instance = Instance::in_memory();
    let first = instance.set(&each(), rate(7)).await.item;
    let put = async |expected: Expected| instance.overrides.put(&each(), &proposal(rate(8)), expected).await;
    let current = |changed: Result<_, ChangeError>| match changed {
        Err(ChangeError::Changed { current }) => current,
        other => panic!("{other:?}"),
    };
    for expected in [Expected::Absent, Expected::Version(first.version + 1)] {
        assert_eq!(current(put(expected).await.map(drop)), Some(first.version));
    }
    let second = put(Expected::Version(first.version)).await.unwrap().item;
    assert!(second.version > first.version);
    let remove = async |expected: Expected| instance.overrides.remove(&each(), expected, "oncall").await;
    assert_eq!(current(remove(Expected::Version(first.version)).await.map(drop)), Some(second.version));
    assert_eq!(remove(Expected::Version(second.version)).await.unwrap(), Some(second));
    assert_eq!(remove(Expected::Anything).await.unwrap(), None::<Override>);
    assert_eq!(current(put(Expected::Present).await.map(drop)), None);
    assert_eq!(put(Expected::Absent).await.unwrap().item.author, "oncall");
}

#[tokio::test]
async fn what_a_rule_cannot_have_is_refused() {
    let instance = Instance::in_memory();
    let two = "[{ name: two, match: { path: /two }, limits: [{ rate: 5/min }, { rate: 50/day }] }]";
    instance.overrides.configure(policy_of(two));
    let put = async |subject: &Subject, effect| {
        instance.overrides.put(subject, &proposal(effect), Expected::Anything).await.unwrap_err().to_string()
    };
    let rule = |name: &str| Subject::Rule(name.into());
    assert_eq!(put(&rule("one"), rate(7)).await, "there is no rule 'one'");
    assert!(put(&rule("two"), rate(7)).await.contains("none per 3600s"));
    assert!(put(&rule("two"), Effect::Blocked).await.contains("a client has"));
    assert!(put(&client("two"), client_rate(7)).await.contains("none per 3600s"));
    assert_eq!(instance.overrides.list(), []);
}

#[tokio::test]
async fn the_number_of_overrides_is_bounded() {
    let instance = Instance::in_memory();
    let of =
        |number: usize| Subject::Client { rule: "each".into(), client: format!("client-{number}").into() };
    let put = async |number: usize| {
        instance.overrides.put(&of(number), &proposal(Effect::Unlimited), Expected::Anything).await
    };
    for number in 0..MAX_OVERRIDES {
        put(number).await.unwrap();
    }
    assert!(matches!(put(MAX_OVERRIDES).await, Err(ChangeError::Full)));
    put(0).await.unwrap();
    instance.unset(&of(1)).await;
    put(MAX_OVERRIDES).await.unwrap();
}
