//! The header fields that decide something, and the other spellings under which applications take them.
//!
//! CGI, and all that came after it (WSGI, Rack, PHP, the servlet bridges of old), names a field by its letters and
//! digits, with `_` for everything else: there `X_Api_Key`, `X.Api.Key` and `X-Api-Key` are one, but not here.

use std::borrow::Cow;
use std::collections::HashSet;

use http::{HeaderName, header};

use super::Parts;
use super::bypass::Condition;
use super::counter_key::KeyPart;
use super::matcher::Match;
use super::tier::TierCondition;

/// Marks a forwarded request that a rule on trial had no room for. Only tidegate may set it.
pub(crate) const X_RATELIMIT_EXCEEDED: HeaderName = HeaderName::from_static("x-ratelimit-exceeded");

/// Fields that speak of one connection only (RFC 9110, section 7.6.1), besides those that Connection names. They are
/// removed from requests and responses; of TE, `trailers` is passed on.
pub(crate) static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields that are removed from every request besides those. (Whether an expectation is passed on depends on the
/// connection to the upstream.)
pub(crate) static REMOVED: [HeaderName; 2] = [header::EXPECT, X_RATELIMIT_EXCEEDED];

/// Whether tidegate removes the field from every request before it looks for a rule, so that none may read it.
#[must_use]
pub(crate) fn is_hidden(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || REMOVED.contains(name) || imitates_ours(name)
}

/// Whether an upstream might read the field as one that tidegate writes or removes. (Of those only names with a dash
/// can be spelled in such a way.)
#[must_use]
pub(crate) fn imitates_ours(name: &HeaderName) -> bool {
    static OURS: [HeaderName; 3] =
        [header::CONTENT_LENGTH, HeaderName::from_static("x-real-ip"), X_RATELIMIT_EXCEEDED];
    if !is_odd(name) {
        return false;
    }
    let plain = folded(name.as_str());
    plain.starts_with("x-forwarded-") || OURS.iter().chain(&HOP_BY_HOP).any(|own| own.as_str() == &*plain)
}

/// Names of header fields.
#[derive(Debug, Default)]
pub struct FieldNames {
    exact: HashSet<HeaderName>,
    folded: HashSet<Box<str>>,
    /// One of them is itself spelled in an odd way, so that the plain spelling is another one.
    odd: bool,
}

impl FieldNames {
    /// Those that rules and bypasses read.
    #[must_use]
    pub fn new(parts: &Parts) -> Self {
        let rules = || parts.rules.iter().chain(&parts.global);
        let keys = rules().flat_map(|rule| &rule.key.parts).flat_map(KeyPart::read);
        let keys = keys.filter_map(|part| match part {
            KeyPart::Header(name) => Some(name.clone()),
            KeyPart::Cookie(_) => Some(header::COOKIE),
            _ => None,
        });
        let tiers = rules().flat_map(|rule| &rule.tiers).filter_map(|each| match &each.tier.condition {
            TierCondition::Match(matches) => Some(&**matches),
            TierCondition::Keys(_) => None,
        });
        let conditions = rules().map(|rule| &rule.matches).chain(tiers);
        let conditions = conditions.flat_map(Match::header_names).cloned();
        let secrets = parts.bypass.iter().filter_map(|bypass| match &bypass.on {
            Condition::Secret { header, .. } => Some(header.clone()),
            _ => None,
        });
        keys.chain(conditions).chain(secrets).collect()
    }

    /// Returns whether tidegate removes the field from a request whose rules read these: it is not for the upstream, or an
    /// upstream could read it as one of tidegate's own or as one that a rule reads (`X_Api_Key` beside `X-Api-Key`).
    #[must_use]
    pub fn removes(&self, name: &HeaderName) -> bool {
        HOP_BY_HOP.contains(name)
            || REMOVED.contains(name)
            // Hardly any name is odd, and only odd ones need the slower checks.
            || ((self.odd || is_odd(name)) && (self.imitated_by(name) || imitates_ours(name)))
    }

    /// Whether `name` is another spelling of one of them, and none of them itself.
    #[must_use]
    pub fn imitated_by(&self, name: &HeaderName) -> bool {
        (self.odd || is_odd(name))
            && self.folded.contains(&*folded(name.as_str()))
            && !self.exact.contains(name)
    }
}

impl FromIterator<HeaderName> for FieldNames {
    fn from_iter<T: IntoIterator<Item = HeaderName>>(names: T) -> Self {
        let exact: HashSet<HeaderName> = names.into_iter().collect();
        let odd = exact.iter().any(is_odd);
        let folded = exact.iter().map(|name| folded(name.as_str()).into()).collect();
        Self { exact, folded, odd }
    }
}

/// Whether the name has more than letters, digits and `-` in it: hardly any has.
#[must_use]
pub(crate) fn is_odd(name: &HeaderName) -> bool {
    name.as_str().bytes().any(|b| !b.is_ascii_alphanumeric() && b != b'-')
}

/// The name as CGI would have it, but for the dash.
#[must_use]
pub(crate) fn folded(name: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if name.chars().all(plain) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(name.chars().map(|c| if plain(c) { c } else { '-' }).collect())
}

#[cfg(test)]
mod tests {
    use super::FieldNames;
    use http::HeaderName;

    #[test]
    fn a_name_is_imitated_by_what_cgi_takes_for_it() {
        let names: FieldNames =
            ["x-api-key", "x_plan", "x-both", "x_both"].map(HeaderName::from_static).into_iter().collect();
        for (name, want) in [
            ("x-api-key", false),
            ("x_api_key", true),
            ("x_api-key", true),
            ("x.api.key", true),
            ("xapikey", false),
            ("x_plan", false),
            ("x-plan", true),
            ("x-both", false),
            ("x_both", false),
            ("x.both", true),
            ("accept", false),
        ] {
            assert_eq!(names.imitated_by(&HeaderName::from_static(name)), want, "{name}");
        }
    }
}
