//! A limit of a rule, and the response field that describes it. Pure.

use std::sync::Arc;

use http::HeaderValue;

use crate::window::{Limit, Slices};

/// One limit of a rule, with the name that clients see in `RateLimit-Policy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedLimit {
    /// The rule's name; where a rule has several limits, the window follows: `login:60s`.
    pub name: Arc<str>,
    /// The arithmetic's part.
    pub limit: Limit,
    /// The slices as the rule sets them. [`NamedLimit::limit`] has their number.
    pub slices: Slices,
    /// See [`NamedLimit::policy_field`].
    policy_field: Option<HeaderValue>,
}

impl NamedLimit {
    /// Creates a limit, and prepares what responses say about it.
    #[must_use]
    pub fn new(name: Arc<str>, limit: Limit, slices: Slices) -> Self {
        let window = whole_seconds(limit.window_ms());
        let policy_field = HeaderValue::try_from(format!("\"{name}\";q={};w={window}", limit.quota())).ok();
        Self { name, limit, slices, policy_field }
    }

    /// Returns the rate as the configuration writes it: `100/min`, `5/90s`.
    #[must_use]
    pub fn rate(&self) -> String {
        rate(self.limit.quota(), self.limit.window_ms())
    }

    /// The element of `RateLimit-Policy` that describes the limit (draft-ietf-httpapi-ratelimit-headers-11). None: the name
    /// cannot be part of a field. (The configuration accepts only plain text as the name of a rule.)
    #[must_use]
    pub fn policy_field(&self) -> Option<&HeaderValue> {
        self.policy_field.as_ref()
    }
}

#[cfg(test)]
impl NamedLimit {
    /// Returns a limit for tests.
    pub(crate) fn example(name: &str, quota: i64, window_ms: i64) -> Self {
        let limit = Limit::auto(quota, 0, window_ms).expect("a valid limit");
        Self::new(name.into(), limit, Slices::Auto)
    }
}

/// Returns a rate as the configuration writes it.
#[must_use]
pub(crate) fn rate(quota: i64, window_ms: i64) -> String {
    let units = [(86_400_000, "day", "d"), (3_600_000, "h", "h"), (60_000, "min", "m"), (1000, "s", "s")];
    let unit = units.iter().find(|(ms, ..)| window_ms % ms == 0);
    let &(ms, one, many) = unit.unwrap_or(&(1, "ms", "ms"));
    match window_ms / ms {
        1 if ms > 1 => format!("{quota}/{one}"),
        number => format!("{quota}/{number}{many}"),
    }
}

/// Returns whole seconds, rounded up, and at least 1, so that a client that waits for them is admitted.
#[must_use]
pub(crate) fn whole_seconds(milliseconds: i64) -> i64 {
    (milliseconds.max(1) - 1) / 1000 + 1
}

#[cfg(test)]
mod tests {
    use super::NamedLimit;

    #[test]
    fn a_rate_is_written_as_the_configuration_reads_it() {
        for (window_ms, written) in [
            (1000, "9/s"),
            (60_000, "9/min"),
            (3_600_000, "9/h"),
            (86_400_000, "9/day"),
            (7 * 86_400_000, "9/7d"),
            (90_000, "9/90s"),
            (300_000, "9/5m"),
            (250, "9/250ms"),
            (1, "9/1ms"),
        ] {
            assert_eq!(NamedLimit::example("x", 9, window_ms).rate(), written);
        }
    }
}
