//! The rules: each reads a file and says what is wrong with it, one line a fault.

use std::collections::BTreeSet;

use crate::lex::{File, Kind};
use crate::{EVERY, IMPURE, IMPURE_WORDS, LAYERS, MAX_LINES, PURE, UNDONE, VAGUE};

pub(crate) fn layer_faults(file: &File) -> Vec<String> {
    let modules = file.modules();
    let own = modules.first().copied().unwrap_or_default();
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == own) else {
        return vec![file.fault(1, &format!("module {own} is not in LAYERS: give it a row"))];
    };
    let may = |name: &str| name == own || allowed.contains(&name) || allowed.contains(&EVERY);
    // A glob import (`*`) would hide what is used, even from those who may import everything.
    let forbidden = imports(file, &modules).into_iter().filter(|(_, name)| *name == "*" || !may(name));
    let list = allowed.join(", ");
    forbidden
        .map(|(line, name)| file.fault(line, &format!("{own} may not import {name} (it may: {list})")))
        .collect()
}

/// Every top-level module of ours that the file names, with the line.
fn imports<'a>(file: &'a File, modules: &[&str]) -> Vec<(usize, &'a str)> {
    let is_layer = |name: &str| LAYERS.iter().any(|(layer, _)| *layer == name);
    let is_root = matches!(modules, ["lib" | "main"]);
    let mut found = Vec::new();
    for i in 0..file.tokens.len() {
        let starts_path = i == 0 || file.token(i - 1) != "::";
        match file.token(i) {
            "crate" | "tidegate" if starts_path => found.extend(file.children(i)),
            // From the root, `use store::X` needs no `crate::`.
            "use" if is_root && is_layer(file.token(i + 1)) => {
                found.push((file.line(i), file.token(i + 1)));
            }
            // As many `super` as the file is deep lead to the root. In a nested `mod tests` they lead less far,
            // so only a layer's name counts.
            "super" if starts_path && !is_root => {
                let chain = (0..).take_while(|n| file.token(i + 2 * n) == "super").count();
                if chain >= modules.len() {
                    let children = file.children(i + 2 * (chain - 1));
                    found.extend(children.into_iter().filter(|(_, name)| is_layer(name)));
                }
            }
            _ => {}
        }
    }
    found
}

fn is_pure(file: &File) -> bool {
    let path = file.modules().join("/");
    let under =
        |name: &&str| path.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    PURE.iter().any(under) && !IMPURE.iter().any(under)
}

pub(crate) fn purity_faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    if !is_pure(file) {
        return faults;
    }
    for (i, token) in file.tokens.iter().enumerate() {
        let names = |child| file.children(i).iter().any(|(_, name)| *name == child);
        let starts_path = i == 0 || file.token(i - 1) != "::";
        let word = token.text.as_str();
        let impure = token.kind == Kind::Word
            && (IMPURE_WORDS.contains(&word)
                || word.starts_with("Tcp")
                || (word == "metrics" && starts_path && file.token(i + 1) == "::")
                || (word == "std" && names("fs"))
                || (word == "crate" && names("clock")));
        if impure {
            faults.push(file.fault(token.line, &format!("a pure file names {word}: no I/O, no time here")));
        }
    }
    faults
}

pub(crate) fn length_faults(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    let too_long = (lines > MAX_LINES)
        .then(|| file.fault(lines, &format!("the cap is {MAX_LINES} lines: split it by subject")));
    too_long.into_iter().collect()
}

pub(crate) fn name_faults(file: &File) -> Vec<String> {
    let fault = |line, name| file.fault(line, &format!("a module called {name}: name its subject"));
    let from_path = file.modules().into_iter().filter(|name| VAGUE.contains(name));
    let declared = (1..file.tokens.len())
        .filter(|&i| file.token(i - 1) == "mod" && VAGUE.contains(&file.token(i)))
        .map(|i| fault(file.line(i), file.token(i)));
    from_path.map(|name| fault(1, name)).chain(declared).collect()
}

pub(crate) fn undone_faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    for (n, line) in file.text.lines().enumerate() {
        for word in UNDONE.iter().filter(|word| line.contains(**word)) {
            faults.push(file.fault(n + 1, &format!("{word}: finish it, or take it out")));
        }
    }
    faults
}

/// `allow` and `expect` of lints, also inside `cfg_attr`, must say why.
pub(crate) fn reason_faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let mut i = 0;
    while i < file.tokens.len() {
        let inner = usize::from(file.token(i + 1) == "!");
        if file.token(i) != "#" || file.token(i + 1 + inner) != "[" {
            i += 1;
            continue;
        }
        let end = closing(file, i + 1 + inner);
        let silences = |&at: &usize| {
            matches!(file.token(at), "allow" | "expect")
                && file.token(at + 1) == "("
                && file.token(at - 1) != "."
        };
        for at in (i + 1..end).filter(silences) {
            if !(at..closing(file, at + 1)).any(|r| file.token(r) == "reason" && file.token(r + 1) == "=") {
                faults.push(file.fault(file.line(at), &format!("{} without a reason", file.token(at))));
            }
        }
        i = end;
    }
    faults
}

/// The index of the bracket that closes the one at `open`, or the end of the file.
fn closing(file: &File, open: usize) -> usize {
    let mut depth = 0;
    for at in open..file.tokens.len() {
        match file.token(at) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    file.tokens.len()
}

pub(crate) fn percentile_90(mut lengths: Vec<usize>) -> usize {
    lengths.sort_unstable();
    let rank = (lengths.len() * 9).div_ceil(10);
    lengths.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The file that lists the modules that log.
const TARGETS: &str = "src/logging/modules.rs";

/// The modules that log and [`TARGETS`] does not list, and those that it lists and that do not log.
pub(crate) fn target_faults(code: &[File]) -> Vec<String> {
    let logging = code.iter().filter(|file| logs(file)).map(File::modules);
    // A filter for a module is one for all modules in it as well.
    let logging: BTreeSet<String> = logging.flat_map(|modules| with_parents(&modules)).collect();
    let listed = code.iter().filter(|file| file.path == TARGETS).flat_map(|file| &file.tokens);
    let listed: BTreeSet<String> = listed
        .filter(|token| token.kind == Kind::Text && token.text.starts_with("tidegate::"))
        .map(|token| token.text.clone())
        .collect();
    let missing = logging.difference(&listed).map(|module| format!("{module} logs: add it to {TARGETS}"));
    let stale =
        listed.difference(&logging).map(|module| format!("{module} does not log: {TARGETS} lists it"));
    missing.chain(stale).collect()
}

/// The path of a module, and those of the modules around it but for the crate.
fn with_parents(modules: &[&str]) -> Vec<String> {
    let mut path = "tidegate".to_owned();
    let extend = |name: &&str| {
        path = format!("{path}::{name}");
        path.clone()
    };
    modules.iter().map(extend).collect()
}

/// Whether the file writes log lines whose target is its module.
fn logs(file: &File) -> bool {
    let is_event = |at: usize| {
        let name = ["error", "warn", "info", "debug", "trace"].contains(&file.token(at + 2));
        file.token(at) == "tracing" && name && file.token(at + 3) == "!" && file.token(at + 5) != "target"
    };
    (0..file.tokens.len()).any(is_event)
}

/// The metrics that a text names. Prometheus derives three series from a histogram: they are no names of ours.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let derived = |name: &str| {
        ["_bucket", "_sum", "_count"].iter().find(|s| name.ends_with(**s)).map_or(0, |s| s.len())
    };
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("tidegate_") && !word.ends_with('_'))
        .map(|name| name.get(..name.len() - derived(name)).unwrap_or(name))
        .collect()
}

/// The metrics of the code that its page lacks, and those of the page that the code lacks.
pub(crate) fn metric_faults(code: &[File], page: &str) -> Vec<String> {
    let tokens = code.iter().flat_map(|file| &file.tokens);
    let strings: Vec<&str> = tokens.filter(|t| t.kind == Kind::Text).map(|t| t.text.as_str()).collect();
    let strings = strings.join("\n");
    let (declared, documented) = (metric_names(&strings), metric_names(page));
    if declared.is_empty() {
        return vec!["no string in src/metrics.rs names a metric: has the table moved?".to_owned()];
    }
    let missing = declared.difference(&documented);
    let stale = documented.difference(&declared);
    missing
        .map(|name| format!("{name} is declared in src/metrics.rs: give it a row in docs/metrics.md"))
        .chain(
            stale.map(|name| format!("{name} is in docs/metrics.md, but src/metrics.rs does not declare it")),
        )
        .collect()
}
