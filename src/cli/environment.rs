//! The environment variables of flags: an empty one counts as unset, and an error names the variable that a value
//! came from.

use std::any::TypeId;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// Reads the command line, and the environment below it.
pub(super) fn read(command: &Command, arguments: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let parse = |command: Command| command.try_get_matches_from(arguments);
    parse(without(command, |name| value(name).is_none())).map_err(|error| {
        if !error.use_stderr() {
            // Help shows each variable, the empty ones as well.
            return parse(command.clone()).err().unwrap_or(error);
        }
        // What fails without the environment as well is a fault of the command line.
        match parse(without(command, |_| true)) {
            Ok(given) => name_variables(error, command.clone(), &given),
            Err(error) => error,
        }
    })
}

/// The flags whose value came from the environment, each with its variable: `--listen` and `TIDEGATE_LISTEN`.
pub(super) fn variables(command: &Command, matches: &ArgMatches) -> Vec<(String, String)> {
    let Some((name, matches)) = matches.subcommand() else { return Vec::new() };
    let arguments = command.find_subcommand(name).into_iter().flat_map(Command::get_arguments);
    let from_environment = arguments.filter_map(|argument| {
        let (flag, variable) = (argument.get_long()?, argument.get_env()?);
        let source = matches.value_source(argument.get_id().as_str());
        let pair = || (format!("--{flag}"), variable.to_string_lossy().into_owned());
        (source == Some(ValueSource::EnvVariable)).then(pair)
    });
    from_environment.collect()
}

fn value(name: &OsStr) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The same command, with these variables unknown to it.
fn without(command: &Command, unwanted: impl Fn(&OsStr) -> bool) -> Command {
    let forget = |argument: Arg| match argument.get_env() {
        Some(name) if unwanted(name) => argument.env(Resettable::Reset),
        _ => argument,
    };
    command.clone().mut_subcommands(|subcommand| subcommand.mut_args(&forget))
}

/// Puts variables into an error where it names flags that were not `given`.
fn name_variables(mut error: clap::Error, mut command: Command, given: &ArgMatches) -> clap::Error {
    // Only then arguments are printed as they are in the error.
    command.build();
    let Some((name, given)) = given.subcommand() else { return error };
    let Some(subcommand) = command.find_subcommand_mut(name) else { return error };
    let unset = |argument: &&Arg| {
        let source = given.value_source(argument.get_id().as_str());
        source != Some(ValueSource::CommandLine)
    };
    let set: Vec<(&Arg, &OsStr, OsString)> = subcommand
        .get_arguments()
        .filter_map(|argument| Some((argument, argument.get_env()?, value(argument.get_env()?)?)))
        .filter(|(argument, ..)| unset(argument))
        .collect();
    if error.kind() == ErrorKind::InvalidUtf8 {
        // The error names nothing. A path may be any bytes.
        let is_text = |argument: &Arg| argument.get_value_parser().type_id() != TypeId::of::<PathBuf>();
        let invalid = set.iter().find(|(argument, _, value)| is_text(argument) && value.to_str().is_none());
        let message = invalid.map(|(_, name, _)| format!("the value of {} is not UTF-8", name.display()));
        return message.map_or(error, |message| subcommand.error(ErrorKind::InvalidUtf8, message));
    }
    let names: Vec<(String, String)> =
        set.iter().map(|(argument, name, _)| (argument.to_string(), name.display().to_string())).collect();
    let renamed = |flag: &String| {
        let found = names.iter().find(|(known, _)| known == flag);
        found.map_or(flag, |(_, variable)| variable).clone()
    };
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        let value = match error.get(kind) {
            Some(ContextValue::String(flag)) => ContextValue::String(renamed(flag)),
            Some(ContextValue::Strings(flags)) => ContextValue::Strings(flags.iter().map(renamed).collect()),
            _ => continue,
        };
        error.insert(kind, value);
    }
    error
}
