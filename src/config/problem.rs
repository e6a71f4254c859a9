//! What is wrong with a configuration, where it stands, and what would be right.

use std::fmt::{self, Write as _};

/// One fault, or one doubt, about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was named. None: a flag, an environment variable, or something that stands nowhere.
    pub file: Option<String>,
    /// Line in the file, from 1.
    pub line: Option<usize>,
    /// Column in that line, in characters, from 1.
    pub column: Option<usize>,
    /// The YAML path (`rules[3].rate`), or the flag (`--upstream`). Empty: the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let (Some(line), Some(column)) = (self.line, self.column) {
                write!(f, "{line}:{column}:")?;
            }
            f.write_char(' ')?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}\n    remedy: {}", self.message, self.remedy)
    }
}

/// A fault in one value, by whoever judges the value without knowing where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) message: String,
    pub(super) remedy: String,
}

impl Wrong {
    pub(super) fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into() }
    }
}

/// A text from outside, fit to stand in a message: on one line, shortened, without control characters.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut out = String::new();
    for (place, character) in text.chars().enumerate() {
        if place == MOST {
            out.push_str("...");
            break;
        }
        if character.is_control() || is_invisible(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    out
}

/// Marks that turn the direction of text, and blanks that are not seen: they would make a message lie.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The candidate that `word` was probably meant to be: at most two slips away, and less than half of it.
pub(super) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    if word.len() > 64 {
        return None;
    }
    let normal = |text: &str| text.to_lowercase().replace('-', "_");
    let word = normal(word);
    let slips = candidates.iter().map(|candidate| (distance(&word, &normal(candidate)), *candidate));
    let (slips, best) = slips.min_by_key(|(slips, _)| *slips)?;
    (slips <= 2 && slips * 2 < best.len()).then_some(best)
}

/// How many characters must be added, dropped, replaced, or swapped with their neighbour, to make one word of
/// the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let cell = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
    let mut older: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (line, have) in from.chars().enumerate() {
        let mut row = vec![line + 1];
        let mut before = None;
        for (place, &want) in to.iter().enumerate() {
            let replaced = cell(&above, place) + usize::from(have != want);
            let dropped = cell(&above, place + 1) + 1;
            let added = cell(&row, place) + 1;
            let swaps = previous == Some(want) && before == Some(have);
            let swapped = if swaps { cell(&older, place.wrapping_sub(1)) + 1 } else { usize::MAX };
            row.push(replaced.min(dropped).min(added).min(swapped));
            before = Some(want);
        }
        older = std::mem::replace(&mut above, row);
        previous = Some(have);
    }
    cell(&above, to.len())
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest, shown};

    #[test]
    fn the_distance_counts_slips() {
        for (from, to, want) in [
            ("rate", "rate", 0),
            ("rat", "rate", 1),
            ("raet", "rate", 1),
            ("", "ab", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), want, "{from} {to}");
        }
    }

    #[test]
    fn near_misses_find_their_word_and_others_none() {
        let keys = ["rate", "burst", "on_missing", "key"];
        assert_eq!(nearest("Rates", &keys), Some("rate"));
        assert_eq!(nearest("on-missing", &keys), Some("on_missing"));
        assert_eq!(nearest("window", &keys), None);
        assert_eq!(nearest("xyz", &keys), None);
    }

    #[test]
    fn what_is_shown_stays_on_one_line() {
        assert_eq!(shown("a\nb\u{1b}[1m"), "a\\u{a}b\\u{1b}[1m");
        assert_eq!(shown(&"x".repeat(70)), format!("{}...", "x".repeat(60)));
    }
}
