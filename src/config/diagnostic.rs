//! What is wrong with a configuration, where, and what would be right.

use std::fmt;

pub(super) use crate::spelling::nearest;

/// Whether a configuration with such a diagnostic can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but it is probably not what the operator wants.
    Warning,
}

/// One fault of a configuration, or one warning about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it is a fault or a warning.
    pub severity: Severity,
    /// The file, as it was named. None: a flag, an environment variable, or the configuration as a whole.
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
    pub help: String,
}

impl Diagnostic {
    /// Returns the location as `FILE:LINE:COLUMN: PATH`, without the parts that it lacks.
    #[must_use]
    pub fn location(&self) -> String {
        let mut location = self.file.clone().unwrap_or_default();
        if let (Some(line), Some(column)) = (self.line, self.column) {
            location.push_str(&format!(":{line}:{column}"));
        }
        if !location.is_empty() && !self.path.is_empty() {
            location.push_str(": ");
        }
        location + &self.path
    }
}

/// As rustc writes its own.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", self.message)?;
        match self.location() {
            location if location.is_empty() => {}
            location => writeln!(f, " --> {location}")?,
        }
        write!(f, "    help: {}", self.help)
    }
}

/// A fault in a value whose location is not known to the code that reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What is wrong.
    pub(crate) message: String,
    /// What would be right.
    pub(crate) help: String,
}

impl Fault {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { message: message.into(), help: help.into() }
    }
}

/// Returns the start of a help that names the word that `text` was probably meant to be. Empty: no word is near.
pub(super) fn did_you_mean(text: &str, words: &[&str]) -> String {
    nearest(text, words).map(|meant| format!("did you mean '{meant}'? ")).unwrap_or_default()
}

/// Prepares a text from outside for a message: on one line, shortened, without control characters.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut out = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == MOST {
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

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn what_is_shown_stays_on_one_line() {
        assert_eq!(shown("a\nb\u{1b}[1m"), "a\\u{a}b\\u{1b}[1m");
        assert_eq!(shown(&"x".repeat(70)), format!("{}...", "x".repeat(60)));
    }
}
