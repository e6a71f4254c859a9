//! The section `path`, and what it means for the paths of rules.

use tidegate::policy::path::{
    Backslashes, DotSegments, EmptySegments, EncodedSlashes, InvalidEscapes, LetterCase, PathPolicy,
};

use super::{file, right};

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
    let strict = *right(&file("path: { encoded_slashes: reject, backslashes: reject }")).policy.path();
    assert_eq!((strict.encoded_slashes, strict.backslashes), (EncodedSlashes::Reject, Backslashes::Reject));
    let both = *right(&file("path: { encoded_slashes: both, backslashes: both }")).policy.path();
    assert_eq!(both, PathPolicy::default());
    let other = *right(&file("path: { encoded_slashes: decode, backslashes: keep, empty_segments: reject }"))
        .policy
        .path();
    assert_eq!(
        (other.encoded_slashes, other.backslashes, other.empty_segments),
        (EncodedSlashes::Decode, Backslashes::Keep, EmptySegments::Reject)
    );
}
