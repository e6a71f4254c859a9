//! The shape of `path`: how the application reads paths. Pure.

use crate::config::value::{Fields, Keys, Value};
use crate::policy::path::{
    Backslashes, DotSegments, EmptySegments, EncodedSlashes, InvalidEscapes, LetterCase, PathPolicy,
};

const PATH: Keys = Keys {
    known: &["encoded_slashes", "backslashes", "dot_segments", "empty_segments", "invalid_escapes", "case"],
    hints: &[
        ("trailing_slash", "a slash at the end makes no difference to rules", "remove the key"),
        (
            "merge_slashes",
            "what becomes of // is empty_segments",
            "write empty_segments: merge, keep or reject",
        ),
        ("case_sensitive", "the key is case", "write case: sensitive or insensitive"),
    ],
};
const ENCODED_SLASHES: &[(&str, EncodedSlashes)] =
    &[("reject", EncodedSlashes::Reject), ("keep", EncodedSlashes::Keep), ("decode", EncodedSlashes::Decode)];
const BACKSLASHES: &[(&str, Backslashes)] =
    &[("reject", Backslashes::Reject), ("keep", Backslashes::Keep), ("slash", Backslashes::Slash)];
const DOT_SEGMENTS: &[(&str, DotSegments)] =
    &[("resolve", DotSegments::Resolve), ("reject", DotSegments::Reject)];
const EMPTY_SEGMENTS: &[(&str, EmptySegments)] =
    &[("merge", EmptySegments::Merge), ("keep", EmptySegments::Keep), ("reject", EmptySegments::Reject)];
const INVALID_ESCAPES: &[(&str, InvalidEscapes)] =
    &[("reject", InvalidEscapes::Reject), ("escape", InvalidEscapes::Escape)];
const CASE: &[(&str, LetterCase)] =
    &[("sensitive", LetterCase::Sensitive), ("insensitive", LetterCase::Insensitive)];

pub(super) fn path(cursor: &Value<'_>) -> PathPolicy {
    let Some(fields) = cursor.fields(&PATH) else { return PathPolicy::default() };
    let mut word = Words { fields: &fields };
    PathPolicy {
        encoded_slashes: word.of("encoded_slashes", ENCODED_SLASHES),
        backslashes: word.of("backslashes", BACKSLASHES),
        dot_segments: word.of("dot_segments", DOT_SEGMENTS),
        empty_segments: word.of("empty_segments", EMPTY_SEGMENTS),
        invalid_escapes: word.of("invalid_escapes", INVALID_ESCAPES),
        case: word.of("case", CASE),
    }
}

struct Words<'w, 'n> {
    fields: &'w Fields<'n>,
}

impl Words<'_, '_> {
    /// The word that a key has, or the default.
    fn of<T: Copy + Default>(&mut self, key: &str, words: &[(&str, T)]) -> T {
        let word = self.fields.get(key).and_then(|cursor| cursor.word(words));
        word.map(|at| at.value).unwrap_or_default()
    }
}
