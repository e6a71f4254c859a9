//! Reads the filter of `--log`: the syntax of `EnvFilter`, without what silently logs nothing. Pure.
//!
//! `EnvFilter` takes a word that is not a level for a target, and logs nothing else: `inof` would log nothing at all.

use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};

use super::modules::MODULES;
use crate::spelling::nearest;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What other programs call levels.
const SYNONYMS: [(&str, &str); 9] = [
    ("none", "off"),
    ("fatal", "error"),
    ("critical", "error"),
    ("warning", "warn"),
    ("warnings", "warn"),
    ("notice", "info"),
    ("verbose", "debug"),
    ("all", "trace"),
    ("everything", "trace"),
];
/// The targets of tidegate itself: the access log, and all modules.
const TARGETS: [&str; 2] = ["access", "tidegate"];

/// Why a filter is invalid.
#[derive(Debug, PartialEq, Eq, Error)]
pub(crate) enum FilterError {
    /// It has no directive.
    #[error("the filter is empty, expected a level ({levels}) or TARGET=LEVEL", levels = levels())]
    Empty,
    /// It has no level for all targets, and lets none of tidegate's log.
    #[error(
        "the filter logs nothing of tidegate, expected a level for all other targets as well, such as 'info,{0}', or 'off'"
    )]
    Nothing(String),
    /// A word that is no level, where a level is expected.
    #[error("invalid level '{level}', {help}")]
    Level {
        /// The word.
        level: String,
        /// What is expected.
        help: String,
    },
    /// A target without a level.
    #[error("the target '{0}' has no level, expected '{0}=LEVEL' with a level of {levels}", levels = levels())]
    NoLevel(String),
    /// A target that is probably misspelled.
    #[error("unknown target '{target}', did you mean '{meant}'?")]
    UnknownTarget {
        /// The target.
        target: String,
        /// The target that is like it.
        meant: &'static str,
    },
    /// A module of tidegate that does not exist, or does not log.
    #[error("no module '{target}' writes log lines, {help}")]
    UnknownModule {
        /// The module.
        target: String,
        /// What is expected.
        help: String,
    },
    /// A target that no code can have.
    #[error("invalid target '{0}', expected TARGET=LEVEL, with ',' between several")]
    Target(String),
    /// A directive that `EnvFilter` refuses.
    #[error("invalid directive '{0}', expected a level, TARGET=LEVEL or TARGET[SPAN{{FIELD=VALUE}}]=LEVEL")]
    Directive(String),
}

/// Reads a filter.
///
/// # Errors
/// The first directive that is invalid.
pub(super) fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    // EnvFilter ends a directive at each comma as well, and takes blanks around it for a part of the target.
    let directives: Vec<&str> = filter.split(',').map(str::trim).filter(|text| !text.is_empty()).collect();
    if directives.is_empty() {
        return Err(FilterError::Empty);
    }
    for directive in &directives {
        check(directive)?;
        directive.parse::<Directive>().map_err(|_| FilterError::Directive((*directive).to_owned()))?;
    }
    let text = directives.join(",");
    let filter = EnvFilter::builder().parse(&text).map_err(|_| FilterError::Directive(text.clone()))?;
    if directives.iter().any(|directive| is_about_tidegate(directive)) {
        Ok(filter)
    } else {
        Err(FilterError::Nothing(text))
    }
}

/// Returns whether the directive is a level for all targets, or lets a target of tidegate log something. A directive for
/// spans does not: tidegate has none.
fn is_about_tidegate(directive: &str) -> bool {
    let off = directive
        .rsplit_once('=')
        .is_some_and(|(_, level)| level.parse().is_ok_and(|level: LevelFilter| level == LevelFilter::OFF));
    let ours = !directive.contains('[') && TARGETS.iter().any(|target| directive.starts_with(target));
    directive.parse::<LevelFilter>().is_ok() || (ours && !off)
}

/// Checks one directive: `LEVEL`, `TARGET=LEVEL`, or `TARGET[SPAN]` with or without `=LEVEL`.
fn check(directive: &str) -> Result<(), FilterError> {
    if let Some((target, span)) = directive.split_once('[') {
        check_target(target)?;
        let end = span.rsplit_once(']').map_or("", |(_, end)| end);
        return end.strip_prefix('=').map_or(Ok(()), check_level);
    }
    match directive.split_once('=') {
        Some((target, level)) => check_target(target).and_then(|()| check_level(level)),
        None if TARGETS.contains(&directive) || directive.contains("::") => {
            Err(FilterError::NoLevel(directive.to_owned()))
        }
        None => check_level(directive),
    }
}

fn check_level(level: &str) -> Result<(), FilterError> {
    if !level.is_empty() && level.parse::<LevelFilter>().is_ok() {
        return Ok(());
    }
    let synonym = SYNONYMS.iter().find(|(name, _)| level.eq_ignore_ascii_case(name)).map(|(_, meant)| *meant);
    let help = match synonym.or_else(|| nearest(level, &LEVELS)) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None => format!("expected {}", levels()),
    };
    Err(FilterError::Level { level: level.to_owned(), help })
}

/// Any crate may log, so any name is a target, unless it looks like a slip. Of tidegate the modules are known.
fn check_target(target: &str) -> Result<(), FilterError> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '.' | '/');
    let name = target.split(':').next().unwrap_or_default();
    if !target.chars().all(plain) || target.parse::<LevelFilter>().is_ok_and(|_| !target.is_empty()) {
        return Err(FilterError::Target(target.to_owned()));
    }
    if name == "tidegate" && target != name && !MODULES.contains(&target) {
        let help = match nearest(target, &MODULES) {
            Some(meant) => format!("did you mean '{meant}'?"),
            None => format!("expected tidegate or a part of it: {}", parts()),
        };
        return Err(FilterError::UnknownModule { target: target.to_owned(), help });
    }
    match nearest(name, &TARGETS) {
        Some(meant) if meant != name => Err(FilterError::UnknownTarget { target: target.to_owned(), meant }),
        _ => Ok(()),
    }
}

/// The modules that stand directly below tidegate.
fn parts() -> String {
    let parts: Vec<&str> =
        MODULES.iter().copied().filter(|module| module.matches("::").count() == 1).collect();
    parts.join(", ")
}

fn levels() -> String {
    LEVELS.join(", ")
}

#[cfg(test)]
mod tests {
    use super::{FilterError, LEVELS, parse};

    fn refused(filter: &str) -> String {
        match parse(filter) {
            Ok(read) => panic!("'{filter}' is read as '{read}'"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_syntax_of_env_filter_is_read() {
        for (filter, read) in [
            ("info,access=off", "access=off,info"),
            (" info , access=off, ", "access=off,info"),
            ("WARN", "warn"),
            ("3", "info"),
            ("off", "off"),
            ("off,access=off", "access=off,off"),
            ("off,access=info", "access=info,off"),
            ("info,access=off,hyper=warn", "access=off,hyper=warn,info"),
            ("tidegate::store=debug", "tidegate::store=debug"),
            ("tidegate::store::redis=4,warn", "tidegate::store::redis=debug,warn"),
            ("info,[request]=debug", "info,[request]=debug"),
            ("info,[request]", "info,[request]=trace"),
            ("info,tidegate[request{id=1}]=debug", "info,tidegate[request{id=1}]=debug"),
            ("info,[{path=\"/a\"}]=debug", "info,[{path=\"/a\"}]=debug"),
        ] {
            let found = parse(filter).map(|found| found.to_string());
            assert_eq!(found.as_deref(), Ok(read), "{filter}");
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused_with_the_level_that_was_meant() {
        for (filter, meant) in [
            ("inof", "info"),
            ("Inof", "info"),
            ("verbose", "debug"),
            ("warning", "warn"),
            ("eror", "error"),
            ("none", "off"),
            ("info,access=of", "off"),
            ("access=infoo", "info"),
            ("[request]=dbug", "debug"),
        ] {
            let error = refused(filter);
            assert!(error.contains("invalid level"), "{filter}: {error}");
            assert!(error.contains(&format!("did you mean '{meant}'?")), "{filter}: {error}");
        }
    }

    #[test]
    fn a_word_like_no_level_is_refused_with_all_levels() {
        for filter in ["loud", "9", "access=", "access=loud", "info,x", "[request]="] {
            let error = refused(filter);
            assert!(error.contains(&LEVELS.join(", ")), "{filter}: {error}");
        }
    }

    #[test]
    fn a_target_alone_is_refused_with_the_form_that_has_a_level() {
        for filter in ["access", "tidegate", "tidegate::store", "info,access", "hyper::proto"] {
            let target = filter.rsplit(',').next().unwrap();
            assert_eq!(parse(filter).err(), Some(FilterError::NoLevel(target.to_owned())));
            assert!(refused(filter).contains(&format!("expected '{target}=LEVEL'")));
        }
    }

    #[test]
    fn a_misspelled_target_is_refused_with_the_target_that_was_meant() {
        for (filter, meant) in [
            ("acess=off", "access"),
            ("ACCESS=off", "access"),
            ("tidegat::store=debug", "tidegate"),
            ("info,acces[request]=debug", "access"),
        ] {
            assert!(refused(filter).contains(&format!("did you mean '{meant}'?")), "{filter}");
        }
    }

    #[test]
    fn a_module_that_logs_nothing_is_refused_with_the_module_that_was_meant() {
        for (filter, meant) in [
            ("tidegate::stroe=debug", "tidegate::store"),
            ("info,tidegate::store::reddis=debug", "tidegate::store::redis"),
            ("tidegate::Upstream=debug", "tidegate::upstream"),
            ("tidegate::store:redis=debug", "tidegate::store::redis"),
            ("info,tidegate:store=debug", "tidegate::store"),
        ] {
            assert!(refused(filter).contains(&format!("did you mean '{meant}'?")), "{}", refused(filter));
        }
    }

    #[test]
    fn a_module_like_no_other_is_refused_with_the_modules_that_log() {
        for filter in ["tidegate::=debug", "tidegate::x=debug", "tidegate::window=trace"] {
            let error = refused(filter);
            assert!(error.contains("expected tidegate") && error.contains("tidegate::store"), "{error}");
        }
    }

    #[test]
    fn a_target_that_no_code_has_is_refused() {
        for filter in ["info;access=off", "info access=off", "info=debug", "a b=info"] {
            assert!(refused(filter).contains("invalid target"), "{filter}");
        }
    }

    #[test]
    fn a_filter_that_logs_nothing_of_tidegate_is_refused() {
        for filter in [
            "access=off",
            "access=off,hyper=off",
            "access=0",
            "access=off,hyper=warn",
            "hyper=debug",
            "inof=info",
            "[request]=debug",
            "tidegate[request]=debug",
            "access[request]",
        ] {
            assert_eq!(parse(filter).err(), Some(FilterError::Nothing(filter.to_owned())));
            assert!(refused(filter).contains(&format!("such as 'info,{filter}'")));
        }
    }

    #[test]
    fn a_filter_without_a_directive_is_refused() {
        for filter in ["", " ", ",", " , "] {
            assert_eq!(parse(filter).err(), Some(FilterError::Empty), "'{filter}'");
        }
    }

    #[test]
    fn what_env_filter_refuses_is_refused() {
        for filter in ["[request=debug", "a[b]c=info", "=info", "[{}]=info", "!"] {
            refused(filter);
        }
    }

    #[test]
    fn each_module_that_logs_is_a_target() {
        for module in super::MODULES {
            assert!(parse(&format!("info,{module}=debug")).is_ok(), "{module}");
        }
    }

    #[test]
    fn each_crate_that_tidegate_contains_is_a_target() {
        let lock = include_str!("../../Cargo.lock");
        let names = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
        let names: Vec<String> = names.map(|name| name.replace('-', "_")).collect();
        assert!(names.len() > 100);
        for name in names.iter().filter(|name| *name != "tidegate") {
            assert!(parse(&format!("info,{name}::part=debug")).is_ok(), "{name}");
        }
    }
}
