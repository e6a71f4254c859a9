//! The second reading of a path with encoded separators: an upstream may decode `/a%2Fb` into `/a/b` before it routes.

use super::{Ambiguous, Backslashes, EncodedSlashes, PathPolicy, bare};

/// Returns a canonical path as an upstream reads it that decodes the separators, in canonical form too. None: the path
/// has no separator that may be read in both ways.
#[must_use]
pub fn decoded(canonical: &str, policy: &PathPolicy) -> Option<String> {
    let separator = separators(policy).find(|separator| canonical.contains(separator))?;
    Some(canonical.replace(separator, "/"))
}

/// Checks the pieces that the decoded reading makes of one segment, which is in canonical form. A piece that is empty
/// there, or empty without its parameters, would be removed or not: those are more readings than two. Only the path may
/// end with a separator, as it may with a slash. (Of dots every kept separator is a reason to refuse.)
pub(super) fn check(segment: &str, is_last: bool, policy: &PathPolicy) -> Result<(), Ambiguous> {
    for separator in separators(policy).filter(|separator| segment.contains(separator)) {
        let mut pieces = segment.split(separator).peekable();
        while let Some(piece) = pieces.next() {
            let is_end = is_last && pieces.peek().is_none();
            match piece {
                "" if !is_end => return Err(Ambiguous::EmptySegment),
                piece if !piece.is_empty() && bare(piece).is_empty() => return Err(Ambiguous::Parameters),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Returns the separators that may be read in both ways, as a canonical path spells them. A path has one kind of them.
fn separators(policy: &PathPolicy) -> impl Iterator<Item = &'static str> {
    let slash = (policy.encoded_slashes == EncodedSlashes::Both).then_some("%2F");
    let backslash = (policy.backslashes == Backslashes::Both).then_some("%5C");
    slash.into_iter().chain(backslash)
}

/// The separators of one path that may be read in both ways: all of one kind, and all in parameters or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DoubtfulSeparators(Option<(u8, bool)>);

impl DoubtfulSeparators {
    /// Adds one, a slash or a backslash. Returns whether it separates segments of what is forwarded: it does not.
    pub(super) fn add(&mut self, separator: u8, is_in_parameters: bool) -> Result<bool, Ambiguous> {
        match self.0.replace((separator, is_in_parameters)) {
            Some((other, _)) if other != separator => Err(Ambiguous::MixedSeparators),
            Some((_, other)) if other != is_in_parameters => Err(Ambiguous::SeparatorsInParameters),
            _ => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Ambiguous, Backslashes, EncodedSlashes, PathPolicy, canonical};
    use super::decoded;

    #[test]
    fn encoded_separators_are_kept_and_decoded() {
        let policy = PathPolicy::default();
        for (raw, kept, want) in [
            ("/a%2fb/c", "/a%2Fb/c", Some("/a/b/c")),
            ("/@scope%2fname", "/@scope%2Fname", Some("/@scope/name")),
            ("/a%2Fb%2F", "/a%2Fb%2F", Some("/a/b/")),
            ("/a%5cb", "/a%5Cb", Some("/a/b")),
            ("/a\\b", "/a%5Cb", Some("/a/b")),
            ("/a;v=%2F1", "/a;v=%2F1", Some("/a;v=/1")),
            ("/a%2Fb;v=1", "/a%2Fb;v=1", Some("/a/b;v=1")),
            ("/a%2F.b/..c", "/a%2F.b/..c", Some("/a/.b/..c")),
            ("//a/./b%2Fc", "/a/b%2Fc", Some("/a/b/c")),
            ("/a%252Fb", "/a%252Fb", None),
            ("/a/b", "/a/b", None),
        ] {
            let canonical = canonical(raw, &policy);
            assert_eq!(canonical.as_deref(), Ok(kept), "{raw}");
            assert_eq!(decoded(kept, &policy).as_deref(), want, "{raw}");
        }
    }

    #[test]
    fn a_path_with_more_than_two_readings_is_refused() {
        for (raw, why) in [
            ("/%2F", Ambiguous::EmptySegment),
            ("/%2Fa", Ambiguous::EmptySegment),
            ("/a/%2Fb", Ambiguous::EmptySegment),
            ("/a%2F/b", Ambiguous::EmptySegment),
            ("/a%2F/", Ambiguous::EmptySegment),
            ("/a%2F%2Fb", Ambiguous::EmptySegment),
            ("/a%2F%2F", Ambiguous::EmptySegment),
            ("/a%2F/..", Ambiguous::EmptySegment),
            ("/\\host/a", Ambiguous::EmptySegment),
            ("/a%5C%5Cb", Ambiguous::EmptySegment),
            ("/a%2F;x/b", Ambiguous::Parameters),
            ("/a%2F;x", Ambiguous::Parameters),
            ("/a%2Fb;%2Fc", Ambiguous::SeparatorsInParameters),
            ("/a;%2Fb/c%2Fd", Ambiguous::SeparatorsInParameters),
            ("/a%2F..", Ambiguous::DotSegment),
            ("/..%2Fa", Ambiguous::DotSegment),
            ("/a%2F%2e%2e%2Fb", Ambiguous::DotSegment),
            ("/a%2F.;x/b", Ambiguous::DotSegment),
            ("/a\\..\\b", Ambiguous::DotSegment),
        ] {
            assert_eq!(canonical(raw, &PathPolicy::default()), Err(why), "{raw}");
        }
    }

    #[test]
    fn a_separator_that_is_read_in_one_way_has_no_second_reading() {
        let policy = PathPolicy {
            encoded_slashes: EncodedSlashes::Both,
            backslashes: Backslashes::Keep,
            ..PathPolicy::default()
        };
        let path = canonical("/a%5C%2Fb%5C", &policy).expect("only the slash may be decoded");
        assert_eq!(decoded(&path, &policy).as_deref(), Some("/a%5C/b%5C"));
    }
}
