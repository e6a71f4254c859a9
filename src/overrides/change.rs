//! What an override is, how a caller proposes one, and why a change is refused. Pure.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::policy::Mode;
use crate::store::StoreError;

/// The most overrides at a time.
pub const MAX_OVERRIDES: usize = 1_000;
/// The longest reason, in characters.
const MAX_REASON: usize = 200;
/// The longest name of an author, in characters.
const MAX_AUTHOR: usize = 64;
/// The longest client id, in bytes: several parts, each of them bounded.
const MAX_CLIENT: usize = 512;
/// When an override may expire at the latest.
const MAX_EXPIRES_IN: Duration = Duration::from_secs(366 * 86_400);

/// What an override applies to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// All rules at once.
    AllRules,
    /// The rule of this name.
    Rule(Arc<str>),
    /// One client of a rule.
    Client {
        /// The name of the rule.
        rule: Arc<str>,
        /// The client's id: its part of the keys of its counters.
        client: Arc<str>,
    },
}

impl Subject {
    /// Returns the name of the rule, unless it is about all of them.
    #[must_use]
    pub fn rule(&self) -> Option<&Arc<str>> {
        match self {
            Self::AllRules => None,
            Self::Rule(rule) | Self::Client { rule, .. } => Some(rule),
        }
    }

    /// Returns the id of the client, if it is about one.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<str>> {
        match self {
            Self::AllRules | Self::Rule(_) => None,
            Self::Client { client, .. } => Some(client),
        }
    }
}

/// A quota and its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units per window.
    pub quota: i64,
    /// The length of the window in milliseconds.
    pub window_ms: i64,
}

/// What an override changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Of a rule, or of all of them: at least one of these.
    Rule {
        /// It replaces the rate of the rule's limit; where the rule has several, of the one of equal window.
        rate: Option<Rate>,
        /// It replaces the burst of the same limit.
        burst: Option<i64>,
        /// It replaces the mode of the rule. The mode of all rules at once never makes a rule stricter.
        mode: Option<Mode>,
    },
    /// The client has a rate of its own. It replaces that of the rule in the same way.
    ClientRate {
        /// The rate.
        rate: Rate,
        /// None: the burst stays that of the rule.
        burst: Option<i64>,
    },
    /// The rule does not apply to the client: nothing is charged.
    Unlimited,
    /// The client's requests are refused with 403, also where the rule is in shadow mode or off.
    Blocked,
}

impl Effect {
    /// What overrides are counted by.
    pub const KINDS: [&str; 5] = ["all_rules", "rule", "client_rate", "client_unlimited", "client_blocked"];

    /// Returns which of [`Effect::KINDS`] an override of `subject` with this effect is.
    #[must_use]
    pub fn kind(&self, subject: &Subject) -> &'static str {
        match self {
            Self::Rule { .. } if *subject == Subject::AllRules => "all_rules",
            Self::Rule { .. } => "rule",
            Self::ClientRate { .. } => "client_rate",
            Self::Unlimited => "client_unlimited",
            Self::Blocked => "client_blocked",
        }
    }

    fn is_for(&self, subject: &Subject) -> bool {
        matches!(self, Self::Rule { .. }) == subject.client().is_none()
    }
}

/// As logs have it: `rate=300/60000ms burst=5 mode=shadow`.
impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, burst, mode) = match self {
            Self::Unlimited => return f.write_str("unlimited"),
            Self::Blocked => return f.write_str("blocked"),
            Self::Rule { rate, burst, mode } => (*rate, *burst, *mode),
            Self::ClientRate { rate, burst } => (Some(*rate), *burst, None),
        };
        let rate = rate.map(|Rate { quota, window_ms }| format!("rate={quota}/{window_ms}ms"));
        let burst = burst.map(|burst| format!("burst={burst}"));
        let mode = mode.map(|mode| format!("mode={}", mode.word()));
        f.write_str(&[rate, burst, mode].into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// An override that a caller wants in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What it changes.
    pub effect: Effect,
    /// Why; may be empty.
    pub reason: String,
    /// The name of the person or program that wants it.
    pub author: String,
    /// None: it stays until it is removed.
    pub expires_in: Option<Duration>,
}

impl Proposal {
    /// Checks what can be checked without the rules.
    pub(super) fn check(&self, subject: &Subject) -> Result<(), ChangeError> {
        let invalid = |message: String| Err(ChangeError::Invalid(message));
        if !self.effect.is_for(subject) {
            return invalid(
                "a rule has a rate, a burst and a mode; a client has a rate, or is unlimited or blocked"
                    .to_owned(),
            );
        }
        if let Effect::Rule { rate: None, burst: None, mode: None } = self.effect {
            return invalid("an override needs a rate, a burst or a mode".to_owned());
        }
        if *subject == Subject::AllRules
            && !matches!(
                self.effect,
                Effect::Rule { rate: None, burst: None, mode: Some(Mode::Shadow | Mode::Off) }
            )
        {
            return invalid(
                "all rules at once can be put into mode shadow or off, and nothing else".to_owned(),
            );
        }
        for (what, text, most) in [("reason", &self.reason, MAX_REASON), ("author", &self.author, MAX_AUTHOR)]
        {
            if text.chars().count() > most {
                return invalid(format!("the {what} is longer than {most} characters"));
            }
            if text.chars().any(char::is_control) {
                return invalid(format!("the {what} has a control character"));
            }
        }
        if let Some(client) = subject.client() {
            check_client(client)?;
        }
        match self.expires_in {
            Some(expires_in) if expires_in.is_zero() => invalid("it would expire at once".to_owned()),
            Some(expires_in) if expires_in > MAX_EXPIRES_IN => {
                invalid("it would expire in more than 366 days: leave the expiry out".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Checks that a text can be a client's part of a counter's key.
pub(super) fn check_client(text: &str) -> Result<(), ChangeError> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}');
    if (1..=MAX_CLIENT).contains(&text.len()) && text.bytes().all(is_plain) {
        return Ok(());
    }
    let message = "not the id of a client: expected 1 to 512 bytes of printable ASCII without braces";
    Err(ChangeError::Invalid(message.to_owned()))
}

/// An override that is in force until it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// What it applies to.
    pub subject: Subject,
    /// What it changes.
    pub effect: Effect,
    /// Why.
    pub reason: String,
    /// Whose change it is.
    pub author: String,
    /// When it was set, in milliseconds of Unix time by the store's clock.
    pub set_ms: i64,
    /// When it expires, by the same clock.
    pub expires_ms: Option<i64>,
    /// Rises with each change of any override.
    pub version: u64,
}

/// An override as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The override.
    pub item: Override,
    /// Milliseconds until it expires.
    pub expires_in_ms: Option<i64>,
    /// Why it has no effect: its rule no longer exists, or no longer has a limit that it could replace.
    pub idle: Option<String>,
}

/// What a caller knows of an override that it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Anything,
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// It has this version.
    Version(u64),
}

impl Expected {
    pub(super) fn check(self, current: Option<&Override>) -> Result<(), ChangeError> {
        let current = current.map(|current| current.version);
        let holds = match self {
            Self::Anything => true,
            Self::Absent => current.is_none(),
            Self::Present => current.is_some(),
            Self::Version(version) => current == Some(version),
        };
        if holds { Ok(()) } else { Err(ChangeError::Changed { current }) }
    }
}

/// Why a change was not made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no rule of that name.
    #[error("there is no rule '{0}'")]
    UnknownRule(String),
    /// The rule cannot have this override.
    #[error("{0}")]
    Invalid(String),
    /// Somebody else changed the override before.
    #[error("the override has another version than expected")]
    Changed {
        /// The version that it has now. None: there is no override.
        current: Option<u64>,
    },
    /// There are too many overrides.
    #[error("there are {MAX_OVERRIDES} overrides: remove one first")]
    Full,
    /// The store that all instances share refused.
    #[error("redis refused: {0}")]
    Denied(String),
    /// The store that all instances share made no reply. The change may have been made or not.
    #[error("redis is not available: {0}")]
    Unavailable(StoreError),
    /// Other instances made changes at the same time, again and again.
    #[error("other changes came first: try again")]
    Conflict,
}

impl ChangeError {
    pub(super) fn from_store(error: StoreError) -> Self {
        match error.denial() {
            Some(reason) => Self::Denied(reason),
            None => Self::Unavailable(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(effect: Effect) -> Proposal {
        Proposal { effect, reason: String::new(), author: "oncall".to_owned(), expires_in: None }
    }

    fn refusal(subject: &Subject, proposal: &Proposal) -> String {
        proposal.check(subject).unwrap_err().to_string()
    }

    const MODE: Effect = Effect::Rule { rate: None, burst: None, mode: Some(Mode::Shadow) };

    #[test]
    fn all_rules_at_once_never_become_stricter() {
        assert!(proposal(MODE).check(&Subject::AllRules).is_ok());
        for effect in [
            Effect::Rule { rate: None, burst: None, mode: Some(Mode::Enforce) },
            Effect::Rule { rate: None, burst: Some(1), mode: Some(Mode::Shadow) },
        ] {
            assert!(refusal(&Subject::AllRules, &proposal(effect)).contains("mode shadow or off"));
        }
    }

    #[test]
    fn a_client_has_no_mode() {
        let client = Subject::Client { rule: "r".into(), client: "192.0.2.1".into() };
        assert!(refusal(&client, &proposal(MODE)).contains("unlimited or blocked"));
        assert!(
            refusal(&Subject::Rule("r".into()), &proposal(Effect::Blocked)).contains("unlimited or blocked")
        );
    }

    #[test]
    fn texts_are_bounded() {
        let long = Proposal { reason: "x".repeat(MAX_REASON + 1), ..proposal(MODE) };
        assert!(refusal(&Subject::AllRules, &long).contains("longer than 200"));
        let lines = Proposal { reason: "a\nb".to_owned(), ..proposal(MODE) };
        assert!(refusal(&Subject::AllRules, &lines).contains("control character"));
        let odd = Subject::Client { rule: "r".into(), client: "a}b".into() };
        assert!(refusal(&odd, &proposal(Effect::Blocked)).contains("not the id of a client"));
    }

    #[test]
    fn an_expiry_is_bounded() {
        for seconds in [0, 366 * 86_400 + 1] {
            let expires_in = Some(Duration::from_secs(seconds));
            assert!(
                refusal(&Subject::AllRules, &Proposal { expires_in, ..proposal(MODE) }).contains("expire")
            );
        }
    }
}
