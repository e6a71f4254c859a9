//! What a rule demands of a query parameter.
//!
//! Names and values are compared as upstreams decode them (application/x-www-form-urlencoded): `+` is a blank, and escapes
//! are decoded.

use std::borrow::Cow;

use super::holds::Holds;
use super::pattern::ValuePattern;

/// Returns whether the values of the parameter `name` are as demanded.
#[must_use]
pub(super) fn holds(name: &str, pattern: &ValuePattern, query: &str) -> Holds {
    let read = |separators: &[char]| {
        let values = values(query, separators, name);
        pattern.holds(values.map(|value| value.into_owned().into_bytes().into_iter()))
    };
    let holds = read(&['&']);
    // HTML 4 recommended `;` between parameters (appendix B.2.2), and there are upstreams that still read it so.
    if query.contains(';') { holds.in_either_reading(read(&['&', ';'])) } else { holds }
}

/// Returns the values of the parameter `name`, decoded.
fn values<'q>(query: &'q str, separators: &[char], name: &str) -> impl Iterator<Item = Cow<'q, str>> {
    let pairs = query.split(separators).flat_map(|pair| form_urlencoded::parse(pair.as_bytes()));
    pairs.filter(move |(found, _)| found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::holds;
    use crate::policy::holds::Holds;
    use crate::policy::pattern::ValuePattern;

    fn equals(value: &str) -> ValuePattern {
        ValuePattern::Equals(value.as_bytes().into())
    }

    #[test]
    fn names_are_compared_when_they_are_decoded() {
        for query in ["a b=1", "a+b=1", "a%20b=1", "%61%20b=1", "x=2&a+b=1", "&&a+b=%31", "a+b=1&a%20b=%31"] {
            assert_eq!(holds("a b", &equals("1"), query), Holds::Always, "{query}");
        }
        for query in ["", "a=1", "A+b=1", "a+b", "a+b=", "a+b=11", "a%2Bb=1", "a+b%3D1", "=1", "a+b==1"] {
            assert_eq!(holds("a b", &equals("1"), query), Holds::Never, "{query}");
        }
    }

    #[test]
    fn different_values_are_readings_of_their_own() {
        for query in ["a=1&a=2", "a=2&a=1", "a=1&a", "a=1&b=2&%61=3"] {
            assert_eq!(holds("a", &equals("1"), query), Holds::Perhaps, "{query}");
        }
    }

    #[test]
    fn a_semicolon_separates_in_one_reading() {
        for (query, judged) in [
            ("b=2;a=1", Holds::Perhaps),
            ("a=1;b=2", Holds::Perhaps),
            ("a=1&b=2;c=3", Holds::Always),
            ("a=2;b=2", Holds::Never),
            ("a=1%3Bb=2", Holds::Never),
        ] {
            assert_eq!(holds("a", &equals("1"), query), judged, "{query}");
        }
    }

    #[test]
    fn an_empty_value_may_be_taken_for_a_missing_one() {
        for (query, judged) in
            [("a", Holds::Perhaps), ("a=", Holds::Perhaps), ("a=0", Holds::Always), ("b=a", Holds::Never)]
        {
            assert_eq!(holds("a", &ValuePattern::Present, query), judged, "{query}");
        }
    }

    #[test]
    fn the_start_of_a_value_is_compared_when_it_is_decoded() {
        let pattern = ValuePattern::StartsWith((*b"x y").into());
        assert_eq!(holds("a", &pattern, "a=x+yz"), Holds::Always);
        assert_eq!(holds("a", &pattern, "a=x%2Byz"), Holds::Never);
    }
}
