//! `tidegate check`: reads files as `run` would, and reports what it found.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Failure, cgroup, guarantees};
use crate::cli::Format;
use crate::clock;
use crate::config::{self, Config, Diagnostic, Input, Overrides, Severity};

/// The name of standard input as a file.
const STDIN: &str = "-";

/// What is reported, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckOptions {
    /// Prints what each limit guarantees.
    pub verbose: bool,
    /// How to report.
    pub format: Format,
    /// The files and variables with secrets, certificates and keys may be absent.
    pub without_secrets: bool,
}

/// What was found in a file, or in the flags alone.
struct Checked {
    /// None: the flags alone.
    file: Option<String>,
    /// Warnings, or at least one error.
    diagnostics: Vec<Diagnostic>,
    /// None: it is invalid.
    config: Option<Config>,
}

/// `tidegate check`: reads each file as `run` would with these flags, or the flags alone, and reports what it found.
/// In text, writes warnings to standard error, and a line for each valid file to standard output.
///
/// # Errors
/// The diagnostics of all files that cannot be run; none, if they are reported as JSON.
pub fn check(files: &[PathBuf], overrides: &Overrides, options: CheckOptions) -> Result<(), Failure> {
    let overrides = &cgroup::within_memory(overrides);
    let mut checked = Vec::new();
    if files.is_empty() {
        checked.push(read(None, overrides, options)?);
    }
    for file in files {
        checked.push(read(Some(file), overrides, options)?);
    }
    if options.format == Format::Json {
        return report_json(&checked, options);
    }
    let mut wrong: Vec<Diagnostic> = Vec::new();
    for Checked { file, diagnostics, config } in checked {
        let Some(config) = config else {
            // A fault of a flag is the same beside each file.
            let new = |diagnostic: &Diagnostic| diagnostic.file.is_some() || !wrong.contains(diagnostic);
            let new: Vec<Diagnostic> = diagnostics.into_iter().filter(new).collect();
            wrong.extend(new);
            continue;
        };
        for warning in diagnostics {
            writeln!(io::stderr(), "{warning}")?;
        }
        let rules = rules(&config);
        let plural = if rules == 1 { "" } else { "s" };
        let mut stdout = io::stdout();
        writeln!(stdout, "{}: ok, {rules} rule{plural}", file.as_deref().unwrap_or("flags"))?;
        for line in guarantees::lines(&config.policy).iter().filter(|_| options.verbose) {
            writeln!(stdout, "{line}")?;
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Config(wrong)) }
}

fn read(file: Option<&Path>, overrides: &Overrides, options: CheckOptions) -> anyhow::Result<Checked> {
    let mut text = Vec::new();
    let input = match file {
        None => Input::Flags,
        Some(path) if path == Path::new(STDIN) => {
            let bound = config::MAX_BYTES as u64 + 1;
            io::stdin().take(bound).read_to_end(&mut text).context("cannot read standard input")?;
            Input::Text("<stdin>", &text)
        }
        Some(path) => Input::File(path),
    };
    let found = config::check(input, overrides, options.without_secrets);
    let file = file.map(|file| file.display().to_string());
    Ok(match found {
        Ok(config) => {
            Checked { file, diagnostics: config.warnings_at(clock::unix_time()), config: Some(config) }
        }
        Err(diagnostics) => Checked { file, diagnostics, config: None },
    })
}

fn rules(config: &Config) -> usize {
    config.policy.rules().len() + config.policy.global().len()
}

fn report_json(checked: &[Checked], options: CheckOptions) -> Result<(), Failure> {
    let valid = checked.iter().all(|each| each.config.is_some());
    let files: Vec<Value> = checked.iter().map(|each| json_of(each, options)).collect();
    let report = json!({ "valid": valid, "files": files });
    writeln!(io::stdout(), "{report:#}")?;
    if valid { Ok(()) } else { Err(Failure::Config(Vec::new())) }
}

fn json_of(Checked { file, diagnostics, config }: &Checked, options: CheckOptions) -> Value {
    let diagnostics: Vec<Value> = diagnostics.iter().map(diagnostic).collect();
    let mut report = json!({ "file": file, "valid": config.is_some(), "diagnostics": diagnostics });
    if let (Some(config), Some(report)) = (config, report.as_object_mut()) {
        report.insert("rules".to_owned(), rules(config).into());
        if options.verbose {
            let lines = guarantees::lines(&config.policy);
            let lines = lines.iter().map(|line| line.trim_start()).collect::<Vec<_>>();
            report.insert("guarantees".to_owned(), lines.into());
        }
    }
    report
}

fn diagnostic(Diagnostic { severity, file, line, column, path, message, help }: &Diagnostic) -> Value {
    let severity = match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({
        "severity": severity,
        "file": file,
        "line": line,
        "column": column,
        "path": path,
        "message": message,
        "help": help,
    })
}
