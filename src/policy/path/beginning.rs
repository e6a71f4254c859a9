//! The beginning of a path while it arrives, byte by byte: refused at the first byte after which [`canonical`] accepts no
//! path that begins so. Pure, and without a copy.
//!
//! [`canonical`]: super::canonical

use super::decoded::DoubtfulSeparators;
use super::reading::{Backslashes, DotSegments, EmptySegments, EncodedSlashes, InvalidEscapes, PathPolicy};
use super::{Ambiguous, is_overlong_pair};

/// How far a path has been read, from the byte after the first slash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beginning {
    /// The number of complete segments that no `..` has removed.
    depth: usize,
    /// Whether the first of them is empty.
    first_is_empty: bool,
    piece: Piece,
    /// The separator before this piece.
    kept: Kept,
    /// Whether the segment has parameters.
    parameters: bool,
    /// All separators that may be read in both ways.
    doubtful: DoubtfulSeparators,
    escape: Escape,
    /// The byte before, if it was escaped.
    lead: Option<u8>,
}

/// What the segment is, or what of it follows a separator that is kept as data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Piece {
    #[default]
    Empty,
    Dot,
    DotDot,
    Name,
}

/// The last separator of a segment that is kept in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kept {
    /// There is none: the piece is the beginning of the segment.
    #[default]
    None,
    /// It is data.
    Data,
    /// It may be read in both ways.
    Both,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Percent,
    /// The percent sign and this digit.
    Digit(u8),
}

impl Beginning {
    /// Reads one byte more.
    ///
    /// # Errors
    /// When no path goes on with it.
    pub fn step(&mut self, byte: u8, policy: &PathPolicy) -> Result<(), Ambiguous> {
        let strict = policy.invalid_escapes == InvalidEscapes::Reject;
        match std::mem::take(&mut self.escape) {
            Escape::None if byte == b'%' => {
                self.escape = Escape::Percent;
                Ok(())
            }
            Escape::None => self.plain(byte, policy),
            Escape::Percent if byte.is_ascii_hexdigit() => {
                self.escape = Escape::Digit(byte);
                if strict { self.judge_first_digit(digit(byte)) } else { Ok(()) }
            }
            Escape::Digit(high) if byte.is_ascii_hexdigit() => {
                self.escaped(digit(high) << 4 | digit(byte), policy)
            }
            Escape::Percent | Escape::Digit(_) if strict => Err(Ambiguous::Escape),
            // The percent sign is data.
            Escape::Percent => {
                self.name();
                self.step(byte, policy)
            }
            Escape::Digit(high) => {
                self.name();
                self.plain(high, policy)?;
                self.step(byte, policy)
            }
        }
    }

    /// The path ends.
    ///
    /// # Errors
    /// When it cannot end here.
    pub fn end(mut self, policy: &PathPolicy) -> Result<(), Ambiguous> {
        match std::mem::take(&mut self.escape) {
            Escape::None => {}
            _ if policy.invalid_escapes == InvalidEscapes::Reject => return Err(Ambiguous::Escape),
            Escape::Percent | Escape::Digit(_) => self.name(),
        }
        // A slash at the end leaves nothing behind it.
        match (self.piece, self.kept) {
            (Piece::Empty, Kept::None) => {}
            (Piece::Empty, _) => self.push(false),
            _ => self.separate(policy)?,
        }
        if self.depth > 0 && self.first_is_empty { Err(Ambiguous::EmptySegment) } else { Ok(()) }
    }

    /// Whatever the second digit is, the escape may be one that is refused.
    fn judge_first_digit(&self, high: u8) -> Result<(), Ambiguous> {
        match self.lead {
            _ if high < 2 => Err(Ambiguous::Control),
            Some(lead) if is_overlong_pair(lead, high) => Err(Ambiguous::Overlong),
            _ => Ok(()),
        }
    }

    fn escaped(&mut self, byte: u8, policy: &PathPolicy) -> Result<(), Ambiguous> {
        match (byte, policy.encoded_slashes, policy.backslashes) {
            (0..=0x1f | 0x7f, ..) => Err(Ambiguous::Control),
            (b'/', EncodedSlashes::Reject, _) => Err(Ambiguous::EncodedSlash),
            (b'/', EncodedSlashes::Keep, _) => self.keep(),
            (b'/', EncodedSlashes::Both, _) => self.keep_both(byte),
            (b'/', EncodedSlashes::Decode, _) => self.separate(policy),
            (b'\\', ..) => self.backslash(policy),
            (b'.', ..) => {
                self.dot();
                Ok(())
            }
            _ if self.lead.is_some_and(|lead| is_overlong_pair(lead, byte >> 4)) => Err(Ambiguous::Overlong),
            _ => {
                self.name();
                self.lead = Some(byte);
                Ok(())
            }
        }
    }

    fn plain(&mut self, byte: u8, policy: &PathPolicy) -> Result<(), Ambiguous> {
        match (byte, self.piece) {
            (b'/', _) => return self.separate(policy),
            (b'\\', _) => return self.backslash(policy),
            (0..=0x1f | 0x7f, _) => return Err(Ambiguous::Control),
            (b'.', _) => self.dot(),
            (b';', Piece::Dot | Piece::DotDot) if self.kept != Kept::None => {
                return Err(Ambiguous::DotSegment);
            }
            (b';', Piece::Empty | Piece::Dot | Piece::DotDot) if self.kept != Kept::Data => {
                return Err(Ambiguous::Parameters);
            }
            (b';', _) => {
                self.name();
                self.parameters = true;
            }
            _ => self.name(),
        }
        Ok(())
    }

    fn name(&mut self) {
        (self.piece, self.lead) = (Piece::Name, None);
    }

    fn dot(&mut self) {
        self.lead = None;
        self.piece = match self.piece {
            Piece::Empty => Piece::Dot,
            Piece::Dot => Piece::DotDot,
            Piece::DotDot | Piece::Name => Piece::Name,
        };
    }

    fn backslash(&mut self, policy: &PathPolicy) -> Result<(), Ambiguous> {
        match policy.backslashes {
            Backslashes::Reject => Err(Ambiguous::Backslash),
            Backslashes::Keep => self.keep(),
            Backslashes::Both => self.keep_both(b'\\'),
            Backslashes::Slash => self.separate(policy),
        }
    }

    /// A separator that is data.
    fn keep(&mut self) -> Result<(), Ambiguous> {
        if matches!(self.piece, Piece::Dot | Piece::DotDot) {
            return Err(Ambiguous::DotSegment);
        }
        (self.piece, self.kept, self.lead) = (Piece::Empty, Kept::Data, None);
        Ok(())
    }

    /// A separator that may be data.
    fn keep_both(&mut self, separator: u8) -> Result<(), Ambiguous> {
        self.doubtful.add(separator, self.parameters)?;
        if self.is_empty_if_decoded() {
            return Err(Ambiguous::EmptySegment);
        }
        self.keep()?;
        self.kept = Kept::Both;
        Ok(())
    }

    /// Returns whether nothing is between the separators on either side of this place, if those that may be decoded are.
    fn is_empty_if_decoded(&self) -> bool {
        self.piece == Piece::Empty && self.kept != Kept::Data
    }

    /// The segment ends.
    fn separate(&mut self, policy: &PathPolicy) -> Result<(), Ambiguous> {
        let (piece, kept) = (self.piece, self.kept != Kept::None);
        if kept && self.is_empty_if_decoded() {
            return Err(Ambiguous::EmptySegment);
        }
        (self.piece, self.kept, self.lead, self.parameters) = (Piece::Empty, Kept::None, None, false);
        match piece {
            Piece::Dot | Piece::DotDot if kept || policy.dot_segments == DotSegments::Reject => {
                return Err(Ambiguous::DotSegment);
            }
            Piece::Dot => {}
            Piece::DotDot => self.depth = self.depth.checked_sub(1).ok_or(Ambiguous::AboveRoot)?,
            Piece::Empty if !kept => match policy.empty_segments {
                EmptySegments::Merge => {}
                EmptySegments::Reject => return Err(Ambiguous::EmptySegment),
                EmptySegments::Keep => self.push(true),
            },
            Piece::Empty | Piece::Name => self.push(false),
        }
        // Only `..` could remove it.
        let stays = self.depth > 0 && self.first_is_empty && policy.dot_segments == DotSegments::Reject;
        if stays { Err(Ambiguous::EmptySegment) } else { Ok(()) }
    }

    fn push(&mut self, empty: bool) {
        if self.depth == 0 {
            self.first_is_empty = empty;
        }
        self.depth += 1;
    }
}

fn digit(byte: u8) -> u8 {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::{LetterCase, canonical};
    use super::*;

    /// The verdict on the bytes of a path as they arrive.
    fn walked(path: &str, policy: &PathPolicy) -> Result<Beginning, Ambiguous> {
        let mut beginning = Beginning::default();
        path.bytes().skip(1).try_for_each(|byte| beginning.step(byte, policy))?;
        Ok(beginning)
    }

    /// Of these at least one completes whatever can be completed.
    fn completions() -> impl Iterator<Item = String> {
        // A path of seven parts has at most 14 segments.
        let up = (0..16).map(|times| "../".repeat(times) + "a");
        let up = up.flat_map(|up| ["", "/", "a/", "0/", "20/"].map(|begin| format!("{begin}{up}")));
        up.chain(["", "a", "0", "20"].map(str::to_owned))
    }

    fn policies() -> impl Strategy<Value = PathPolicy> {
        (
            select(&[
                EncodedSlashes::Both,
                EncodedSlashes::Reject,
                EncodedSlashes::Keep,
                EncodedSlashes::Decode,
            ]),
            select(&[Backslashes::Both, Backslashes::Reject, Backslashes::Keep, Backslashes::Slash]),
            select(&[DotSegments::Resolve, DotSegments::Reject]),
            select(&[EmptySegments::Merge, EmptySegments::Keep, EmptySegments::Reject]),
            select(&[InvalidEscapes::Reject, InvalidEscapes::Escape]),
        )
            .prop_map(
                |(encoded_slashes, backslashes, dot_segments, empty_segments, invalid_escapes)| {
                    let case = LetterCase::Sensitive;
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

    const PARTS: &[&str] = &[
        "a", ".", "..", "/", "/", "//", ";", "%2F", "%5c", "\\", "%", "%2", "%2e", "%C0", "%e0", "%F0",
        "%80", "%9f", "8", "0", "%00", "%7F", "%3B", "%E9", "\u{e9}", "\"",
    ];

    fn paths() -> impl Strategy<Value = String> {
        proptest::collection::vec(select(PARTS), 0..7).prop_map(|parts| format!("/{}", parts.concat()))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_whole_path_is_refused_exactly_when_it_has_no_canonical_form(path in paths(), policy in policies()) {
            let verdict = walked(&path, &policy).and_then(|beginning| beginning.end(&policy));
            let canonical = canonical(&path, &policy);
            prop_assert_eq!(verdict.is_ok(), canonical.is_ok(), "{}: {:?}, {:?}", path, verdict, canonical);
        }

        #[test]
        fn what_passes_can_be_completed(path in paths(), policy in policies()) {
            if walked(&path, &policy).is_ok() {
                let completed = |rest: String| canonical(&format!("{path}{rest}"), &policy).is_ok();
                prop_assert!(completions().any(completed), "{}", path);
            }
        }
    }
}
