//! From the values of a client, in clear, to the client's part of its counters' keys. Pure.

use std::net::IpAddr;

use super::values::{Value, method, push_index};
use super::{HashKey, KeyPart, KeySpec, OnMissing};

/// Why values are not those of a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ClientIdError {
    /// The key has another number of parts.
    #[error("expected {} for the key of the rule ({key}), found {found}", values(*.expected))]
    Number {
        /// How many parts it has.
        expected: usize,
        /// How many values there are.
        found: usize,
        /// The parts.
        key: String,
    },
    /// A value that is not an address.
    #[error("the value of client_ip is not an IP address")]
    Address,
    /// A value that is empty.
    #[error("the value of {0} is empty: requests like that count as lacking it, so send null")]
    Empty(String),
    /// A client that lacks a part, and so has no counter of its own.
    #[error("{0}")]
    Missing(String),
    /// A value that may be that of several choices, which are other clients.
    #[error("the value may be that of {0}: write which before it, as in {1}=VALUE")]
    Ambiguous(String, String),
}

fn values(number: usize) -> String {
    format!("{number} value{}", if number == 1 { "" } else { "s" })
}

impl KeySpec {
    /// Returns the client's part of the key for requests with these values. None: requests lack the part.
    pub(crate) fn client_id(
        &self,
        values: &[Option<&str>],
        ipv6_prefix: u8,
        hash_key: &HashKey,
    ) -> Result<String, ClientIdError> {
        if values.len() != self.parts.len() {
            let parts: Vec<String> = self.parts.iter().map(ToString::to_string).collect();
            let key =
                if parts.is_empty() { "none: all share one counter".to_owned() } else { parts.join(", ") };
            return Err(ClientIdError::Number { expected: parts.len(), found: values.len(), key });
        }
        let mut text = String::new();
        for (part, value) in self.parts.iter().zip(values) {
            if !text.is_empty() {
                text.push(',');
            }
            match value.map(str::trim) {
                Some("") => return Err(ClientIdError::Empty(part.to_string())),
                Some(value) => push(&mut text, part, value, ipv6_prefix, hash_key)?,
                None if self.on_missing == OnMissing::Shared && *part != KeyPart::ClientIp => text.push('!'),
                None => return Err(ClientIdError::Missing(missing(part, self.on_missing))),
            }
        }
        if text.is_empty() {
            text.push('*');
        }
        Ok(text)
    }
}

fn push(
    text: &mut String,
    part: &KeyPart,
    value: &str,
    ipv6_prefix: u8,
    hash_key: &HashKey,
) -> Result<(), ClientIdError> {
    let (lower, name);
    let value = match part {
        KeyPart::FirstOf(parts) => {
            let (index, value) = choice(part, parts, value)?;
            // Of secrets it does not matter which choice they are: see `Request::find_first`.
            if let Some(part) = parts.get(index) {
                if index > 0 && !is_secret(part) {
                    push_index(text, index);
                }
                push(text, part, value, ipv6_prefix, hash_key)?;
            }
            return Ok(());
        }
        KeyPart::ClientIp => {
            let address: IpAddr = value.parse().map_err(|_| ClientIdError::Address)?;
            Value::Address(address.to_canonical(), ipv6_prefix)
        }
        KeyPart::Header(_) | KeyPart::Cookie(_) | KeyPart::Query(_) => Value::Secret(value.as_bytes().into()),
        KeyPart::Host => {
            lower = value.to_ascii_lowercase();
            Value::Plain(&lower)
        }
        KeyPart::Method => {
            name = http::Method::from_bytes(value.as_bytes()).ok();
            Value::Plain(name.as_ref().map_or(value, method))
        }
        KeyPart::Path(_) | KeyPart::TlsSan => Value::Plain(value),
    };
    value.push_to(text, hash_key);
    Ok(())
}

fn is_secret(part: &KeyPart) -> bool {
    matches!(part, KeyPart::Header(_) | KeyPart::Cookie(_) | KeyPart::Query(_))
}

/// Returns which choice of `first_of` a value is, and the value without the name of the choice.
fn choice<'v>(
    first_of: &KeyPart,
    parts: &[KeyPart],
    value: &'v str,
) -> Result<(usize, &'v str), ClientIdError> {
    let named = |part: &KeyPart| value.strip_prefix(&part.to_string())?.strip_prefix('=');
    let mut choices = parts.iter().enumerate();
    if let Some((index, value)) = choices.find_map(|(index, part)| Some((index, named(part)?))) {
        return Ok((index, value));
    }
    let of_address = parts.iter().position(|part| *part == KeyPart::ClientIp);
    if let Some(index) = of_address.filter(|_| value.parse::<IpAddr>().is_ok()) {
        return Ok((index, value));
    }
    let others = parts.iter().enumerate().filter(|(_, part)| **part != KeyPart::ClientIp);
    match &*others.collect::<Vec<_>>() {
        [] => Err(ClientIdError::Address),
        [(index, _)] => Ok((*index, value)),
        [(index, _), ..] if parts.iter().all(|part| is_secret(part) || *part == KeyPart::ClientIp) => {
            Ok((*index, value))
        }
        [(_, first), ..] => Err(ClientIdError::Ambiguous(first_of.to_string(), first.to_string())),
    }
}

fn missing(part: &KeyPart, on_missing: OnMissing) -> String {
    match on_missing {
        OnMissing::Skip => format!("requests without {part} have no counter (on_missing: skip)"),
        OnMissing::Reject => format!("requests without {part} are refused (on_missing: reject)"),
        OnMissing::ClientIp | OnMissing::Shared => {
            format!("requests without {part} are counted by address: the id has @ADDRESS in its place")
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::policy::Facts;
    use crate::policy::client::Client;
    use crate::policy::counter_key::Resolved;
    use crate::policy::paths::Paths;
    use crate::policy::query::Query;

    fn spec(parts: &[KeyPart], on_missing: OnMissing) -> KeySpec {
        KeySpec { parts: parts.to_vec(), on_missing }
    }

    fn key_header() -> KeyPart {
        KeyPart::Header(http::HeaderName::from_static("x-api-key"))
    }

    #[test]
    fn the_id_is_that_of_a_request_with_these_values() {
        let spec = spec(&[KeyPart::ClientIp, key_header(), KeyPart::Host, KeyPart::Method], OnMissing::Skip);
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", http::HeaderValue::from_static("hunter2"));
        let address: IpAddr = [203, 0, 113, 7].into();
        let facts = Facts {
            method: &Method::HEAD,
            host: "example.com",
            path: "/",
            decoded_path: None,
            query: Query::new(""),
            headers: &headers,
            websocket: false,
            client: Client { peer: address, address, direct: true, trusted_peer: false },
            names: &[],
        };
        let hash_key = HashKey::new(b"a key");
        let values = [Some("203.0.113.7"), Some(" hunter2 "), Some("Example.COM"), Some("GET")];
        let id = spec.client_id(&values, 64, &hash_key);
        assert_eq!(
            id.clone().map(Resolved::Client),
            Ok(spec.resolve(&facts, &Paths::default(), 64, &hash_key))
        );
        assert!(!id.is_ok_and(|id| id.contains("hunter2")));
    }

    #[test]
    fn addresses_are_cut_to_their_prefix() {
        let id = |address| {
            spec(&[KeyPart::ClientIp], OnMissing::ClientIp).client_id(
                &[Some(address)],
                64,
                &HashKey::default(),
            )
        };
        assert_eq!(id("2001:db8:1:2:3:4:5:6"), Ok("2001:db8:1:2::/64".to_owned()));
        assert_eq!(id("::ffff:192.0.2.1"), Ok("192.0.2.1".to_owned()));
        assert_eq!(id("client"), Err(ClientIdError::Address));
    }

    #[test]
    fn a_key_without_parts_has_one_client() {
        assert_eq!(
            spec(&[], OnMissing::ClientIp).client_id(&[], 64, &HashKey::default()),
            Ok("*".to_owned())
        );
    }

    #[test]
    fn a_missing_part_is_an_id_only_where_such_requests_share_a_counter() {
        let id = |on_missing| spec(&[key_header()], on_missing).client_id(&[None], 64, &HashKey::default());
        assert_eq!(id(OnMissing::Shared), Ok("!".to_owned()));
        for on_missing in [OnMissing::ClientIp, OnMissing::Skip, OnMissing::Reject] {
            assert!(matches!(id(on_missing), Err(ClientIdError::Missing(_))), "{on_missing:?}");
        }
    }

    #[test]
    fn a_choice_is_recognized_or_named() {
        let parts = [key_header(), KeyPart::ClientIp, KeyPart::Cookie("sid".into())];
        let spec = spec(&[KeyPart::FirstOf(parts.into())], OnMissing::Skip);
        let id = |value| spec.client_id(&[Some(value)], 64, &HashKey::default()).unwrap();
        assert_eq!(id("203.0.113.7"), "1=203.0.113.7");
        assert!(id("hunter2").starts_with('~'));
        assert_eq!(id("hunter2"), id("header:x-api-key=hunter2"));
        assert_eq!(id("hunter2"), id("cookie:sid=hunter2"));
    }

    #[test]
    fn a_value_that_may_be_several_clients_is_refused() {
        let spec = spec(&[KeyPart::FirstOf([key_header(), KeyPart::Host].into())], OnMissing::Skip);
        let id = |value| spec.client_id(&[Some(value)], 64, &HashKey::default());
        assert!(matches!(id("example.com"), Err(ClientIdError::Ambiguous(..))));
        assert_eq!(id("host=example.com"), Ok("1=example.com".to_owned()));
    }

    #[test]
    fn another_number_of_values_is_refused() {
        let error = spec(&[KeyPart::ClientIp, key_header()], OnMissing::Skip).client_id(
            &[None],
            64,
            &HashKey::default(),
        );
        assert!(error.is_err_and(|error| error.to_string()
            == "expected 2 values for the key of the rule (client_ip, header:x-api-key), found 1"));
    }
}
