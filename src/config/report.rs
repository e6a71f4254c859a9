//! Collects every fault with its location, and looks the locations up in the text at the end. Pure.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use super::certificates::Certificates;
use super::diagnostic::{Diagnostic, Fault, Severity, shown};
use super::key_table::{Key, Kind};
use super::yaml::{Step, locate};
use crate::tls::Validity;

/// Where a value or a key is, and the report that its faults go to.
#[derive(Clone, Debug)]
pub(super) struct Location {
    report: Rc<Report>,
    origin: Origin,
}

#[derive(Clone, Debug)]
enum Origin {
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
    pub(super) fn root(report: &Rc<Report>) -> Self {
        Self { report: Rc::clone(report), origin: Origin::File { steps: Vec::new(), on_key: false } }
    }

    /// Whether it is in a flag, and not in the file.
    pub(super) fn is_flag(&self) -> bool {
        matches!(self.origin, Origin::Flag(_))
    }

    /// A part of it. The parts of a flag have no location of their own.
    pub(super) fn then(&self, step: Step) -> Self {
        let mut part = self.clone();
        if let Origin::File { steps, .. } = &mut part.origin {
            steps.push(step);
        }
        part
    }

    /// Its key instead of its value.
    pub(super) fn key(&self) -> Self {
        let mut key = self.clone();
        if let Origin::File { on_key, .. } = &mut key.origin {
            *on_key = true;
        }
        key
    }

    /// A flag or an environment variable.
    pub(super) fn flag(&self, name: impl Into<String>) -> Self {
        Self { report: Rc::clone(&self.report), origin: Origin::Flag(name.into()) }
    }

    /// Reports a fault.
    pub(super) fn error(&self, fault: Fault) {
        let finding = Finding { origin: self.origin.clone(), fault, other: None };
        self.report.errors.borrow_mut().push(finding);
    }

    /// Reports a fault that is about another location, too.
    pub(super) fn collision(&self, fault: Fault, other: &Self) {
        let finding = Finding { origin: self.origin.clone(), fault, other: Some(other.origin.clone()) };
        self.report.errors.borrow_mut().push(finding);
    }

    /// Reports a warning.
    pub(super) fn warn(&self, message: impl Into<String>, help: impl Into<String>) {
        let fault = Fault::new(message, help);
        self.report.warnings.borrow_mut().push(Finding { origin: self.origin.clone(), fault, other: None });
    }

    /// Returns the value, or reports the fault.
    pub(super) fn check<T>(&self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.error(fault)).ok()
    }

    /// Notes when the certificates in a file are valid. Whether they are now is not known here.
    pub(super) fn certificates(&self, file: &str, validities: Vec<Option<Validity>>) {
        let file = CertificateFile { origin: self.origin.clone(), name: file.to_owned(), validities };
        self.report.certificates.borrow_mut().push(file);
    }

    /// Enters the key of this location in the table of keys, if this reading is for the table.
    pub(super) fn enter_key(&self, kind: Kind, default: String) {
        if let Some(keys) = &mut *self.report.keys.borrow_mut() {
            keys.push(Key { path: self.origin.path(), kind, default, is_required: false });
        }
    }

    /// Enters that the mapping must have the key of this location, if this reading is for the table.
    pub(super) fn require_key(&self) {
        let path = self.origin.path();
        for key in self.report.keys.borrow_mut().iter_mut().flatten().filter(|key| key.path == path) {
            key.is_required = true;
        }
    }

    /// The sections that have a key of this name. None: none has.
    pub(super) fn sections_with(&self, name: &str) -> Option<String> {
        let keys =
            self.report.all_keys.get_or_init(|| self.report.list_keys.map_or_else(Vec::new, |list| list()));
        let mut sections: Vec<&str> = Vec::new();
        for key in keys {
            let section =
                key.path.rsplit_once('.').filter(|(_, last)| *last == name).map(|(section, _)| section);
            sections.extend(section.filter(|section| {
                !section.starts_with("global") && !section.contains("tiers") && !section.ends_with(".not")
            }));
        }
        (!sections.is_empty()).then(|| sections.join(" and ").replace("[0]", ""))
    }

    /// Whether this reading is for the table of keys.
    pub(super) fn is_for_keys(&self) -> bool {
        self.report.keys.borrow().is_some()
    }

    /// The number of errors that the report has so far: a part that adds none is sound.
    pub(super) fn errors(&self) -> usize {
        self.report.errors()
    }
}

impl Origin {
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

/// A value and its location.
#[derive(Clone, Debug)]
pub(super) struct Spanned<T> {
    pub(super) value: T,
    pub(super) location: Location,
}

impl<T> Spanned<T> {
    /// What `read` makes of the value, or a report of the fault in it.
    pub(super) fn check<U>(&self, read: impl FnOnce(&T) -> Result<U, Fault>) -> Option<Spanned<U>> {
        let value = self.location.check(read(&self.value))?;
        Some(Spanned { value, location: self.location.clone() })
    }
}

/// A fault, or a warning, that has not been looked up in the text yet.
#[derive(Clone, Debug)]
struct Finding {
    origin: Origin,
    fault: Fault,
    /// What it collides with.
    other: Option<Origin>,
}

/// A file of certificates, and when each of them is valid.
#[derive(Debug)]
struct CertificateFile {
    /// Where the configuration names it.
    origin: Origin,
    name: String,
    validities: Vec<Option<Validity>>,
}

/// Every fault and every warning so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: RefCell<Vec<Finding>>,
    warnings: RefCell<Vec<Finding>>,
    certificates: RefCell<Vec<CertificateFile>>,
    /// The keys that the readers read. None: this reading is not for the table of keys.
    keys: RefCell<Option<Vec<Key>>>,
    /// Lists the keys of the whole file.
    list_keys: Option<fn() -> Vec<Key>>,
    all_keys: OnceCell<Vec<Key>>,
}

/// What a report holds, with line and column, in the order of the file.
pub(super) struct Located {
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) certificates: Vec<Certificates>,
}

/// The maximum number of diagnostics: more than an operator reads at once. Each costs a pass over the text to locate.
const MAX_DIAGNOSTICS: usize = 100;

impl Report {
    /// An empty report. `list_keys` is called where a key is unknown.
    pub(super) fn new(list_keys: fn() -> Vec<Key>) -> Self {
        Self { list_keys: Some(list_keys), ..Self::default() }
    }

    /// The report of a reading that is for the table of keys.
    pub(super) fn of_keys() -> Self {
        Self { keys: RefCell::new(Some(Vec::new())), ..Self::default() }
    }

    /// The keys that the readers read.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.keys.take().unwrap_or_default()
    }

    /// The number of errors so far.
    pub(super) fn errors(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Looks all locations up in the text.
    pub(super) fn located(&self, file: Option<(&str, &str)>) -> Located {
        let certificates =
            self.certificates.take().into_iter().map(|CertificateFile { origin, name, validities }| {
                let at = Finding { origin, fault: Fault::new("", ""), other: None };
                Certificates::new(at.locate(Severity::Warning, file), name, validities)
            });
        Located {
            certificates: certificates.collect(),
            errors: located(Severity::Error, self.errors.take(), file),
            warnings: located(Severity::Warning, self.warnings.take(), file),
        }
    }
}

fn located(severity: Severity, findings: Vec<Finding>, file: Option<(&str, &str)>) -> Vec<Diagnostic> {
    let more = findings.len().saturating_sub(MAX_DIAGNOSTICS);
    let mut diagnostics: Vec<Diagnostic> =
        findings.into_iter().take(MAX_DIAGNOSTICS).map(|f| f.locate(severity, file)).collect();
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    if more > 0 {
        diagnostics.push(Diagnostic {
            severity,
            file: file.map(|(name, _)| name.to_owned()),
            line: None,
            column: None,
            path: String::new(),
            message: format!("and {more} more"),
            help: "fix the first ones: others may go away with them".to_owned(),
        });
    }
    diagnostics
}

impl Finding {
    fn locate(self, severity: Severity, file: Option<(&str, &str)>) -> Diagnostic {
        let find = |origin: &Origin| match (origin, file) {
            (Origin::File { steps, on_key }, Some((_, text))) => locate(text, steps, *on_key),
            _ => None,
        };
        let at = find(&self.origin);
        let mut message = self.fault.message;
        if let Some(other) = self.other {
            match find(&other) {
                Some((line, _)) => message.push_str(&format!(" (line {line})")),
                None => message.push_str(&format!(" ({})", other.path())),
            }
        }
        let in_file = matches!(self.origin, Origin::File { .. });
        Diagnostic {
            severity,
            file: file.filter(|_| in_file).map(|(name, _)| name.to_owned()),
            line: at.map(|(line, _)| line),
            column: at.map(|(_, column)| column),
            path: self.origin.path(),
            message,
            help: self.fault.help,
        }
    }
}
