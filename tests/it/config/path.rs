//! The section `path`, and what it means for the paths of rules.

use tidegate::policy::path::{
    Backslashes, DotSegments, EmptySegments, EncodedSlashes, InvalidEscapes, LetterCase, PathPolicy,
};

use super::{Wrong, assert_wrong, file, right};

#[test]
fn every_choice_can_be_made() {
    assert_eq!(*right(&file("path:")).policy.path(), PathPolicy::default());
    let all = "path: { encoded_slashes: keep, backslashes: slash, dot_segments: reject, empty_segments: keep, \
               invalid_escapes: escape, case: insensitive }";
    let want = PathPolicy {
        encoded_slashes: EncodedSlashes::Keep,
        backslashes: Backslashes::Slash,
        dot_segments: DotSegments::Reject,
        empty_segments: EmptySegments::Keep,
        invalid_escapes: InvalidEscapes::Escape,
        case: LetterCase::Insensitive,
    };
    assert_eq!(*right(&file(all)).policy.path(), want);
    let other = *right(&file("path: { encoded_slashes: decode, backslashes: keep, empty_segments: reject }"))
        .policy
        .path();
    assert_eq!(
        (other.encoded_slashes, other.backslashes, other.empty_segments),
        (EncodedSlashes::Decode, Backslashes::Keep, EmptySegments::Reject)
    );
}

#[rustfmt::skip]
const WRONG: &[Wrong] = &[
    ("path: /api", "2:7", "path", "expected a mapping", "encoded_slashes"),
    ("path: { slashes: keep }", "2:9", "path.slashes", "no key 'slashes'", "encoded_slashes, backslashes"),
    ("path: { merge_slashes: true }", "2:9", "path.merge_slashes", "empty_segments", "merge, keep or reject"),
    ("path: { trailing_slash: keep }", "2:9", "path.trailing_slash", "makes no difference", "remove"),
    ("path: { encoded_slashes: allow }", "2:26", "path.encoded_slashes", "'allow' is not known", "reject, keep, decode"),
    ("path: { backslashes: decode }", "2:22", "path.backslashes", "'decode' is not known", "reject, keep, slash"),
    ("path: { dot_segments: keep }", "2:23", "path.dot_segments", "'keep' is not known", "resolve, reject"),
    ("path: { empty_segments: true }", "2:25", "path.empty_segments", "found the boolean true", "merge, keep, reject"),
    ("path: { invalid_escapes: keep }", "2:26", "path.invalid_escapes", "'keep' is not known", "reject, escape"),
    ("path: { case: ignore }", "2:15", "path.case", "'ignore' is not known", "sensitive, insensitive"),
    ("rules: [{ name: a, match: { path: /a%2Fb }, rate: 1/s }]", "2:35", "rules[0].match.path", "no accepted request", "/api/tasks"),
    ("rules: [{ name: a, match: { path: /a//b }, rate: 1/s }]", "2:35", "rules[0].match.path", "never has the segment ''", "/api/tasks"),
    ("rules: [{ name: a, match: { path: '/a\\b' }, rate: 1/s }]", "2:35", "rules[0].match.path", "cannot be part of a path", "/api/tasks"),
    ("path: { encoded_slashes: decode }\nrules: [{ name: a, match: { path: /a%2Fb }, rate: 1/s }]", "3:35", "rules[0].match.path", "write '/' for it", "/api/tasks"),
    ("path: { backslashes: slash }\nrules: [{ name: a, match: { path: '/a\\b' }, rate: 1/s }]", "3:35", "rules[0].match.path", "write '/' for it", "/api/tasks"),
    ("path: { empty_segments: keep }\nrules: [{ name: a, match: { path: //a }, rate: 1/s }]", "3:35", "rules[0].match.path", "never has the segment ''", "/api/tasks"),
    ("path: { case: insensitive }\nrules: [{ name: a, match: { path: /a }, rate: 1/s }, { name: b, match: { path: /A }, rate: 1/s }]", "3:62", "rules[1].name", "never reached", "above 'a'"),
];

#[test]
fn what_no_request_can_have_is_an_error() {
    assert_wrong(WRONG, file);
}
