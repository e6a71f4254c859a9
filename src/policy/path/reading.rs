//! The choices in reading a path.

/// How the application reads what can be read in several ways. By default, what could be a way around a rule is
/// refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    /// What `%2F` is.
    pub encoded_slashes: EncodedSlashes,
    /// What a backslash is, plain or as `%5C`.
    pub backslashes: Backslashes,
    /// What becomes of `.` and `..`.
    pub dot_segments: DotSegments,
    /// What becomes of `//`.
    pub empty_segments: EmptySegments,
    /// What a `%` is without two hexadecimal digits.
    pub invalid_escapes: InvalidEscapes,
    /// Whether rules tell upper case from lower case.
    pub case: LetterCase,
}

/// What `%2F` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncodedSlashes {
    /// Part of its segment, forwarded as it is; but an upstream may decode it, so rules see both readings.
    #[default]
    Both,
    /// A reason to refuse.
    Reject,
    /// Part of its segment.
    Keep,
    /// A slash.
    Decode,
}

/// What a backslash is, plain or as `%5C`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backslashes {
    /// Part of its segment, forwarded as `%5C`; but an upstream may take it for a slash, so rules see both readings.
    #[default]
    Both,
    /// A reason to refuse.
    Reject,
    /// Part of its segment, forwarded as `%5C`.
    Keep,
    /// A slash.
    Slash,
}

/// What becomes of `.` and `..`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DotSegments {
    /// They are resolved, as by every browser.
    #[default]
    Resolve,
    /// The request is refused.
    Reject,
}

/// What becomes of `//`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmptySegments {
    /// One slash.
    #[default]
    Merge,
    /// Two slashes, for rules and application alike.
    Keep,
    /// The request is refused.
    Reject,
}

/// What a `%` is without two hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvalidEscapes {
    /// A reason to refuse.
    #[default]
    Reject,
    /// A percent sign, forwarded as `%25`.
    Escape,
}

/// Whether rules tell upper case from lower case (of ASCII).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LetterCase {
    /// They do.
    #[default]
    Sensitive,
    /// They do not; what is forwarded keeps its case.
    Insensitive,
}
