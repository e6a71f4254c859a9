//! From the configured rules and the overrides to the policy in force. Pure.

use super::change::{Effect, Override, Rate, Subject};
use super::set::OverrideSet;
use crate::policy::overridden::{ClientRule, ClientRules};
use crate::policy::{Mode, NamedLimit, Policy, Rule};
use crate::window::{Limit, Slices};

/// Returns the policy with all overrides that apply to its rules.
pub(super) fn effective(configured: &Policy, set: &OverrideSet) -> Policy {
    let changed = |rule: &mut Rule| {
        if let Some(item) = set.get(&Subject::Rule(rule.name.clone())) {
            // What does not apply is listed as such.
            let _ = change_rule(rule, &item.effect);
        }
        if let Some(Override { effect: Effect::Rule { mode: Some(mode), .. }, .. }) =
            set.get(&Subject::AllRules)
        {
            set_mode(rule, weaker(rule.mode, *mode));
        }
    };
    let policy = configured.overridden(changed);
    let mut clients = ClientRules::default();
    for item in set.overrides() {
        if let Subject::Client { rule, client } = &item.subject
            && let Some(named) = policy.named(rule)
            && let Ok(client_rule) = client_rule(named, &item.effect)
        {
            clients.insert(named, client, client_rule);
        }
    }
    policy.with_clients(clients)
}

/// Returns why an override does not apply to these rules. None: it does.
pub(super) fn idle(configured: &Policy, subject: &Subject, effect: &Effect) -> Option<String> {
    let rule = configured.named(subject.rule()?);
    let Some(rule) = rule else { return Some("its rule does not exist".to_owned()) };
    match subject {
        Subject::Client { .. } => client_rule(rule, effect).err(),
        _ => change_rule(&mut rule.clone(), effect).err(),
    }
}

fn change_rule(rule: &mut Rule, effect: &Effect) -> Result<(), String> {
    let Effect::Rule { rate, burst, mode } = effect else { return Ok(()) };
    if rate.is_some() || burst.is_some() {
        rule.limits = limits(rule, *rate, *burst)?;
    }
    if let Some(mode) = mode {
        if rule.limits.is_empty() && *mode != Mode::Off {
            return Err("the rule has no rate: set one too".to_owned());
        }
        set_mode(rule, *mode);
    }
    Ok(())
}

fn client_rule(rule: &Rule, effect: &Effect) -> Result<ClientRule, String> {
    Ok(match effect {
        Effect::Blocked => ClientRule::Blocked,
        Effect::Unlimited | Effect::Rule { .. } => ClientRule::Unlimited,
        Effect::ClientRate { rate, burst } => {
            let limits = limits(rule, Some(*rate), *burst)?;
            ClientRule::Limited(Box::new(Rule { limits, tiers: Vec::new(), ..rule.clone() }))
        }
    })
}

/// Returns the limits of a rule, one of which has another rate or burst.
fn limits(rule: &Rule, rate: Option<Rate>, burst: Option<i64>) -> Result<Vec<NamedLimit>, String> {
    let mut limits = rule.limits.clone();
    let windows = || {
        let texts: Vec<_> = rule.limits.iter().map(|named| window(named.limit.window_ms())).collect();
        texts.join(" and ")
    };
    let replaced = match (&mut *limits, rate) {
        ([], None) => return Err("the rule has no rate: set one too".to_owned()),
        ([], Some(rate)) => {
            let limit = Limit::auto(rate.quota, burst.unwrap_or(0), rate.window_ms);
            let limit = limit.map_err(|error| error.to_string())?;
            return Ok(vec![NamedLimit::new(rule.name.clone(), limit, Slices::Auto)]);
        }
        ([only], _) => only,
        (several, Some(rate)) => {
            let equal = several.iter_mut().find(|named| named.limit.window_ms() == rate.window_ms);
            equal.ok_or_else(|| {
                let window = window(rate.window_ms);
                format!(
                    "the rule has several limits, and none per {window}: expected a rate per {}",
                    windows()
                )
            })?
        }
        (_, None) => {
            return Err(format!(
                "the rule has several limits: a burst needs the rate of one of them, per {}",
                windows()
            ));
        }
    };
    let before = replaced.limit;
    let rate = rate.unwrap_or(Rate { quota: before.quota(), window_ms: before.window_ms() });
    let burst = burst.unwrap_or(before.burst());
    let slices = replaced.slices.number(rate.quota, burst, rate.window_ms);
    let limit = Limit::new(rate.quota, burst, rate.window_ms, slices).map_err(|error| error.to_string())?;
    *replaced = NamedLimit::new(replaced.name.clone(), limit, replaced.slices);
    Ok(limits)
}

/// Sets the mode of a rule, for all tiers.
fn set_mode(rule: &mut Rule, mode: Mode) {
    rule.mode = mode;
    rule.tiers.iter_mut().for_each(|tier| tier.rule.mode = mode);
}

/// Returns the mode that refuses less.
fn weaker(one: Mode, other: Mode) -> Mode {
    match (one, other) {
        (Mode::Off, _) | (_, Mode::Off) => Mode::Off,
        (Mode::Shadow, _) | (_, Mode::Shadow) => Mode::Shadow,
        (Mode::Enforce, Mode::Enforce) => Mode::Enforce,
    }
}

fn window(ms: i64) -> String {
    if ms % 1000 == 0 { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::counter_key::KeySpec;
    use crate::policy::matcher::Match;
    use crate::policy::{OnOutage, Parts};

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 86_400_000;
    const CLIENT: &str = "192.0.2.1";

    fn rule(name: &str, mode: Mode, rates: &[(i64, i64)]) -> Rule {
        Rule {
            name: name.into(),
            matches: Match::default(),
            key: KeySpec::default(),
            limits: rates
                .iter()
                .map(|(quota, window_ms)| NamedLimit::example(name, *quota, *window_ms))
                .collect(),
            mode,
            on_outage: OnOutage::default(),
            trial: None,
            tiers: Vec::new(),
            custom_response: None,
        }
    }

    fn configured() -> Policy {
        let one = rule("one", Mode::Enforce, &[(10, MINUTE)]);
        let two = rule("two", Mode::Shadow, &[(10, MINUTE), (100, DAY)]);
        let off = rule("off", Mode::Off, &[]);
        Policy::new(Parts { rules: vec![one, off], global: vec![two], ..Parts::default() })
    }

    fn set(items: &[(Subject, Effect)]) -> OverrideSet {
        let mut set = OverrideSet::default();
        for (subject, effect) in items {
            let (reason, author) = (String::new(), String::new());
            let (subject, effect) = (subject.clone(), effect.clone());
            set.set(Override { subject, effect, reason, author, set_ms: 0, expires_ms: None, version: 1 });
        }
        set
    }

    fn on(rule: &str) -> Subject {
        Subject::Rule(rule.into())
    }

    fn client(rule: &str) -> Subject {
        Subject::Client { rule: rule.into(), client: CLIENT.into() }
    }

    fn rate(quota: i64, window_ms: i64) -> Effect {
        Effect::Rule { rate: Some(Rate { quota, window_ms }), burst: None, mode: None }
    }

    fn mode(mode: Mode) -> Effect {
        Effect::Rule { rate: None, burst: None, mode: Some(mode) }
    }

    fn client_rate(quota: i64, window_ms: i64) -> Effect {
        Effect::ClientRate { rate: Rate { quota, window_ms }, burst: None }
    }

    /// Returns the quota, window and burst of each limit.
    fn limits_of(rule: &Rule) -> Vec<(i64, i64, i64)> {
        let limits = rule.limits.iter().map(|named| named.limit);
        limits.map(|limit| (limit.quota(), limit.window_ms(), limit.burst())).collect()
    }

    /// Returns the modes of the rules one, two and off.
    fn modes(items: &[(Subject, Effect)]) -> [Mode; 3] {
        let policy = effective(&configured(), &set(items));
        ["one", "two", "off"].map(|name| policy.named(name).unwrap().mode)
    }

    /// Returns the limits of the client, or why it has none.
    fn checked(rule: &str, items: &[(Subject, Effect)]) -> Result<Vec<(i64, i64, i64)>, &'static str> {
        let policy = effective(&configured(), &set(items));
        match policy.clients().get(rule, CLIENT) {
            Some(ClientRule::Blocked) => Err("blocked"),
            Some(ClientRule::Unlimited) => Err("unlimited"),
            Some(ClientRule::Limited(rule)) => Ok(limits_of(rule)),
            None => Ok(limits_of(policy.named(rule).unwrap())),
        }
    }

    #[test]
    fn a_rate_replaces_the_only_limit_whatever_its_window() {
        let policy = effective(&configured(), &set(&[(on("one"), rate(7, DAY))]));
        assert_eq!(limits_of(policy.named("one").unwrap()), [(7, DAY, 0)]);
        assert_eq!(limits_of(policy.named("two").unwrap()), [(10, MINUTE, 0), (100, DAY, 0)]);
    }

    #[test]
    fn a_rate_replaces_the_limit_of_equal_window() {
        let policy = effective(&configured(), &set(&[(on("two"), rate(7, DAY))]));
        assert_eq!(limits_of(policy.named("two").unwrap()), [(10, MINUTE, 0), (7, DAY, 0)]);
    }

    #[test]
    fn a_burst_is_added_to_the_only_limit() {
        let burst = Effect::Rule { rate: None, burst: Some(5), mode: None };
        let policy = effective(&configured(), &set(&[(on("one"), burst)]));
        assert_eq!(limits_of(policy.named("one").unwrap()), [(10, MINUTE, 5)]);
    }

    #[test]
    fn what_a_rule_cannot_have_is_refused() {
        let burst = Effect::Rule { rate: None, burst: Some(5), mode: None };
        for (subject, effect, expected) in [
            (on("two"), rate(7, 1_500), "none per 1500ms: expected a rate per 60s and 86400s"),
            (on("two"), burst.clone(), "a burst needs the rate"),
            (on("off"), burst, "has no rate"),
            (on("off"), mode(Mode::Enforce), "has no rate"),
            (on("one"), rate(0, MINUTE), "at least 1"),
            (client("two"), client_rate(7, 1_500), "none per 1500ms"),
            (on("other"), mode(Mode::Off), "does not exist"),
            (client("other"), Effect::Blocked, "does not exist"),
        ] {
            let reason = idle(&configured(), &subject, &effect).unwrap();
            assert!(reason.contains(expected), "{subject:?}: {reason}");
            effective(&configured(), &set(&[(subject, effect)]));
        }
    }

    #[test]
    fn a_rule_that_is_off_gets_a_rate() {
        let effect = Effect::Rule {
            rate: Some(Rate { quota: 3, window_ms: MINUTE }),
            burst: None,
            mode: Some(Mode::Enforce),
        };
        assert_eq!(idle(&configured(), &on("off"), &effect), None);
        let policy = effective(&configured(), &set(&[(on("off"), effect)]));
        assert_eq!(limits_of(policy.named("off").unwrap()), [(3, MINUTE, 0)]);
    }

    #[test]
    fn the_mode_of_all_rules_makes_none_stricter() {
        use Mode::{Enforce, Off, Shadow};
        let all = |each| (Subject::AllRules, mode(each));
        assert_eq!(modes(&[]), [Enforce, Shadow, Off]);
        assert_eq!(modes(&[all(Shadow)]), [Shadow, Shadow, Off]);
        assert_eq!(modes(&[all(Off)]), [Off, Off, Off]);
        assert_eq!(modes(&[all(Shadow), (on("two"), mode(Enforce))]), [Shadow, Shadow, Off]);
    }

    #[test]
    fn a_client_comes_before_its_rule() {
        let items = [(on("one"), rate(7, MINUTE)), (client("one"), client_rate(50, MINUTE))];
        assert_eq!(checked("one", &items[..1]), Ok(vec![(7, MINUTE, 0)]));
        assert_eq!(checked("one", &items), Ok(vec![(50, MINUTE, 0)]));
        assert_eq!(checked("two", &items), Ok(vec![(10, MINUTE, 0), (100, DAY, 0)]));
    }

    #[test]
    fn a_client_keeps_the_other_limits_of_its_rule() {
        let items = [(on("two"), rate(7, MINUTE)), (client("two"), client_rate(500, DAY))];
        assert_eq!(checked("two", &items), Ok(vec![(7, MINUTE, 0), (500, DAY, 0)]));
    }

    #[test]
    fn an_unlimited_client_is_not_checked() {
        assert_eq!(checked("one", &[(client("one"), Effect::Unlimited)]), Err("unlimited"));
    }
}
