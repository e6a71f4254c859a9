//! What a rule demands of a header field.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What a header must hold, in one of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderPattern {
    /// Any value, but the header must be there.
    Present,
    /// This value.
    Equals(Compared),
    /// A value that starts with this. Nothing has to follow.
    StartsWith(Compared),
}

/// A value in the form in which values are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared(Box<[u8]>);

impl HeaderPattern {
    /// The pattern of one value of the header `name`.
    #[must_use]
    pub fn equals(name: &HeaderName, value: &HeaderValue) -> Self {
        Self::Equals(Compared(compared(name, value.as_bytes()).collect()))
    }

    /// The pattern of all values of the header `name` that start with `start`.
    #[must_use]
    pub fn starts_with(name: &HeaderName, start: &HeaderValue) -> Self {
        Self::StartsWith(Compared(compared(name, start.as_bytes()).collect()))
    }

    /// Whether one of the lines of the header `name` is as demanded.
    #[must_use]
    pub fn admits(&self, name: &HeaderName, headers: &HeaderMap) -> bool {
        // HTTP/2 carries blanks around a value to where an upstream of HTTP/1 does not see them.
        let lines = headers.get_all(name).iter();
        let mut values = lines.map(|line| compared(name, line.as_bytes().trim_ascii()));
        match self {
            Self::Present => headers.contains_key(name),
            Self::Equals(Compared(value)) => values.any(|have| have.eq(value.iter().copied())),
            Self::StartsWith(Compared(start)) => {
                values.any(|have| have.take(start.len()).eq(start.iter().copied()))
            }
        }
    }

    /// Whether every line that is as `other` demands is as this one demands too. Both are of one header.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) => true,
            (Self::Equals(mine), Self::Equals(theirs)) => mine == theirs,
            (Self::StartsWith(mine), Self::Equals(theirs) | Self::StartsWith(theirs)) => {
                theirs.0.starts_with(&mine.0)
            }
            (Self::Equals(_) | Self::StartsWith(_), _) => false,
        }
    }
}

/// The bytes of a value as they are compared: as they are, but for the scheme of credentials, whose case and distance
/// from what follows make no difference (RFC 9110, sections 11.1 and 11.4). Upstreams take `bearer  x` for `Bearer x`.
fn compared<'v>(name: &HeaderName, value: &'v [u8]) -> impl Iterator<Item = u8> + use<'v> {
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let end = match *name == header::AUTHORIZATION {
        true => value.iter().position(is_blank).unwrap_or(value.len()),
        false => 0,
    };
    let (scheme, rest) = value.split_at(end);
    let (blank, rest) = match rest.first().is_some_and(|b| end > 0 && is_blank(b)) {
        true => (Some(b' '), rest.trim_ascii_start()),
        false => (None, rest),
    };
    scheme.iter().map(u8::to_ascii_lowercase).chain(blank).chain(rest.iter().copied())
}

#[cfg(test)]
mod tests {
    use http::header::AUTHORIZATION;
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::HeaderPattern;

    const VALUES: &[&str] =
        &["a", "A", "a b", "A  b", "a\tb", "ab", "a bc", "b", "a, b", "a ", "a  ", "bearer", "Bearer b"];

    fn pattern(name: &HeaderName) -> impl Strategy<Value = HeaderPattern> + use<> {
        let name = name.clone();
        (0..3, select(VALUES)).prop_map(move |(kind, text)| {
            let value = HeaderValue::from_static(text);
            match kind {
                0 => HeaderPattern::Present,
                1 => HeaderPattern::equals(&name, &value),
                _ => HeaderPattern::starts_with(&name, &value),
            }
        })
    }

    fn header() -> impl Strategy<Value = (HeaderName, HeaderPattern, HeaderPattern)> {
        select(vec![AUTHORIZATION, HeaderName::from_static("x-plan")])
            .prop_flat_map(|name| (Just(name.clone()), pattern(&name), pattern(&name)))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_covered_is_admitted(
            (name, mine, theirs) in header(),
            lines in proptest::collection::vec(select(VALUES), 0..3),
        ) {
            let lines = lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line)));
            let headers: HeaderMap = lines.collect();
            if mine.covers(&theirs) && theirs.admits(&name, &headers) {
                prop_assert!(mine.admits(&name, &headers), "{mine:?} covers {theirs:?}: {headers:?}");
            }
        }
    }

    #[test]
    fn only_the_scheme_of_credentials_has_no_case() {
        for (name, value, admitted) in [
            ("authorization", "bearer abc", true),
            ("authorization", "BEARER \t abc", true),
            ("authorization", "Bearer ABC", false),
            ("authorization", "Bearerabc", false),
            ("authorization", "", false),
            ("x-token", "Bearer abc", true),
            ("x-token", "bearer abc", false),
            ("x-token", "Bearer  abc", false),
        ] {
            let name = HeaderName::from_static(name);
            let headers: HeaderMap = [(name.clone(), HeaderValue::from_static(value))].into_iter().collect();
            let pattern = HeaderPattern::equals(&name, &HeaderValue::from_static("Bearer abc"));
            assert_eq!(pattern.admits(&name, &headers), admitted, "{name}: {value}");
        }
    }
}
