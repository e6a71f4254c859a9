//! How paths are read, under every policy: properties of what is forwarded and of what rules see.

use std::borrow::Cow;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;
use tidegate::policy::path::{
    Ambiguous, Backslashes, DotSegments, EmptySegments, EncodedSlashes, InvalidEscapes, LetterCase,
    PathPolicy, canonical, decoded, matched,
};
use tidegate::policy::template::Template;

use crate::lenient::readings;

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "/", "/", "/", "//", "a", "B", "tasks", ".", "..", "%2e", "%2E", "%2f", "%2F", "\\", "%5c", "%5C", ";", "%3B",
    "v=1", "%", "%2", "%zz", "%25", "%61", "%3a", ":", "*", "%2a", "\u{e9}", "%C3%a9", "%c0", "%af", "{", "%7D", " ",
    "~", "%7e", "%u002f", "%00", "+", "@", "%40",
];

fn any_path() -> impl Strategy<Value = String> {
    proptest::collection::vec(select(PIECES), 0..14).prop_map(|pieces| format!("/{}", pieces.concat()))
}

fn any_policy() -> impl Strategy<Value = PathPolicy> {
    use {Backslashes as B, DotSegments as D, EmptySegments as E, EncodedSlashes as S};
    (
        select(&[S::Both, S::Reject, S::Keep, S::Decode][..]),
        select(&[B::Both, B::Reject, B::Keep, B::Slash][..]),
        select(&[D::Resolve, D::Reject][..]),
        select(&[E::Merge, E::Keep, E::Reject][..]),
        select(&[InvalidEscapes::Reject, InvalidEscapes::Escape][..]),
        select(&[LetterCase::Sensitive, LetterCase::Insensitive][..]),
    )
        .prop_map(
            |(encoded_slashes, backslashes, dot_segments, empty_segments, invalid_escapes, case)| {
                PathPolicy {
                    encoded_slashes,
                    backslashes,
                    dot_segments,
                    empty_segments,
                    invalid_escapes,
                    case,
                }
            },
        )
}

/// A resource as a template: every byte that could mean something is escaped.
fn written(resource: &[u8]) -> String {
    let mut text = String::new();
    for &b in resource {
        if b.is_ascii_alphanumeric() || b"/-._~".contains(&b) {
            text.push(char::from(b));
        } else {
            write!(text, "%{b:02x}").unwrap();
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_canonical_form_is_its_own(raw in any_path(), policy in any_policy()) {
        let Ok(once) = canonical(&raw, &policy).map(Cow::into_owned) else { return Ok(()) };
        let again = canonical(&once, &policy);
        prop_assert_eq!(again.as_deref(), Ok(&*once));
    }

    #[test]
    fn the_canonical_form_is_what_a_uri_may_hold(raw in any_path(), policy in any_policy()) {
        let Ok(once) = canonical(&raw, &policy).map(Cow::into_owned) else { return Ok(()) };
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b);
        prop_assert!(once.bytes().all(legal) && once.starts_with('/') && !once.starts_with("//"), "{}", once);
    }

    #[test]
    fn what_rules_see_is_its_own_form(raw in any_path(), policy in any_policy()) {
        let Ok(forwarded) = canonical(&raw, &policy) else { return Ok(()) };
        let seen = matched(&forwarded, &policy);
        prop_assert_eq!(&*matched(&seen, &policy), &*seen);
    }

    #[test]
    fn a_rule_can_be_written_for_every_path(raw in any_path(), policy in any_policy()) {
        let Ok(forwarded) = canonical(&raw, &policy) else { return Ok(()) };
        let seen = matched(&forwarded, &policy);
        // A star that is part of a name takes an escape, as a template's own star stands for something else.
        let rule = Template::parse(&seen.replace('*', "%2A"), &policy);
        prop_assert!(rule.as_ref().is_ok_and(|rule| rule.matches(&seen)), "{:?} for {}", rule, seen);
    }

    #[test]
    fn the_decoded_reading_is_canonical_and_has_no_further_reading(raw in any_path(), policy in any_policy()) {
        let Ok(forwarded) = canonical(&raw, &policy) else { return Ok(()) };
        let Some(decoded_path) = decoded(&forwarded, &policy) else { return Ok(()) };
        let again = canonical(&decoded_path, &policy);
        prop_assert_eq!(again.as_deref(), Ok(&*decoded_path), "{}", forwarded);
        prop_assert_eq!(decoded(&decoded_path, &policy), None);
    }

    #[test]
    fn no_server_takes_what_is_forwarded_for_a_resource_whose_rule_was_not_asked(raw in any_path()) {
        let policy = PathPolicy::default();
        let Ok(forwarded) = canonical(&raw, &policy) else { return Ok(()) };
        let seen = seen(&forwarded, &policy);
        // Parameters are no part of any rule.
        for resource in readings(&forwarded).iter().filter(|resource| !resource.contains(&b';')) {
            let rule = Template::parse(&written(resource), &policy);
            let finds_it = rule.as_ref().is_ok_and(|rule| seen.iter().any(|seen| rule.matches(seen)));
            // A server that takes all of it away serves the root.
            prop_assert!(resource.is_empty() || finds_it, "{forwarded} as {:?}, {:?}", resource.escape_ascii(), rule);
        }
    }
}

/// All that rules see of what is forwarded.
fn seen(forwarded: &str, policy: &PathPolicy) -> Vec<String> {
    let decoded = decoded(forwarded, policy);
    let readings = [Some(forwarded), decoded.as_deref()].into_iter().flatten();
    readings.map(|reading| matched(reading, policy).into_owned()).collect()
}

/// A choice, and what becomes of a path under it: what is forwarded, and what the rules see.
type Reading = (fn(&mut PathPolicy), &'static str, Result<(&'static str, &'static str), Ambiguous>);

#[rustfmt::skip]
const READINGS: &[Reading] = &[
    (|p| p.encoded_slashes = EncodedSlashes::Keep, "/a%2fb/c", Ok(("/a%2Fb/c", "/a%2Fb/c"))),
    (|p| p.encoded_slashes = EncodedSlashes::Keep, "/u/http%3A%2F%2Fx", Ok(("/u/http%3A%2F%2Fx", "/u/http:%2F%2Fx"))),
    (|p| p.encoded_slashes = EncodedSlashes::Keep, "/a/..%2fb", Err(Ambiguous::DotSegment)),
    (|p| p.encoded_slashes = EncodedSlashes::Keep, "/a/x%2F%2e;v%2Fb", Err(Ambiguous::DotSegment)),
    (|p| p.encoded_slashes = EncodedSlashes::Keep, "/a%2f%2f..b", Ok(("/a%2F%2F..b", "/a%2F%2F..b"))),
    (|p| p.encoded_slashes = EncodedSlashes::Keep, "/a%2f/%5cb", Err(Ambiguous::EmptySegment)),
    (|p| p.encoded_slashes = EncodedSlashes::Reject, "/a%2fb", Err(Ambiguous::EncodedSlash)),
    (|p| p.backslashes = Backslashes::Reject, "/a%5cb", Err(Ambiguous::Backslash)),
    (|p| p.backslashes = Backslashes::Reject, "/a\\b", Err(Ambiguous::Backslash)),
    (|p| p.encoded_slashes = EncodedSlashes::Decode, "/a%2fb%2F", Ok(("/a/b/", "/a/b/"))),
    (|p| p.encoded_slashes = EncodedSlashes::Decode, "/a%2f..%2fb", Ok(("/b", "/b"))),
    (|p| p.encoded_slashes = EncodedSlashes::Decode, "/a%252fb", Ok(("/a%252fb", "/a%252fb"))),
    (|p| p.backslashes = Backslashes::Keep, "/a\\b%5cc", Ok(("/a%5Cb%5Cc", "/a%5Cb%5Cc"))),
    (|p| p.backslashes = Backslashes::Keep, "/a\\..\\b", Err(Ambiguous::DotSegment)),
    (|p| p.backslashes = Backslashes::Slash, "/a\\b%5c..\\c", Ok(("/a/c", "/a/c"))),
    (|p| p.backslashes = Backslashes::Slash, "/\\host/a", Ok(("/host/a", "/host/a"))),
    (|p| p.dot_segments = DotSegments::Reject, "/a/./b", Err(Ambiguous::DotSegment)),
    (|p| p.dot_segments = DotSegments::Reject, "/a/%2e%2E/b", Err(Ambiguous::DotSegment)),
    (|p| p.dot_segments = DotSegments::Reject, "/a/.b/..c", Ok(("/a/.b/..c", "/a/.b/..c"))),
    (|p| p.empty_segments = EmptySegments::Keep, "/a//b//", Ok(("/a//b//", "/a//b//"))),
    (|p| p.empty_segments = EmptySegments::Keep, "/a//../b", Ok(("/a/b", "/a/b"))),
    (|p| p.empty_segments = EmptySegments::Keep, "//a", Err(Ambiguous::EmptySegment)),
    (|p| p.empty_segments = EmptySegments::Keep, "/x/..//a", Err(Ambiguous::EmptySegment)),
    (|p| p.empty_segments = EmptySegments::Keep, "//", Err(Ambiguous::EmptySegment)),
    (|p| p.empty_segments = EmptySegments::Reject, "/a//b", Err(Ambiguous::EmptySegment)),
    (|p| p.empty_segments = EmptySegments::Reject, "/a/b/", Ok(("/a/b/", "/a/b/"))),
    (|p| p.invalid_escapes = InvalidEscapes::Escape, "/100%/%zz%2", Ok(("/100%25/%25zz%252", "/100%25/%25zz%252"))),
    (|p| p.invalid_escapes = InvalidEscapes::Escape, "/%%61%2e", Ok(("/%25a.", "/%25a."))),
    (|p| p.case = LetterCase::Insensitive, "/Api/%C3%89;V", Ok(("/Api/%C3%89;V", "/api/%c3%89"))),
];

#[test]
fn each_choice_reads_as_it_says() {
    for (choose, raw, want) in READINGS {
        let mut policy = PathPolicy::default();
        choose(&mut policy);
        let forwarded = canonical(raw, &policy);
        let seen = forwarded.as_deref().map(|forwarded| (forwarded, matched(forwarded, &policy)));
        let got = seen.as_ref().map(|(forwarded, seen)| (*forwarded, &**seen));
        assert_eq!(got.map_err(|why| **why), *want, "{raw} under {policy:?}");
    }
}
