//! Rules that apply to single clients in another way, as an operator has decided at run time. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::Rule;

/// How a rule applies to one client.
#[derive(Clone, Debug)]
pub(crate) enum ClientRule {
    /// It refuses all of the client's requests, whatever its mode.
    Blocked,
    /// Not at all.
    Unlimited,
    /// With other limits.
    Limited(Box<Rule>),
}

/// All of these, by the name of the rule and the id of the client.
#[derive(Debug, Default)]
pub(crate) struct ClientRules(HashMap<Arc<str>, HashMap<Box<str>, ClientRule, RandomState>, RandomState>);

impl ClientRules {
    /// Sets how a rule applies to a client.
    pub(crate) fn insert(&mut self, rule: &Rule, client: &str, client_rule: ClientRule) {
        self.0.entry(Arc::clone(&rule.name)).or_default().insert(client.into(), client_rule);
    }

    /// Returns whether a rule applies to some client in another way.
    pub(super) fn concern(&self, rule: &Rule) -> bool {
        !self.0.is_empty() && self.0.contains_key(&rule.name)
    }

    /// Returns how a rule applies to a client, if that differs.
    pub(crate) fn get(&self, rule: &str, client: &str) -> Option<&ClientRule> {
        if self.0.is_empty() { None } else { self.0.get(rule)?.get(client) }
    }
}
