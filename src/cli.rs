//! The command line.

mod environment;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::{Listen, Overrides};
use crate::logging::{self, DEFAULT_FILTER};

/// Limits the rate of HTTP requests to the application behind it.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version,
    after_help = "Exit codes: 0, 64 wrong usage, 78 wrong configuration, 1 anything else."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What tidegate can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve (the default: `tidegate --upstream ...` is `tidegate run --upstream ...`)
    Run(RunArgs),
    /// Try it: a small application, the shipped limits, counters in memory
    Demo(DemoArgs),
    /// Read configuration files as `run` would, and tell all that is wrong with them
    Check {
        /// The files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

/// Flags of `run`. They win over the file.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// The configuration; it is read again when it changes, and on SIGHUP
    #[arg(long, env = "TIDEGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where clients connect
    #[arg(long, env = "TIDEGATE_LISTEN", value_name = "IP:PORT|unix:PATH")]
    pub listen: Option<Listen>,
    /// The application: http://, https:// or h2c://HOST:PORT, unix:PATH or h2c+unix:PATH
    #[arg(long, env = "TIDEGATE_UPSTREAM", value_name = "URL")]
    pub upstream: Option<String>,
    /// Count in this Redis, for all instances together; without it, and without a store in the file, each
    /// instance counts for itself
    #[arg(long, env = "TIDEGATE_REDIS", value_name = "URL", hide_env_values = true)]
    pub redis: Option<String>,
    /// A limit per client address, instead of a file: 'GET /api/*=100/min,burst=10'; named by method and path, or with
    /// ',name=NAME'; may be given several times
    #[arg(
        long = "limit",
        env = "TIDEGATE_LIMIT",
        value_name = "LIMIT",
        value_delimiter = ';',
        conflicts_with = "config"
    )]
    pub limits: Vec<String>,
    /// Where probes and metrics are served
    #[arg(long, env = "TIDEGATE_OPS_LISTEN", value_name = "IP:PORT")]
    pub ops_listen: Option<SocketAddr>,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// The flags whose value came from the environment, each with its variable.
    #[arg(skip)]
    pub variables: Vec<(String, String)>,
}

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Where clients connect
    #[arg(long, env = "TIDEGATE_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where probes and metrics are served
    #[arg(long, env = "TIDEGATE_OPS_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:9902")]
    pub ops_listen: SocketAddr,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What is logged.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// Levels by target (LEVEL,TARGET=LEVEL); 'info' alone adds a line per request, 'debug' the reason why an
    /// upstream or a peer failed
    #[arg(long, env = "TIDEGATE_LOG", value_name = "FILTER", default_value = DEFAULT_FILTER, value_parser = filter)]
    pub log: String,
}

impl RunArgs {
    /// The limits. A ';' at the end of the variable adds none, but an empty flag is a fault.
    fn limits(&self) -> Vec<String> {
        let from_variable = self.variables.iter().any(|(flag, _)| flag == "--limit");
        self.limits.iter().filter(|limit| !(from_variable && limit.is_empty())).cloned().collect()
    }

    /// What the flags change of the file.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            ops_listen: self.ops_listen,
            upstream: self.upstream.clone(),
            redis: self.redis.clone(),
            limits: self.limits(),
            variables: self.variables.clone(),
            ..Overrides::default()
        }
    }
}

fn filter(text: &str) -> Result<String, String> {
    logging::check(text).map(|()| text.to_owned()).map_err(|error| error.to_string())
}

/// Reads the command line, and the environment below it; flags without a command are those of `run`.
///
/// # Errors
/// What clap has to say: also help and version, which are no failures.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let first = arguments.get(1).and_then(|first| first.to_str());
    let about_all = matches!(first, Some("-h" | "--help" | "-V" | "--version"));
    if !about_all && first.is_none_or(|first| first.starts_with('-')) {
        arguments.insert(1.min(arguments.len()), "run".into());
    }
    let mut command = Cli::command();
    let matches = environment::read(&command, &arguments)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    if let Command::Run(run) = &mut cli.command {
        run.variables = environment::variables(&command, &matches);
    }
    Ok(cli)
}
