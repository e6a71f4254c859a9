//! Tiers: groups of clients with other limits in a rule than the rest. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use super::counter_key::{HashKey, spellings};
use super::holds::Holds;
use super::matcher::Match;
use super::{Facts, Rule};
use crate::redacted::Redacted;

/// Which requests belong to a tier.
#[derive(Debug)]
pub struct Tier {
    /// Its name, by which rules refer to it.
    pub name: Arc<str>,
    /// What must hold.
    pub condition: TierCondition,
}

/// What puts a request into a tier.
#[derive(Debug)]
pub enum TierCondition {
    /// The request matches.
    Match(Box<Match>),
    /// A part of the key by which the rule counts the request is one of these.
    Keys(KeySet),
}

impl Tier {
    /// Returns whether a request belongs to the tier. `client` is the client's part of its counter's key.
    #[must_use]
    pub fn admits(&self, facts: &Facts<'_>, client: &str) -> bool {
        match &self.condition {
            // In each reading, also of the path: a tier is a privilege.
            TierCondition::Match(matches) => {
                let holds = |facts: &Facts<'_>| matches.holds(facts) == Holds::Always;
                holds(facts) && facts.decoded().as_ref().is_none_or(holds)
            }
            TierCondition::Keys(keys) => keys.has_part_of(client),
        }
    }
}

/// Values of key parts, as counters' keys spell them.
#[derive(Debug, Default)]
pub struct KeySet(Redacted<HashSet<String, foldhash::fast::RandomState>>);

impl KeySet {
    /// Reads clear values, one a line. Blanks around a value, empty lines, and lines that begin with `#` are left out.
    #[must_use]
    pub fn read(lines: &[u8], ipv6_prefix: u8, hash_key: &HashKey) -> Self {
        let values = lines.split(|&b| b == b'\n').map(<[u8]>::trim_ascii);
        let values = values.filter(|value| !value.is_empty() && !value.starts_with(b"#"));
        Self(Redacted::new(values.flat_map(|value| spellings(value, ipv6_prefix, hash_key)).collect()))
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.expose().is_empty()
    }

    fn has_part_of(&self, client: &str) -> bool {
        // What is before the sign is the index of the choice that `first_of` took.
        let mut values =
            client.split(',').map(|part| part.split_once('=').map_or(part, |(_index, value)| value));
        values.any(|value| self.0.expose().contains(value))
    }
}

/// What a rule is for the requests of a tier.
#[derive(Clone, Debug)]
pub struct RuleTier {
    /// The tier.
    pub tier: Arc<Tier>,
    /// The rule with the limits of the tier; without any, the tier is unlimited. The name is the same, and so the counters of
    /// equal windows are.
    pub rule: Rule,
}

impl Rule {
    /// Returns the first of the rule's tiers that a request belongs to. `client` is the client's part of its counter's key.
    #[must_use]
    pub fn tier(&self, facts: &Facts<'_>, client: &str) -> Option<&RuleTier> {
        self.tiers.iter().find(|tier| tier.tier.admits(facts, client))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{HashKey, KeySet};
    use crate::policy::counter_key::{KeyPart, KeySpec, Resolved};
    use crate::policy::paths::Paths;
    use crate::policy::{Facts, client::Client, query::Query};

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const FILE: &[u8] = b"# partners\n  key-one  \r\nspiffe://prod/a,b\n\n203.0.113.7\n2001:db8:1::5\n*\n!\n";

    fn keys() -> KeySet {
        KeySet::read(FILE, 64, &HashKey::new(b"secret"))
    }

    #[test]
    fn plain_parts_are_compared() {
        for (client, is_in) in [
            ("key-one", true),
            ("GET,key-one", true),
            ("key-on", false),
            ("key-one2", false),
            ("203.0.113.7", true),
            ("x,203.0.113.7", true),
            ("1=203.0.113.7", true),
            ("GET,2=key-one", true),
            ("@203.0.113.7", false),
            ("2001:db8:1::/64", true),
            ("2001:db8:2::/64", false),
        ] {
            assert_eq!(keys().has_part_of(client), is_in, "{client}");
        }
    }

    #[test]
    fn what_stands_for_a_missing_part_is_never_a_value() {
        for client in ["*", "!", "@203.0.113.7", "# partners", ""] {
            assert!(!keys().has_part_of(client), "{client}");
        }
    }

    #[test]
    fn hashed_parts_are_compared() {
        let header = http::HeaderName::from_static("x-api-key");
        for (value, is_in) in
            [("key-one", true), ("key-two", false), ("spiffe://prod/a,b", true), ("# partners", false)]
        {
            let headers = [(header.clone(), http::HeaderValue::from_static(value))].into_iter().collect();
            let facts = Facts {
                method: &http::Method::GET,
                host: "",
                path: "/",
                decoded_path: None,
                query: Query::new(""),
                headers: &headers,
                websocket: false,
                client: Client { peer: ADDRESS, address: ADDRESS, direct: true, trusted_peer: false },
                names: &[],
            };
            let key = KeySpec { parts: vec![KeyPart::Header(header.clone())], ..KeySpec::default() };
            let resolved = key.resolve(&facts, &Paths::default(), 64, &HashKey::new(b"secret"));
            let Resolved::Client(client) = resolved else { panic!("{resolved:?}") };
            assert_eq!(keys().has_part_of(&client), is_in, "{value}");
        }
    }

    #[test]
    fn debug_shows_no_value() {
        assert_eq!(format!("{:?}", keys()), "KeySet(Redacted(..))");
    }
}
