//! Reads the rules and what they are about, and finds what only the whole can show: rules that are never reached. Pure.

use ipnet::IpNet;

use super::diagnostic::Fault;
use super::name::Names;
use super::report::Spanned;
use super::rules::{self, Defaults};
use super::secret::Secrets;
use super::section::Section;
use super::tiers::{self, Reading};
use super::value::Value;
use super::{access_log, bypass, chosen_keys, client, path};
use crate::policy::bypass::{Bypass, Condition};
use crate::policy::client::ClientIdentity;
use crate::policy::counter_key::KeyPart;
use crate::policy::covering::first_covers;
use crate::policy::matcher::Match;
use crate::policy::{OnOutage, Parts, Policy, Rule};

/// Reads the policy. `limits` are those of the command line: they come before the file's rules. `on_outage` holds for
/// rules without their own. `clients_named`: the listener requests certificates of its clients.
pub(super) fn read(
    file: &mut Section<'_>,
    limits: &[Value<'_>],
    on_outage: OnOutage,
    clients_named: bool,
    secrets: &Secrets<'_>,
) -> Policy {
    let (client, hash_key) = client::read(file, secrets);
    let path = path::read(file);
    let bypass = file.items("bypass", "expected a list of bypasses, each starting with '- name:'");
    let help = "expected a list of rules, each starting with '- name:'";
    let tiers = file.items("tiers", "expected a list of tiers, each starting with '- name:'");
    let (global, rules) = (file.items("global", help), file.items("rules", help));

    let mut names = Names::of_rules();
    let reading = Reading { path: &path, ipv6_prefix: client.ipv6_prefix, hash_key: &hash_key, secrets };
    let tiers = tiers::read(&tiers, reading);
    let per_client = Defaults { key: &[KeyPart::ClientIp], on_outage, path: &path, tiers: &tiers };
    let shared = Defaults { key: &[], ..per_client };
    let read = |rule: &Value<'_>| rules::read(rule, per_client, &mut names);
    let rules: Vec<_> = limits.iter().chain(&rules).filter_map(read).collect();
    let global: Vec<_> = global.iter().filter_map(|rule| rules::read(rule, shared, &mut names)).collect();
    let bypass = bypass.iter().filter_map(|value| bypass::read(value, &path, &mut names, secrets));
    let bypass: Vec<_> = bypass.collect();
    unreachable(&rules);
    bypassed(&rules, &bypass);
    chosen_keys::warn(&rules, &global);
    tiers::unreachable(&tiers, rules.iter().chain(&global));
    bypass_order(&bypass);
    behind_proxies(&bypass, &client);
    if !clients_named {
        nameless(rules.iter().chain(&global), &bypass);
    }
    if rules.is_empty() && global.is_empty() {
        let message = "there are no rules: every request passes";
        file.location.warn(message, "add rules:, or give --limit");
    }
    Policy::new(Parts {
        rules: rules.into_iter().map(|at| at.value).collect(),
        global: global.into_iter().map(|at| at.value).collect(),
        bypass: bypass.into_iter().map(|at| at.value).collect(),
        client,
        path,
        hash_key,
        x_ratelimit_headers: file.boolean("x_ratelimit_headers", false),
        forwarded: file.boolean("forwarded", false),
        access_log: access_log::read(file),
    })
}

/// Reports a rule whose requests an earlier rule takes, all of them. Of two rules with one name that is an error already.
fn unreachable(rules: &[Spanned<Rule>]) {
    let matches: Vec<&Match> = rules.iter().map(|at| &at.value.matches).collect();
    for (later, earlier) in rules.iter().zip(first_covers(&matches)) {
        let earlier = earlier.and_then(|index| rules.get(index));
        let Some(earlier) = earlier.filter(|earlier| earlier.value.name != later.value.name) else {
            continue;
        };
        let (name, taker) = (&later.value.name, &earlier.value.name);
        let message = format!("the rule '{name}' is never reached: '{taker}' takes all of its requests");
        if earlier.location.is_flag() && !later.location.is_flag() {
            later.location.warn(message, "that is right if the flag is meant to replace the rule");
        } else {
            let help = format!("move it above '{taker}', or remove it");
            later.location.collision(Fault::new(message, help), &earlier.location);
        }
    }
}

/// Warns of a rule whose path a bypass lets through.
fn bypassed(rules: &[Spanned<Rule>], bypasses: &[Spanned<Bypass>]) {
    for Spanned { value: rule, location } in rules {
        let lets_through = |at: &&Spanned<Bypass>| match &at.value.on {
            Condition::Paths(paths) => paths.cover(&rule.matches.path),
            Condition::Clients(networks) => {
                !rule.matches.clients.is_empty() && rule.matches.clients.are_within(networks)
            }
            _ => false,
        };
        if let Some(bypass) = bypasses.iter().find(lets_through) {
            let (name, bypass) = (&rule.name, &bypass.value.name);
            let message = format!(
                "the rule '{name}' is never checked: the bypass '{bypass}' lets its requests through"
            );
            location.warn(message, "narrow the bypass, or remove the rule");
        }
    }
}

/// Warns of a bypass whose requests an earlier one lets through, all of them.
fn bypass_order(bypasses: &[Spanned<Bypass>]) {
    for (index, later) in bypasses.iter().enumerate() {
        let covers = |earlier: &&Spanned<Bypass>| earlier.value.on.covers(&later.value.on);
        if let Some(earlier) = bypasses.iter().take(index).find(covers) {
            let (name, earlier) = (&later.value.name, &earlier.value.name);
            let message =
                format!("the bypass '{name}' is never reached: '{earlier}' lets all of its requests through");
            later.location.warn(message, "remove it, or narrow the one above");
        }
    }
}

/// Warns of bypasses by address that do not do behind trusted proxies what they seem to do.
fn behind_proxies(bypasses: &[Spanned<Bypass>], client: &ClientIdentity) {
    let proxies = &client.trusted_proxies;
    let is_proxy =
        |network: &IpNet| proxies.iter().any(|proxy| proxy.contains(network) || network.contains(proxy));
    for Spanned { value: bypass, location } in bypasses {
        match &bypass.on {
            Condition::Networks(_) if !proxies.is_empty() => location.warn(
                "this lets no client behind a trusted proxy through: cidrs are the networks of the connection's own peer",
                "expected clients: with the networks of the clients, unless they connect without a proxy",
            ),
            Condition::Clients(networks) if networks.iter().any(is_proxy) => location.warn(
                "this lets every client through that a trusted proxy does not name: such a client counts as the proxy",
                "leave the networks in trusted_proxies out",
            ),
            _ => {}
        }
    }
}

/// Warns of rules and bypasses that depend on the names in certificates, if clients are not asked for any.
fn nameless<'r>(rules: impl Iterator<Item = &'r Spanned<Rule>>, bypasses: &[Spanned<Bypass>]) {
    let by_its_name =
        |rule: &Rule| rule.key.parts.iter().flat_map(KeyPart::read).any(|part| *part == KeyPart::TlsSan);
    let keyed = rules.filter(|at| by_its_name(&at.value)).map(|at| &at.location);
    let by_name = |at: &&Spanned<Bypass>| matches!(at.value.on, Condition::Names(_));
    for location in keyed.chain(bypasses.iter().filter(by_name).map(|at| &at.location)) {
        let message = "no client has such a name: clients are not asked for certificates";
        location.warn(message, "name the authority of their certificates in tls.client_ca_file");
    }
}
