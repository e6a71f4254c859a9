//! Reads how the upstream reads paths. Pure.

use super::section::{Hint, Section};
use crate::policy::path::{
    Backslashes, DotSegments, EmptySegments, EncodedSlashes, InvalidEscapes, LetterCase, PathPolicy,
};

const HINTS: &[Hint] = &[
    (&["trailing_slash"], "a slash at the end makes no difference to rules", "remove the key"),
    (&["merge_slashes"], "this is set by empty_segments", "expected empty_segments: merge, keep or reject"),
    (&["case_sensitive"], "this is set by case", "expected case: sensitive or insensitive"),
];
const ENCODED_SLASHES: &[(&str, EncodedSlashes)] = &[
    ("both", EncodedSlashes::Both),
    ("reject", EncodedSlashes::Reject),
    ("keep", EncodedSlashes::Keep),
    ("decode", EncodedSlashes::Decode),
];
const BACKSLASHES: &[(&str, Backslashes)] = &[
    ("both", Backslashes::Both),
    ("reject", Backslashes::Reject),
    ("keep", Backslashes::Keep),
    ("slash", Backslashes::Slash),
];
const DOT_SEGMENTS: &[(&str, DotSegments)] =
    &[("resolve", DotSegments::Resolve), ("reject", DotSegments::Reject)];
const EMPTY_SEGMENTS: &[(&str, EmptySegments)] =
    &[("merge", EmptySegments::Merge), ("keep", EmptySegments::Keep), ("reject", EmptySegments::Reject)];
const INVALID_ESCAPES: &[(&str, InvalidEscapes)] =
    &[("reject", InvalidEscapes::Reject), ("escape", InvalidEscapes::Escape)];
const CASE: &[(&str, LetterCase)] =
    &[("sensitive", LetterCase::Sensitive), ("insensitive", LetterCase::Insensitive)];

pub(super) fn read(file: &mut Section<'_>) -> PathPolicy {
    let Some(value) = file.mapping("path") else { return PathPolicy::default() };
    let policy = value.section(HINTS, |section| {
        let default = PathPolicy::default();
        Some(PathPolicy {
            encoded_slashes: section.word("encoded_slashes", ENCODED_SLASHES, default.encoded_slashes),
            backslashes: section.word("backslashes", BACKSLASHES, default.backslashes),
            dot_segments: section.word("dot_segments", DOT_SEGMENTS, default.dot_segments),
            empty_segments: section.word("empty_segments", EMPTY_SEGMENTS, default.empty_segments),
            invalid_escapes: section.word("invalid_escapes", INVALID_ESCAPES, default.invalid_escapes),
            case: section.word("case", CASE, default.case),
        })
    });
    policy.unwrap_or_default()
}
