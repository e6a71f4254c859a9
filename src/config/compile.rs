//! Shapes into the policy, and what only the whole can show: double names, rules that are never reached. Pure.

use std::collections::HashMap;

use super::diagnostic::Fault;
use super::report::Location;
use super::rules::{self, Defaults};
use super::secret::Secrets;
use super::{bypass, schema};
use crate::policy::bypass::{Bypass, Condition};
use crate::policy::key::KeyPart;
use crate::policy::{Parts, Policy};
use crate::settings::ServerTls;

/// Compiles the rules. `flags` are those of the command line: they come before the file's.
pub(super) fn policy(
    file: &schema::File,
    flags: &[schema::Rule],
    tls: Option<&Option<ServerTls>>,
    secrets: &Secrets<'_>,
) -> Policy {
    unique_names(file, flags);
    let on_outage = file.on_outage;
    let per_client = Defaults { key: &[KeyPart::ClientIp], on_outage, path: &file.path };
    let shared = Defaults { key: &[], ..per_client };
    let rules: Vec<_> =
        flags.iter().chain(&file.rules).filter_map(|rule| rules::compile(rule, per_client)).collect();
    let global: Vec<_> = file.global.iter().filter_map(|rule| rules::compile(rule, shared)).collect();
    let bypass: Vec<_> =
        file.bypass.iter().filter_map(|shape| bypass::compile(shape, &file.path, secrets)).collect();
    let (client, hash_key) = bypass::client(&file.client, secrets);
    unreachable(&rules);
    bypassed(&rules, &bypass);
    if tls.is_none_or(|tls| tls.as_ref().is_some_and(|tls| tls.client_ca.is_none())) {
        nameless(rules.iter().chain(&global), file);
    }
    if file.rules.is_empty() && file.global.is_empty() && flags.is_empty() {
        file.root.warn("there are no rules: every request passes", "add rules:, or give --limit");
    }
    Policy::new(Parts {
        rules: rules.into_iter().map(|compiled| compiled.rule).collect(),
        global: global.into_iter().map(|compiled| compiled.rule).collect(),
        bypass,
        client,
        path: file.path,
        hash_key,
        x_ratelimit_headers: file.x_ratelimit_headers,
        forwarded: file.forwarded,
    })
}

fn unique_names(file: &schema::File, flags: &[schema::Rule]) {
    let rules = flags.iter().chain(&file.rules).chain(&file.global).filter_map(|rule| rule.name.as_ref());
    let bypasses = file.bypass.iter().filter_map(|bypass| bypass.name.as_ref());
    let mut seen: HashMap<&str, &Location> = HashMap::new();
    for name in rules.chain(bypasses) {
        match seen.get(&*name.value) {
            None => drop(seen.insert(&name.value, &name.location)),
            Some(first) => {
                let message = format!("the name '{}' is taken", name.value);
                let help = match name.location.is_flag() {
                    true => "add ,name=NAME to one of the limits: counters and metrics go by the name",
                    false => "give it another name: counters and metrics go by it",
                };
                name.location.collision(Fault::new(message, help), first);
            }
        }
    }
}

/// A rule whose requests an earlier one takes, all of them.
fn unreachable(rules: &[rules::Compiled]) {
    for (index, later) in rules.iter().enumerate() {
        let mut before = rules.iter().take(index);
        let Some(earlier) = before.find(|earlier| earlier.rule.matches.covers(&later.rule.matches)) else {
            continue;
        };
        let (name, taker) = (&later.rule.name, &earlier.rule.name);
        let message = format!("the rule '{name}' is never reached: '{taker}' takes all of its requests");
        match (later.location.is_flag(), earlier.location.is_flag()) {
            (false, true) => {
                later.location.warn(message, "that is right if the flag is meant to replace the rule");
            }
            _ => {
                let help = format!("move it above '{taker}', or remove it");
                later.location.collision(Fault::new(message, help), &earlier.location);
            }
        }
    }
}

/// A rule whose path a bypass lets through.
fn bypassed(rules: &[rules::Compiled], bypasses: &[Bypass]) {
    for rule in rules {
        let lets_through = |bypass: &&Bypass| match &bypass.on {
            Condition::Paths(paths) => paths.iter().any(|path| path.covers(&rule.rule.matches.path)),
            _ => false,
        };
        if let Some(bypass) = bypasses.iter().find(lets_through) {
            let message = format!(
                "the rule '{}' is never asked: the bypass '{}' lets its requests through",
                rule.rule.name, bypass.name
            );
            rule.location.warn(message, "narrow the bypass, or remove the rule");
        }
    }
}

/// What goes by the names in clients' certificates, which nobody asks for.
fn nameless<'r>(rules: impl Iterator<Item = &'r rules::Compiled>, file: &schema::File) {
    let keyed =
        rules.filter(|rule| rule.rule.key.parts.contains(&KeyPart::TlsSan)).map(|rule| &rule.location);
    let bypasses =
        file.bypass.iter().filter(|bypass| bypass.client_san.is_some()).map(|bypass| &bypass.location);
    for location in keyed.chain(bypasses) {
        let message = "no client has such a name: clients are not asked for certificates";
        location.warn(message, "name the authority of their certificates in tls.client_ca_file");
    }
}
