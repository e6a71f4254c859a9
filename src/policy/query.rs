//! The query of a request, and what a rule demands of its parameters.
//!
//! Names and values are compared as upstreams decode them (application/x-www-form-urlencoded): `+` is a blank, and escapes
//! are decoded.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::holds::Holds;
use super::pattern::ValuePattern;

/// The query of a request. It is decoded once, and only if a rule demands something of it.
#[derive(Debug, Default)]
pub struct Query<'a> {
    text: &'a str,
    readings: OnceCell<Readings>,
}

/// The parameters, in each way in which upstreams separate them.
#[derive(Debug)]
struct Readings {
    at_ampersands: Parameters,
    /// HTML 4 recommended `;` between parameters (appendix B.2.2), and there are upstreams that still read it so. None: the
    /// query has none.
    at_semicolons_too: Option<Parameters>,
}

/// Names and values, decoded.
#[derive(Debug, Default)]
struct Parameters {
    text: String,
    /// Where in the text a name begins, its value begins, and the value ends. Sorted by name and value, each once.
    bounds: Vec<[usize; 3]>,
}

impl<'a> Query<'a> {
    /// The query as received, without the question mark; empty if there is none.
    #[must_use]
    pub const fn new(text: &'a str) -> Self {
        Self { text, readings: OnceCell::new() }
    }

    /// The query as received.
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// Returns whether the values of the parameter `name` are as demanded.
    #[must_use]
    pub(super) fn holds(&self, name: &str, pattern: &ValuePattern) -> Holds {
        if self.text.is_empty() {
            return Holds::Never;
        }
        let Readings { at_ampersands, at_semicolons_too } =
            self.readings.get_or_init(|| Readings::of(self.text));
        let holds = at_ampersands.hold(name, pattern);
        match at_semicolons_too {
            None => holds,
            Some(parameters) => holds.in_either_reading(parameters.hold(name, pattern)),
        }
    }
}

impl Readings {
    fn of(query: &str) -> Self {
        let at_semicolons_too =
            query.contains(';').then(|| Parameters::read(query, query.split(';').flat_map(pairs)));
        Self { at_ampersands: Parameters::read(query, pairs(query)), at_semicolons_too }
    }
}

/// Returns the names and values between ampersands.
fn pairs(text: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(text.as_bytes())
}

impl Parameters {
    fn read<'q>(query: &'q str, pairs: impl Iterator<Item = (Cow<'q, str>, Cow<'q, str>)>) -> Self {
        let mut text = String::with_capacity(query.len());
        let mut bounds = Vec::new();
        for (name, value) in pairs {
            let begins = text.len();
            text.push_str(&name);
            let value_begins = text.len();
            text.push_str(&value);
            bounds.push([begins, value_begins, text.len()]);
        }
        let mut parameters = Self { text, bounds: Vec::new() };
        bounds.sort_unstable_by(|one, other| parameters.pair(one).cmp(&parameters.pair(other)));
        bounds.dedup_by(|one, other| parameters.pair(one) == parameters.pair(other));
        parameters.bounds = bounds;
        parameters
    }

    fn pair(&self, [begins, value_begins, ends]: &[usize; 3]) -> (&str, &str) {
        let part = |from: usize, to: usize| self.text.get(from..to).unwrap_or_default();
        (part(*begins, *value_begins), part(*value_begins, *ends))
    }

    fn hold(&self, name: &str, pattern: &ValuePattern) -> Holds {
        let first = self.bounds.partition_point(|bounds| self.pair(bounds).0 < name);
        let pairs = self.bounds.get(first..).unwrap_or_default().iter().map(|bounds| self.pair(bounds));
        let values = pairs.take_while(|(found, _)| *found == name).map(|(_, value)| value.bytes());
        pattern.holds(values)
    }
}

#[cfg(test)]
mod tests {
    use super::Query;
    use crate::policy::holds::Holds;
    use crate::policy::pattern::ValuePattern;

    fn holds(name: &str, pattern: &ValuePattern, query: &str) -> Holds {
        Query::new(query).holds(name, pattern)
    }

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

    #[test]
    fn each_parameter_has_its_own_values() {
        let query = Query::new("b=2&a=1&ab=3&=4&a=1&c");
        for (name, value, judged) in [
            ("a", "1", Holds::Always),
            ("ab", "3", Holds::Always),
            ("b", "2", Holds::Always),
            ("", "4", Holds::Always),
            ("c", "", Holds::Always),
            ("a", "3", Holds::Never),
            ("aa", "1", Holds::Never),
            ("d", "", Holds::Never),
        ] {
            assert_eq!(query.holds(name, &equals(value)), judged, "{name}={value}");
        }
    }
}
