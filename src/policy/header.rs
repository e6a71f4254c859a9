//! What a rule demands of a header field.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::holds::Holds;
use super::pattern::ValuePattern;

/// Returns the pattern of one value of the header `name`.
#[must_use]
pub(crate) fn equals(name: &HeaderName, value: &HeaderValue) -> ValuePattern {
    ValuePattern::Equals(compared(name, value.as_bytes()).collect())
}

/// Returns the pattern of all values of the header `name` that start with `start`.
#[must_use]
pub(crate) fn starts_with(name: &HeaderName, start: &HeaderValue) -> ValuePattern {
    ValuePattern::StartsWith(compared(name, start.as_bytes()).collect())
}

/// Returns whether the lines of the header `name` are as demanded.
#[must_use]
pub(super) fn holds(name: &HeaderName, pattern: &ValuePattern, headers: &HeaderMap) -> Holds {
    // HTTP/2 carries blanks around a value to where an upstream of HTTP/1 does not see them.
    let lines = headers.get_all(name).iter();
    pattern.holds(lines.map(|line| compared(name, line.as_bytes().trim_ascii())))
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

    use super::{equals, holds, starts_with};
    use crate::policy::holds::Holds;
    use crate::policy::pattern::ValuePattern;

    const VALUES: &[&str] =
        &["a", "A", "a b", "A  b", "a\tb", "ab", "a bc", "b", "a, b", "a ", "a  ", "", "bearer", "Bearer b"];

    fn pattern(name: &HeaderName) -> impl Strategy<Value = ValuePattern> + use<> {
        let name = name.clone();
        (0..3, select(VALUES)).prop_map(move |(kind, text)| {
            let value = HeaderValue::from_static(text);
            match kind {
                0 => ValuePattern::Present,
                1 => equals(&name, &value),
                _ => starts_with(&name, &value),
            }
        })
    }

    fn header() -> impl Strategy<Value = (HeaderName, ValuePattern, ValuePattern)> {
        select(vec![AUTHORIZATION, HeaderName::from_static("x-plan")])
            .prop_flat_map(|name| (Just(name.clone()), pattern(&name), pattern(&name)))
    }

    fn headers(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_implied_holds(
            (name, mine, theirs) in header(),
            lines in proptest::collection::vec(select(VALUES), 0..3),
        ) {
            let headers = headers(&name, &lines);
            if mine.implies(&theirs) && holds(&name, &mine, &headers) == Holds::Always {
                prop_assert!(holds(&name, &theirs, &headers).is_possible(), "{mine:?}, {theirs:?}: {headers:?}");
            }
        }

        #[test]
        fn several_lines_are_judged_as_each_alone(
            (name, pattern, _) in header(),
            lines in proptest::collection::vec(select(VALUES), 1..4),
        ) {
            let alone: Vec<Holds> =
                lines.iter().map(|line| holds(&name, &pattern, &headers(&name, &[line]))).collect();
            let judged = holds(&name, &pattern, &headers(&name, &lines));
            match judged {
                Holds::Perhaps => prop_assert!(alone.iter().any(|each| *each != alone[0] || *each == judged)),
                _ => prop_assert!(alone.iter().all(|each| *each == judged)),
            }
        }
    }

    #[test]
    fn only_the_scheme_of_credentials_has_no_case() {
        for (name, value, admitted) in [
            ("authorization", "bearer abc", Holds::Always),
            ("authorization", "BEARER \t abc", Holds::Always),
            ("authorization", "Bearer ABC", Holds::Never),
            ("authorization", "Bearerabc", Holds::Never),
            ("authorization", "", Holds::Never),
            ("x-token", "Bearer abc", Holds::Always),
            ("x-token", "bearer abc", Holds::Never),
            ("x-token", "Bearer  abc", Holds::Never),
        ] {
            let name = HeaderName::from_static(name);
            let headers = headers(&name, &[value]);
            let pattern = equals(&name, &HeaderValue::from_static("Bearer abc"));
            assert_eq!(holds(&name, &pattern, &headers), admitted, "{name}: {value}");
        }
    }

    #[test]
    fn an_empty_value_may_be_taken_for_a_missing_one() {
        let name = HeaderName::from_static("x-token");
        for (lines, judged) in [
            (&[][..], Holds::Never),
            (&[""], Holds::Perhaps),
            (&["", " "], Holds::Perhaps),
            (&["", "a"], Holds::Perhaps),
            (&["a"], Holds::Always),
            (&["a", "b"], Holds::Always),
        ] {
            assert_eq!(holds(&name, &ValuePattern::Present, &headers(&name, lines)), judged, "{lines:?}");
        }
    }
}
