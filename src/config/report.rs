//! Collects every fault with its place, and looks the places up in the text at the end. Pure.

use super::certificates::Certificates;
use super::problem::{Problem, Wrong, shown};
use super::yaml::{Step, locate};
use crate::tls::Validity;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
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

impl Place {
    /// The whole file.
    pub(super) fn root() -> Self {
        Self::File { steps: Vec::new(), on_key: false }
    }

    /// A part of it. The parts of a flag have no place of their own.
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
                Step::Item(place) => path.push_str(&format!("[{place}]")),
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
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// A fault, or a doubt, that has not been looked up in the text yet.
#[derive(Clone, Debug)]
struct Finding {
    place: Place,
    wrong: Wrong,
    /// What it collides with.
    other: Option<Place>,
}

/// Every fault and every doubt so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Files that are named there, and when the certificates in them are valid.
    certificates: Vec<(At<String>, Vec<Option<Validity>>)>,
}

/// What a report holds, with line and column, in the order of the file.
pub(super) struct Located {
    pub(super) errors: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) certificates: Vec<Certificates>,
}

/// More problems than anybody reads at once; each costs a pass over the text to locate.
const MOST_PROBLEMS: usize = 100;

impl Report {
    pub(super) fn error(&mut self, place: &Place, wrong: Wrong) {
        self.errors.push(Finding { place: place.clone(), wrong, other: None });
    }

    /// An error about two places.
    pub(super) fn collision(&mut self, place: &Place, wrong: Wrong, other: &Place) {
        self.errors.push(Finding { place: place.clone(), wrong, other: Some(other.clone()) });
    }

    pub(super) fn warn(&mut self, place: &Place, message: impl Into<String>, remedy: impl Into<String>) {
        self.warnings.push(Finding { place: place.clone(), wrong: Wrong::new(message, remedy), other: None });
    }

    /// Notes when the certificates in a file are valid. The report does not know the time.
    pub(super) fn certificates(&mut self, file: &At<String>, validities: Vec<Option<Validity>>) {
        self.certificates.push((file.clone(), validities));
    }

    /// The value, or the note that it is wrong.
    pub(super) fn take<T>(&mut self, place: &Place, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.error(place, wrong)).ok()
    }

    /// How many errors there are so far: a part that adds none is sound.
    pub(super) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// Looks all places up in the text.
    pub(super) fn located(self, file: Option<(&str, &str)>) -> Located {
        let certificates = self.certificates.into_iter().map(|(At { value, place }, validities)| {
            let at = Finding { place, wrong: Wrong::new("", ""), other: None };
            Certificates::new(at.locate(file), value, validities)
        });
        Located {
            certificates: certificates.collect(),
            errors: located(self.errors, file),
            warnings: located(self.warnings, file),
        }
    }
}

fn located(findings: Vec<Finding>, file: Option<(&str, &str)>) -> Vec<Problem> {
    let more = findings.len().saturating_sub(MOST_PROBLEMS);
    let mut problems: Vec<Problem> =
        findings.into_iter().take(MOST_PROBLEMS).map(|f| f.locate(file)).collect();
    problems.sort_by_key(|problem| (problem.line, problem.column));
    if more > 0 {
        problems.push(Problem {
            file: file.map(|(name, _)| name.to_owned()),
            line: None,
            column: None,
            path: String::new(),
            message: format!("and {more} more"),
            remedy: "mend the first ones: the others may go with them".to_owned(),
        });
    }
    problems
}

impl Finding {
    fn locate(self, file: Option<(&str, &str)>) -> Problem {
        let find = |place: &Place| match (place, file) {
            (Place::File { steps, on_key }, Some((_, text))) => locate(text, steps, *on_key),
            _ => None,
        };
        let at = find(&self.place);
        let mut message = self.wrong.message;
        if let Some(other) = self.other {
            match find(&other) {
                Some((line, _)) => message.push_str(&format!(" (line {line})")),
                None => message.push_str(&format!(" ({})", other.path())),
            }
        }
        let in_file = matches!(self.place, Place::File { .. });
        Problem {
            file: file.filter(|_| in_file).map(|(name, _)| name.to_owned()),
            line: at.map(|(line, _)| line),
            column: at.map(|(_, column)| column),
            path: self.place.path(),
            message,
            remedy: self.wrong.remedy,
        }
    }
}
