//! Collects every fault with its location, and looks the places up in the text at the end. Pure.

use super::certificates::Certificates;
use super::diagnostic::{Diagnostic, Fault, Severity, shown};
use super::yaml::{Step, locate};
use crate::tls::Validity;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A value of the file, or a key.
    File {
        /// The way from the root.
        steps: Vec<Step>,
        /// The key itself, not its value.
        on_key: bool,
    },
    /// A flag, or the environment variable of the same name.
    Flag(String),
}

impl Location {
    /// The whole file.
    pub(super) fn root() -> Self {
        Self::File { steps: Vec::new(), on_key: false }
    }

    /// A part of it. The parts of a flag have no location of their own.
    pub(super) fn then(&self, step: Step) -> Self {
        match self {
            Self::File { steps, .. } => {
                let steps = steps.iter().cloned().chain([step]).collect();
                Self::File { steps, on_key: matches!(self, Self::File { on_key: true, .. }) }
            }
            Self::Flag(flag) => Self::Flag(flag.clone()),
        }
    }

    /// Its key instead of its value.
    pub(super) fn key(self) -> Self {
        match self {
            Self::File { steps, .. } => Self::File { steps, on_key: true },
            flag @ Self::Flag(_) => flag,
        }
    }

    fn path(&self) -> String {
        let steps = match self {
            Self::File { steps, .. } => steps,
            Self::Flag(flag) => return flag.clone(),
        };
        let mut path = String::new();
        for step in steps {
            match step {
                Step::Item(index) => path.push_str(&format!("[{index}]")),
                Step::Entry(_, name) => push_name(&mut path, name),
                Step::Absent(name) => push_name(&mut path, name),
            }
        }
        path
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(&shown(name));
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) location: Location,
}

/// A fault, or a doubt, that has not been looked up in the text yet.
#[derive(Clone, Debug)]
struct Finding {
    location: Location,
    fault: Fault,
    /// What it collides with.
    other: Option<Location>,
}

/// Every fault and every doubt so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Files that are named there, and when the certificates in them are valid.
    certificates: Vec<(Spanned<String>, Vec<Option<Validity>>)>,
}

/// What a report holds, with line and column, in the order of the file.
pub(super) struct Located {
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) certificates: Vec<Certificates>,
}

/// More diagnostics than anybody reads at once; each costs a pass over the text to locate.
const MOST_PROBLEMS: usize = 100;

impl Report {
    pub(super) fn error(&mut self, location: &Location, fault: Fault) {
        self.errors.push(Finding { location: location.clone(), fault, other: None });
    }

    /// An error about two places.
    pub(super) fn collision(&mut self, location: &Location, fault: Fault, other: &Location) {
        self.errors.push(Finding { location: location.clone(), fault, other: Some(other.clone()) });
    }

    pub(super) fn warn(&mut self, location: &Location, message: impl Into<String>, help: impl Into<String>) {
        self.warnings.push(Finding {
            location: location.clone(),
            fault: Fault::new(message, help),
            other: None,
        });
    }

    /// Notes when the certificates in a file are valid. The report does not know the time.
    pub(super) fn certificates(&mut self, file: &Spanned<String>, validities: Vec<Option<Validity>>) {
        self.certificates.push((file.clone(), validities));
    }

    /// The value, or the note that it is wrong.
    pub(super) fn take<T>(&mut self, location: &Location, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.error(location, fault)).ok()
    }

    /// How many errors there are so far: a part that adds none is sound.
    pub(super) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// Looks all places up in the text.
    pub(super) fn located(self, file: Option<(&str, &str)>) -> Located {
        let certificates = self.certificates.into_iter().map(|(Spanned { value, location }, validities)| {
            let at = Finding { location, fault: Fault::new("", ""), other: None };
            Certificates::new(at.locate(Severity::Warning, file), value, validities)
        });
        Located {
            certificates: certificates.collect(),
            errors: located(Severity::Error, self.errors, file),
            warnings: located(Severity::Warning, self.warnings, file),
        }
    }
}

fn located(severity: Severity, findings: Vec<Finding>, file: Option<(&str, &str)>) -> Vec<Diagnostic> {
    let more = findings.len().saturating_sub(MOST_PROBLEMS);
    let mut diagnostics: Vec<Diagnostic> =
        findings.into_iter().take(MOST_PROBLEMS).map(|f| f.locate(severity, file)).collect();
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    if more > 0 {
        diagnostics.push(Diagnostic {
            severity,
            file: file.map(|(name, _)| name.to_owned()),
            line: None,
            column: None,
            path: String::new(),
            message: format!("and {more} more"),
            help: "mend the first ones: the others may go with them".to_owned(),
        });
    }
    diagnostics
}

impl Finding {
    fn locate(self, severity: Severity, file: Option<(&str, &str)>) -> Diagnostic {
        let find = |location: &Location| match (location, file) {
            (Location::File { steps, on_key }, Some((_, text))) => locate(text, steps, *on_key),
            _ => None,
        };
        let at = find(&self.location);
        let mut message = self.fault.message;
        if let Some(other) = self.other {
            match find(&other) {
                Some((line, _)) => message.push_str(&format!(" (line {line})")),
                None => message.push_str(&format!(" ({})", other.path())),
            }
        }
        let in_file = matches!(self.location, Location::File { .. });
        Diagnostic {
            severity,
            file: file.filter(|_| in_file).map(|(name, _)| name.to_owned()),
            line: at.map(|(line, _)| line),
            column: at.map(|(_, column)| column),
            path: self.location.path(),
            message,
            help: self.fault.help,
        }
    }
}
