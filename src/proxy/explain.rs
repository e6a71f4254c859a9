//! What the proxy would do with a request, and why: the same code decides, and nothing is counted.

use std::net::IpAddr;

use http::Request;

use super::parsed::{facts, read};
use super::tunnel;
use crate::bounds::Bounds;
use crate::policy::client::Client;
use crate::policy::condition::Condition;
use crate::policy::counter_key::Resolved;
use crate::policy::holds::Holds;
use crate::policy::matcher::Match;
use crate::policy::{Check, Facts, Mode, Plan, Policy, Rule};

/// What the proxy would do with a request.
#[derive(Debug)]
pub(crate) struct Explanation<'p> {
    /// The request as the rules see it. None: it is refused before.
    pub(crate) seen: Option<Seen>,
    pub(crate) decision: Decision<'p>,
    /// What is charged, all or none: global rules, then endpoint rules.
    pub(crate) checks: Vec<Checked<'p>>,
    /// The bypasses and rules that the request does not fall under.
    pub(crate) others: Vec<Other<'p>>,
}

/// A request as the rules see it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) host: String,
    /// The path that rules compare.
    pub(crate) path: String,
    /// The path and the query that are forwarded.
    pub(crate) forwarded: String,
    pub(crate) websocket: bool,
    pub(crate) client: Client,
    /// Whether the peer is a trusted proxy.
    pub(crate) trusted_peer: bool,
}

/// What becomes of the request.
#[derive(Debug)]
pub(crate) enum Decision<'p> {
    /// A bypass lets it through.
    Bypassed { bypass: &'p str },
    /// It is refused without a check, with this status and for this reason.
    Refused { status: u16, reason: String },
    /// It counts against the checks.
    Checked,
    /// No rule has anything to check.
    Unlimited,
}

/// A rule that the request counts against.
#[derive(Debug)]
pub(crate) struct Checked<'p> {
    pub(crate) rule: &'p Rule,
    pub(crate) is_global: bool,
    /// The tier whose limits these are.
    pub(crate) tier: Option<&'p str>,
    /// The client's part of the counter's key.
    pub(crate) client: String,
    /// Whether the rule matches in some readings of the request only.
    pub(crate) in_one_reading: bool,
}

/// What kind of thing a request does not fall under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bypass,
    Rule,
    Global,
}

/// A bypass or a rule that the request does not fall under, and why.
#[derive(Debug)]
pub(crate) struct Other<'p> {
    pub(crate) kind: Kind,
    pub(crate) name: &'p str,
    pub(crate) why: String,
}

/// Explains what becomes of a request over HTTP/1.1 from `peer`.
pub(crate) fn explain<'p>(
    policy: &'p Policy,
    bounds: &Bounds,
    mut request: Request<()>,
    peer: IpAddr,
) -> Explanation<'p> {
    let websocket = tunnel::is_handshake(&request);
    let (target, client) = match read(&mut request, peer, policy, bounds) {
        Ok(read) => read,
        Err(error) => {
            let decision = Decision::Refused { status: error.status().as_u16(), reason: error.to_string() };
            return Explanation { seen: None, decision, checks: Vec::new(), others: Vec::new() };
        }
    };
    let facts = facts(&request, &target, client, websocket, &[]);
    let seen = Seen {
        host: facts.host.to_owned(),
        path: facts.path.to_owned(),
        forwarded: target.path_and_query.to_string(),
        websocket,
        client,
        trusted_peer: policy.client().trusts(client.peer),
    };
    let (decision, checks) = decide(policy, &facts);
    let others = others(policy, &facts, &decision, &checks);
    Explanation { seen: Some(seen), decision, checks, others }
}

fn decide<'p>(policy: &'p Policy, facts: &Facts<'_>) -> (Decision<'p>, Vec<Checked<'p>>) {
    let refused = |reason| (Decision::Refused { status: 400, reason }, Vec::new());
    let checks = match policy.plan(facts) {
        Plan::Bypass(bypass) => return (Decision::Bypassed { bypass: &bypass.name }, Vec::new()),
        Plan::Reject { rule, missing } => {
            return refused(format!("the key of rule {} needs {missing}, once and not empty", rule.name));
        }
        Plan::TooManyValues { rule, part } => {
            return refused(format!(
                "it has too many different values of {part} for the key of rule {}",
                rule.name
            ));
        }
        Plan::TooManyReadings { rule } => {
            let reason = "it repeats header fields or query parameters with too many different values";
            return refused(format!("{reason}, from rule {} on", rule.name));
        }
        Plan::Blocked { rule } => {
            let reason = format!("an operator has blocked its client for rule {}", rule.name);
            return (Decision::Refused { status: 403, reason }, Vec::new());
        }
        Plan::Check { checks, .. } => checks,
    };
    let decoded = facts.decoded();
    let in_all = |rule: &Rule, facts: &Facts<'_>| rule.matches.holds(facts) == Holds::Always;
    let has_own = |rule: &Rule, client: &str| policy.clients().get(&rule.name, client).is_some();
    let checked = |Check { rule, client }: Check<'p>| {
        let named = |each: &&Rule| each.name == rule.name;
        let global = policy.global().iter().find(named);
        // That of a tier is a copy of the rule with the limits of the tier.
        let base = global.or_else(|| policy.rules().iter().find(named));
        Checked {
            rule,
            is_global: global.is_some(),
            tier: base
                .filter(|_| !has_own(rule, &client))
                .and_then(|base| base.tier(facts, &client))
                .map(|tier| &*tier.tier.name),
            client,
            in_one_reading: !in_all(rule, facts)
                || decoded.as_ref().is_some_and(|facts| !in_all(rule, facts)),
        }
    };
    let checks: Vec<Checked<'_>> = checks.into_iter().map(checked).collect();
    (if checks.is_empty() { Decision::Unlimited } else { Decision::Checked }, checks)
}

/// Returns the bypasses and rules that the request does not fall under. Where a bypass lets it through, rules play no part.
fn others<'p>(
    policy: &'p Policy,
    facts: &Facts<'_>,
    decision: &Decision<'p>,
    checks: &[Checked<'p>],
) -> Vec<Other<'p>> {
    let mut others = Vec::new();
    for bypass in policy.bypasses() {
        if matches!(decision, Decision::Bypassed { .. }) && bypass.admits(facts) {
            return others;
        }
        let why = match bypass.admits(facts) {
            true => "it matches the path as it is sent, but not with its separators decoded".to_owned(),
            false => bypass.on.lacking(),
        };
        others.push(Other { kind: Kind::Bypass, name: &bypass.name, why });
    }
    let is_checked = |rule: &Rule| checks.iter().any(|check| check.rule.name == rule.name);
    for rule in policy.global().iter().filter(|rule| !is_checked(rule)) {
        let why = lacking(&rule.matches, facts).unwrap_or_else(|| unchecked(policy, rule, facts));
        others.push(Other { kind: Kind::Global, name: &rule.name, why });
    }
    let mut decisive: Option<&str> = None;
    for rule in policy.rules() {
        if !is_checked(rule) {
            let why = match (lacking(&rule.matches, facts), decisive) {
                (Some(why), _) => why,
                (None, Some(before)) => format!("it would match, but {before} comes first"),
                (None, None) => unchecked(policy, rule, facts),
            };
            others.push(Other { kind: Kind::Rule, name: &rule.name, why });
        }
        if decisive.is_none() && rule.matches.holds(facts) == Holds::Always {
            decisive = Some(&rule.name);
        }
    }
    others
}

/// Returns the first condition that does not hold in any reading of the request.
fn lacking(matches: &Match, facts: &Facts<'_>) -> Option<String> {
    let fails = |condition: &Condition<'_>| !condition.holds(facts).is_possible();
    let holds = |condition: &Condition<'_>| condition.holds(facts) == Holds::Always;
    let failed = matches.conditions().find(fails).map(|condition| format!("no match: {condition}"));
    failed
        .or_else(|| matches.exclusions().find(holds).map(|condition| format!("excluded by not: {condition}")))
}

/// Returns why a rule that takes the request checks nothing.
fn unchecked(policy: &Policy, rule: &Rule, facts: &Facts<'_>) -> String {
    if rule.mode == Mode::Off {
        return "it matches, and checks nothing (mode: off)".to_owned();
    }
    let clients = match policy.key(rule, facts) {
        Resolved::Client(client) => vec![client],
        Resolved::Clients(clients) => clients.into_iter().collect(),
        Resolved::Skip | Resolved::Reject(_) | Resolved::TooMany(_) => Vec::new(),
    };
    match clients.iter().find_map(|client| rule.tier(facts, client)) {
        Some(tier) => format!("it matches, and the tier {} is unlimited", tier.tier.name),
        None => {
            let parts: Vec<String> = rule.key.parts.iter().map(ToString::to_string).collect();
            format!("it matches, but a part of its key is missing ({})", parts.join(", "))
        }
    }
}
