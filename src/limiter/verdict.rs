//! The verdict on a request. Pure.

use smallvec::SmallVec;

use crate::policy::{NamedLimit, Rule};

/// How a client stands with one limit: what `RateLimit` and `RateLimit-Policy` report.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'p> {
    /// The limit.
    pub limit: &'p NamedLimit,
    /// Units that would be admitted now, the burst allowance included.
    pub remaining: i64,
    /// Milliseconds until more than `remaining` units would be admitted, if no other request arrives. After a refusal the
    /// client may retry after this time.
    pub reset_ms: i64,
}

/// What to do with a request.
#[derive(Debug)]
pub enum Verdict<'p> {
    /// Forward it.
    Pass {
        /// The tightest of the enforced limits.
        standing: Option<Standing<'p>>,
        /// The shadow rules that had no room for it.
        exceeded: Vec<&'p Rule>,
        /// The rules with a limit of which more than 80 % is used now.
        near: Vec<&'p Rule>,
    },
    /// Refuse it, as the rule is configured to.
    Refuse(Limited<'p>),
    /// Forward it: the store made no decision, and the rules let such requests pass.
    Unchecked,
    /// Refuse it with 503: the store made no decision, and this rule refuses such requests.
    Unavailable {
        /// The rule.
        rule: &'p Rule,
    },
}

/// The refusal of a request by limits that had no room for it.
#[derive(Debug)]
pub struct Limited<'p> {
    /// The rule that refused; of several the one whose limit has room last.
    pub rule: &'p Rule,
    /// How the client stands with that limit.
    pub standing: Standing<'p>,
    /// All limits that had no room.
    pub violated: SmallVec<[&'p NamedLimit; 1]>,
}
