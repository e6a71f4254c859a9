//! What applies to a request: compiled rules, compared with the facts of one request.
//!
//! A [`Policy`] is immutable. A reload or an override makes a new one and swaps it (`live`), and a request
//! keeps the one it started with to its end. Pure: nothing here does I/O or knows the time.

pub mod access_log;
pub(crate) mod bypass;
pub(crate) mod changes;
pub mod client;
pub mod condition;
pub mod counter_key;
pub(crate) mod covering;
pub mod custom_response;
mod facts;
pub(crate) mod fields;
pub(crate) mod header;
pub mod holds;
pub(crate) mod host;
pub(crate) mod host_pattern;
pub(crate) mod limit;
pub(crate) mod live;
pub(crate) mod matcher;
mod mode;
pub mod networks;
pub(crate) mod overridden;
pub mod path;
pub mod paths;
pub(crate) mod pattern;
pub mod query;
mod readings;
pub mod template;
pub mod tier;

use std::sync::Arc;

use http::HeaderName;
use smallvec::SmallVec;

use access_log::AccessLogPolicy;
use bypass::Bypass;
use client::ClientIdentity;
use counter_key::{ClientIdError, HashKey, KeySpec, Resolved};
pub use custom_response::CustomResponse;
pub use facts::Facts;
use fields::FieldNames;
use holds::Holds;
pub use limit::NamedLimit;
pub(crate) use limit::rate as written_rate;
use matcher::{Index, Match};
pub use mode::{Mode, OnOutage};
use overridden::{ClientRule, ClientRules};
use path::PathPolicy;
use tier::RuleTier;

/// One endpoint rule, or one global rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique among all rules: it names metrics, headers and the counters in the store.
    pub name: Arc<str>,
    /// Which requests it is for.
    pub matches: Match,
    /// Who shares a counter.
    pub key: KeySpec,
    /// All are checked, then all are charged, or none.
    pub limits: Vec<NamedLimit>,
    /// A shadow limit beside them, with a counter of its own that goes by the name of this limit.
    pub trial: Option<Box<NamedLimit>>,
    /// What the rule is for some tiers instead, in order of precedence.
    pub tiers: Vec<RuleTier>,
    /// What it does when it finds no room.
    pub mode: Mode,
    /// What it does when the store gives no answer in time.
    pub on_outage: OnOutage,
    /// How the response to a request over the limit differs from the standard one. None: it does not.
    pub custom_response: Option<Box<CustomResponse>>,
}

impl Rule {
    /// What to ask the limiter about a client. None: its tier is unlimited.
    fn check(&self, facts: &Facts<'_>, client: String) -> Option<Check<'_>> {
        let rule = match self.tier(facts, &client) {
            None => self,
            Some(RuleTier { rule, .. }) if rule.limits.is_empty() && rule.trial.is_none() => return None,
            Some(RuleTier { rule, .. }) => rule,
        };
        Some(Check { rule, client })
    }
}

/// One rule to ask the limiter about, for one client.
#[derive(Clone, Debug)]
pub struct Check<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// The client's part of the counter's key: bounded in length, of a plain alphabet, free of secrets.
    pub client: String,
}

/// What a policy wants done with a request.
#[derive(Debug)]
pub enum Plan<'p> {
    /// Forward it without a check.
    Bypass(&'p Bypass),
    /// Refuse it with 400: its rule's key needs this part, and the request lacks it.
    Reject {
        /// The rule with `on_missing: reject`.
        rule: &'p Rule,
        /// What is missing, in the words of the configuration: `header:X-Api-Key`.
        missing: String,
    },
    /// Refuse it with 400: it has more different values for its rule's key than are charged together.
    TooManyValues {
        /// The rule.
        rule: &'p Rule,
        /// The part with too many values, in the words of the configuration.
        part: String,
    },
    /// Refuse it with 400: it falls under more than [`MAX_RULES`] endpoint rules, as it repeats what they match with
    /// different values.
    TooManyReadings {
        /// The first of them.
        rule: &'p Rule,
    },
    /// Refuse it with 403: an operator has blocked its client.
    Blocked {
        /// The rule for which the client is blocked.
        rule: &'p Rule,
    },
    /// Ask the limiter.
    Check {
        /// The endpoint rule that matched, even if it has nothing to check. If the request can be read in several ways,
        /// it is the first of theirs.
        rule: Option<&'p Rule>,
        /// The checks of the endpoint rules and of the global rules; may be empty.
        checks: SmallVec<[Check<'p>; 1]>,
    },
}

/// The most endpoint rules that one request falls under: one for each reading in which another rule takes it.
pub const MAX_RULES: usize = 4;

/// The endpoint rules of a request.
type EndpointRules<'p> = SmallVec<[&'p Rule; 1]>;

/// What a policy is made of.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The endpoint rules, in order of precedence: the first that matches decides.
    pub rules: Vec<Rule>,
    /// The global rules: every one that matches is asked.
    pub global: Vec<Rule>,
    /// Who is let through, whatever the rules say.
    pub bypass: Vec<Bypass>,
    /// How clients are told apart.
    pub client: ClientIdentity,
    /// How paths are read.
    pub path: PathPolicy,
    /// What makes the hashes of their keys.
    pub hash_key: HashKey,
    /// Whether clients are told the older `X-RateLimit-*` fields too.
    pub x_ratelimit_headers: bool,
    /// Whether the application is told by `Forwarded` too whom a request comes from.
    pub forwarded: bool,
    /// Which requests the access log has a line for.
    pub access_log: AccessLogPolicy,
}

/// The compiled rules.
#[derive(Debug, Default)]
pub struct Policy {
    parts: Parts,
    index: Index,
    fields: FieldNames,
    secret_fields: Arc<[HeaderName]>,
    clients: ClientRules,
}

impl Policy {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let index = Index::new(parts.rules.iter().map(|rule| &rule.matches.path));
        let fields = FieldNames::new(&parts);
        let secret_fields = parts.bypass.iter().filter_map(Bypass::header).cloned().collect();
        Self { parts, index, fields, secret_fields, clients: ClientRules::default() }
    }

    /// Returns this policy with rules that `change` has changed. No client has a rule of its own in it.
    #[must_use]
    pub(crate) fn overridden(&self, change: impl FnMut(&mut Rule)) -> Self {
        let mut parts = self.parts.clone();
        parts.rules.iter_mut().chain(&mut parts.global).for_each(change);
        Self::new(parts)
    }

    /// Returns this policy with other rules for single clients.
    #[must_use]
    pub(crate) fn with_clients(self, clients: ClientRules) -> Self {
        Self { clients, ..self }
    }

    /// The rule of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Rule> {
        self.parts.rules.iter().chain(&self.parts.global).find(|rule| &*rule.name == name)
    }

    /// The rules for single clients.
    #[must_use]
    pub(crate) fn clients(&self) -> &ClientRules {
        &self.clients
    }

    /// The endpoint rules, in order of precedence.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.parts.rules
    }

    /// The global rules.
    #[must_use]
    pub fn global(&self) -> &[Rule] {
        &self.parts.global
    }

    /// The ways past the limiter.
    #[must_use]
    pub fn bypasses(&self) -> &[Bypass] {
        &self.parts.bypass
    }

    /// Whom a request comes from.
    #[must_use]
    pub fn client(&self) -> &ClientIdentity {
        &self.parts.client
    }

    /// Returns the client's part of the keys of a rule's counters, from values in clear.
    pub(crate) fn client_id(&self, rule: &Rule, values: &[Option<&str>]) -> Result<String, ClientIdError> {
        rule.key.client_id(values, self.parts.client.ipv6_prefix, &self.parts.hash_key)
    }

    /// How paths are read.
    #[must_use]
    pub fn path(&self) -> &PathPolicy {
        &self.parts.path
    }

    /// The header fields that decide something.
    #[must_use]
    pub fn fields(&self) -> &FieldNames {
        &self.fields
    }

    /// The header fields that hold the secrets of bypasses.
    #[must_use]
    pub fn secret_fields(&self) -> Arc<[HeaderName]> {
        Arc::clone(&self.secret_fields)
    }

    /// Whether clients are told the older `X-RateLimit-*` fields too.
    #[must_use]
    pub fn x_ratelimit_headers(&self) -> bool {
        self.parts.x_ratelimit_headers
    }

    /// Whether the application is told by `Forwarded` (RFC 7239) too whom a request comes from.
    #[must_use]
    pub fn forwarded(&self) -> bool {
        self.parts.forwarded
    }

    /// Which requests the access log has a line for.
    #[must_use]
    pub fn access_log(&self) -> &AccessLogPolicy {
        &self.parts.access_log
    }

    /// The endpoint rule for a request: the first that matches.
    #[must_use]
    pub fn rule(&self, facts: &Facts<'_>) -> Option<&Rule> {
        self.first_rule(facts, 0).map(|(_, rule, _)| rule)
    }

    /// The first endpoint rule that matches, `from` this index on: its index, and in how many readings it matches.
    fn first_rule(&self, facts: &Facts<'_>, from: usize) -> Option<(usize, &Rule, Holds)> {
        let rules = &self.parts.rules;
        let holds = |index: usize| {
            rules.get(index).map_or(Holds::Never, |rule| rule.matches.holds_besides_path(facts))
        };
        let (index, holds) = self.index.first(facts.path, from, holds)?;
        Some((index, rules.get(index)?, holds))
    }

    /// The endpoint rules for a request: the first that matches, and where it matches in some readings of the request
    /// only, the next ones too, up to the first that matches in every reading. So whichever reading the upstream takes,
    /// the first rule that matches it is among them.
    ///
    /// # Errors
    /// The first of them, where there are more than [`MAX_RULES`].
    fn endpoint_rules(&self, facts: &Facts<'_>) -> Result<EndpointRules<'_>, &Rule> {
        let mut rules = EndpointRules::new();
        let mut from = 0;
        while let Some((index, rule, holds)) = self.first_rule(facts, from) {
            match rules.first() {
                Some(first) if rules.len() == MAX_RULES => return Err(first),
                _ => rules.push(rule),
            }
            if holds == Holds::Always {
                break;
            }
            from = index + 1;
        }
        Ok(rules)
    }

    /// What is to be done with a request.
    #[must_use]
    pub fn plan(&self, facts: &Facts<'_>) -> Plan<'_> {
        let decoded = facts.decoded();
        if let Some(bypass) = self.bypass(facts)
            && decoded.as_ref().is_none_or(|decoded| self.bypass(decoded).is_some())
        {
            return Plan::Bypass(bypass);
        }
        let plan = self.plan_for_path(facts);
        match decoded {
            None => plan,
            Some(decoded) => readings::join(plan, self.plan_for_path(&decoded)),
        }
    }

    /// The client's part of the keys of a rule's counters.
    pub(crate) fn key(&self, rule: &Rule, facts: &Facts<'_>) -> Resolved {
        let Parts { client, hash_key, .. } = &self.parts;
        rule.key.resolve(facts, &rule.matches.path, client.ipv6_prefix, hash_key)
    }

    fn bypass(&self, facts: &Facts<'_>) -> Option<&Bypass> {
        self.parts.bypass.iter().find(|bypass| bypass.admits(facts))
    }

    /// Returns what to ask the limiter about a client. None: nothing, as it is unlimited, or the rule is off.
    ///
    /// # Errors
    /// The rule, where the client is blocked.
    fn check<'p>(
        &'p self,
        rule: &'p Rule,
        facts: &Facts<'_>,
        client: String,
    ) -> Result<Option<Check<'p>>, &'p Rule> {
        Ok(match self.clients.get(&rule.name, &client) {
            Some(ClientRule::Blocked) => return Err(rule),
            Some(ClientRule::Unlimited) => None,
            _ if rule.mode == Mode::Off => None,
            Some(ClientRule::Limited(rule)) => Some(Check { rule, client }),
            None => rule.check(facts, client),
        })
    }

    /// Returns what the rules want done with a request under one reading of its path.
    fn plan_for_path(&self, facts: &Facts<'_>) -> Plan<'_> {
        let rules = match self.endpoint_rules(facts) {
            Ok(rules) => rules,
            Err(rule) => return Plan::TooManyReadings { rule },
        };
        let global = self.parts.global.iter().filter(|rule| rule.matches.holds(facts).is_possible());
        let mut checks = SmallVec::new();
        let mut blocked = None;
        let is_checked = |rule: &&Rule| rule.mode != Mode::Off || self.clients.concern(rule);
        for rule in global.chain(rules.iter().copied()).filter(is_checked) {
            let mut check = |client| match self.check(rule, facts, client) {
                Ok(check) => checks.extend(check),
                Err(rule) => blocked = blocked.or(Some(rule)),
            };
            match self.key(rule, facts) {
                Resolved::Client(client) => check(client),
                Resolved::Clients(clients) => {
                    clients.into_iter().for_each(check);
                }
                Resolved::Skip => {}
                // A rule on trial, or one that is off, demands nothing.
                Resolved::Reject(_) | Resolved::TooMany(_) if rule.mode != Mode::Enforce => {}
                Resolved::Reject(missing) => return Plan::Reject { rule, missing },
                Resolved::TooMany(part) => return Plan::TooManyValues { rule, part },
            }
        }
        match blocked {
            Some(rule) => Plan::Blocked { rule },
            None => Plan::Check { rule: rules.first().copied(), checks },
        }
    }
}
