//! The command line.

mod ctl;
mod environment;
mod pages;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::config::{OPS_LISTEN, Overrides, admin_listen_flag, ops_listen_flag, tcp_listen_flag};
use crate::header_field;
use crate::logging::{self, LogFormat, LogTo};
use crate::settings::{AdminListen, Listen};
use crate::version::LONG_VERSION;
pub use ctl::{ClientArgs, ClientCommand, CtlArgs, CtlCommand, Output, SetArgs, SetClientArgs, Until};
pub use pages::{completions, manual};

/// Limits the rate of HTTP requests to the application behind it.
#[derive(Debug, Parser)]
#[command(
    name = "tidegate",
    version = LONG_VERSION,
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
    /// Read the configuration as `run` would, with the same flags and variables, and report all that is wrong with it
    Check(CheckArgs),
    /// Show what would become of a request: bypass, rules, keys and limits, and why the others do not match. Counts nothing
    Explain(ExplainArgs),
    /// Print the JSON Schema of the configuration, for editors
    Schema,
    /// Probe the tidegate that runs on this host or in this container: exits 0 if it is well, else 1
    Health(HealthArgs),
    /// See and change what an instance does, by its admin API
    Ctl(CtlArgs),
    /// Print completions for a shell, to be put where it looks for them
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands into a directory
    Man {
        /// Where to write them
        directory: Option<PathBuf>,
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
    #[arg(long, env = "TIDEGATE_OPS_LISTEN", value_name = "IP:PORT", value_parser = ops_listen_flag)]
    pub ops_listen: Option<SocketAddr>,
    /// Where the admin API is served, or off
    #[arg(long, env = "TIDEGATE_ADMIN_LISTEN", value_name = "IP:PORT|off", value_parser = admin_listen_flag)]
    pub admin_listen: Option<AdminListen>,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
    /// The flags whose value came from the environment, each with its variable.
    #[arg(skip)]
    pub variables: Vec<(String, String)>,
}

/// Arguments of `check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Files, in place of that of TIDEGATE_CONFIG, or - for standard input; without any, the flags alone are checked
    #[arg(value_name = "FILE", conflicts_with = "limits")]
    files: Vec<PathBuf>,
    /// Print what each limit guarantees: its slices, the span in which it is never exceeded, its accuracy
    #[arg(long, short)]
    pub verbose: bool,
    /// How to report; json is one document on standard output
    #[arg(long, value_name = "text|json", default_value = "text", hide_possible_values = true)]
    pub format: Format,
    /// Accept that the files and variables with secrets, certificates and keys are absent, as on a build machine
    #[arg(long)]
    pub without_secrets: bool,
    /// What `run` would take.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Arguments of `explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The method
    #[arg(value_name = "METHOD")]
    pub method: Method,
    /// Where the client sends it: http://HOST/PATH?QUERY, or /PATH?QUERY
    #[arg(value_name = "URL")]
    pub url: Uri,
    /// A header field, 'NAME: VALUE'; may be given several times
    #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = header_field::read)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The address that the connection comes from: that of the client, or of the proxy before tidegate
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub peer: IpAddr,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// What `run` would take.
    #[command(flatten)]
    pub run: RunArgs,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a terminal
    #[default]
    Text,
    /// One JSON document, for programs
    Json,
}

/// Flags of `demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Where clients connect
    #[arg(long, env = "TIDEGATE_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:8080", value_parser = tcp_listen_flag)]
    pub listen: SocketAddr,
    /// Where probes and metrics are served
    #[arg(long, env = "TIDEGATE_OPS_LISTEN", value_name = "IP:PORT", default_value = "127.0.0.1:9902", value_parser = ops_listen_flag)]
    pub ops_listen: SocketAddr,
    /// Where the admin API is served, or off
    #[arg(long, env = "TIDEGATE_ADMIN_LISTEN", value_name = "IP:PORT|off", value_parser = admin_listen_flag)]
    pub admin_listen: Option<AdminListen>,
    /// What is logged.
    #[command(flatten)]
    pub log: LogArgs,
}

/// Arguments of `health`.
#[derive(Args, Debug)]
pub struct HealthArgs {
    /// Which probe
    #[arg(value_enum, default_value_t = Probe::Ready)]
    pub probe: Probe,
    /// The ops_listen of that tidegate. The configuration is not read, as it may have changed since that tidegate started
    #[arg(long, env = "TIDEGATE_OPS_LISTEN", value_name = "IP:PORT", default_value_t = OPS_LISTEN, value_parser = ops_listen_flag)]
    pub ops_listen: SocketAddr,
}

/// A probe of the ops listener.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Probe {
    /// It runs
    Live,
    /// It takes requests: not while it shuts down
    Ready,
    /// It has started
    Startup,
}

impl Probe {
    /// Where the ops listener serves it.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Live => "/livez",
            Self::Ready => "/readyz",
            Self::Startup => "/startupz",
        }
    }
}

/// What is logged.
#[derive(Args, Debug)]
pub struct LogArgs {
    /// Levels by target (LEVEL,TARGET=LEVEL), in place of the file's; 'access=off' leaves out the access log, 'debug' adds
    /// the reason why an upstream or a peer failed [default: info,h2=error]
    #[arg(long, env = "TIDEGATE_LOG", value_name = "FILTER", value_parser = filter)]
    pub log: Option<String>,
    /// The form of log lines [default: text on a terminal, json elsewhere]
    #[arg(long, env = "TIDEGATE_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Where log lines go
    #[arg(long, env = "TIDEGATE_LOG_TO", value_name = "OUTPUT", default_value = "stderr")]
    pub log_to: LogTo,
}

impl CheckArgs {
    /// The files to check.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.run.config.iter().chain(&self.files).cloned().collect()
    }

    /// Has files on the command line take the place of the variable's.
    fn forget_variable_file(&mut self) {
        if !self.files.is_empty() && self.run.given_by_variable(CONFIG) {
            self.run.config = None;
            self.run.variables.retain(|(flag, _)| flag != CONFIG);
        }
    }
}

const CONFIG: &str = "--config";

impl RunArgs {
    /// Whether the value of a flag came from its variable.
    fn given_by_variable(&self, flag: &str) -> bool {
        self.variables.iter().any(|(name, _)| name == flag)
    }

    /// The limits. A ';' at the end of the variable adds none, but an empty flag is a fault.
    fn limits(&self) -> Vec<String> {
        let superfluous = |limit: &String| limit.is_empty() && self.given_by_variable("--limit");
        self.limits.iter().filter(|limit| !superfluous(limit)).cloned().collect()
    }

    /// What the flags change of the file.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            ops_listen: self.ops_listen,
            admin_listen: self.admin_listen,
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
    let variables = environment::variables(&command, &matches);
    match &mut cli.command {
        Command::Run(run) => run.variables = variables,
        Command::Check(check) => {
            check.run.variables = variables;
            check.forget_variable_file();
        }
        Command::Explain(explain) => explain.run.variables = variables,
        Command::Demo(_)
        | Command::Schema
        | Command::Health(_)
        | Command::Ctl(_)
        | Command::Completions { .. }
        | Command::Man { .. } => {}
    }
    Ok(cli)
}
