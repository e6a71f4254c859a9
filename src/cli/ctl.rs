//! The command line of `tidegate ctl`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::header_field;

/// Arguments of `ctl`.
#[derive(Args, Debug)]
pub struct CtlArgs {
    /// Where the admin API is
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_ADMIN_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:9901"
    )]
    pub server: String,
    /// A file with the token of the admin API
    #[arg(long, global = true, env = "TIDEGATE_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// What to print
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What `ctl` prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table for people, at most 80 columns wide
    #[default]
    Table,
    /// The response of the admin API
    Json,
}

/// What `ctl` does.
#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// Show the build, the configuration and the store of an instance
    Status,
    /// Show all rules, or one
    Rules {
        /// The name of a rule
        #[arg(value_name = "RULE")]
        rule: Option<String>,
    },
    /// Change a rule, or all rules at once, on all instances
    #[command(group = ArgGroup::new("change").args(["rate", "burst", "mode"]).required(true).multiple(true))]
    Set(SetArgs),
    /// Remove the override of a rule, or that of all rules at once
    Unset {
        /// The name of the rule
        #[arg(value_name = "RULE", required_unless_present = "all")]
        rule: Option<String>,
        /// The override of all rules at once
        #[arg(long, conflicts_with = "rule")]
        all: bool,
    },
    /// Show all overrides
    Overrides,
    /// Show, reset, limit or block one client of a rule
    #[command(subcommand)]
    Client(ClientCommand),
    /// Show what would become of a request, with the overrides that are in force. Counts nothing
    Explain {
        /// The method
        #[arg(value_name = "METHOD")]
        method: Method,
        /// Where the client sends it: http://HOST/PATH?QUERY, or /PATH?QUERY
        #[arg(value_name = "URL")]
        url: Uri,
        /// A header field, 'NAME: VALUE'; may be given several times
        #[arg(short = 'H', long = "header", value_name = "FIELD", value_parser = header_field::read)]
        headers: Vec<(HeaderName, HeaderValue)>,
        /// The address that the connection comes from: that of the client, or of the proxy before tidegate
        #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
        peer: IpAddr,
    },
    /// Read the configuration file again, and show what is wrong with it
    Reload,
    /// Show the instances that share the limits
    Instances,
}

/// Arguments of `ctl set`.
#[derive(Args, Debug)]
pub struct SetArgs {
    /// The name of the rule
    #[arg(value_name = "RULE", required_unless_present = "all")]
    pub rule: Option<String>,
    /// All rules at once; only --mode shadow or off
    #[arg(long, conflicts_with_all = ["rule", "rate", "burst"])]
    pub all: bool,
    /// Another rate, such as 100/min
    #[arg(long)]
    pub rate: Option<String>,
    /// How many more a client may send that had paused
    #[arg(long, value_name = "NUMBER")]
    pub burst: Option<u32>,
    /// What the rule does with a request that finds no room
    #[arg(long, value_parser = ["enforce", "shadow", "off"])]
    pub mode: Option<String>,
    /// How long, and why.
    #[command(flatten)]
    pub until: Until,
}

/// How long an override holds, and why.
#[derive(Args, Debug)]
pub struct Until {
    /// When it ends, such as 30m; without it, it stays until it is unset
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<String>,
    /// Why; the log and the list of overrides show it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub reason: String,
}

/// What `ctl client` does.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Show what a client has used of each limit
    Show(ClientArgs),
    /// Forget what a client has used, on all instances: it is admitted at once
    Reset(ClientArgs),
    /// Give a client a rate of its own, lift its limits, or block it
    #[command(group = ArgGroup::new("change").args(["rate", "unlimited", "blocked"]).required(true))]
    Set(SetClientArgs),
    /// Remove the override of a client
    Unset(ClientArgs),
}

/// A client of a rule.
#[derive(Args, Debug)]
pub struct ClientArgs {
    /// The name of the rule
    #[arg(value_name = "RULE")]
    pub rule: String,
    /// Its id, or one value for each part of the rule's key, as requests have them; - reads them from standard input, one a
    /// line
    #[arg(value_name = "CLIENT")]
    pub client: Vec<String>,
}

/// Arguments of `ctl client set`.
#[derive(Args, Debug)]
pub struct SetClientArgs {
    /// Which client.
    #[command(flatten)]
    pub client: ClientArgs,
    /// A rate of its own, such as 100/min
    #[arg(long)]
    pub rate: Option<String>,
    /// The burst that belongs to the rate
    #[arg(long, value_name = "NUMBER", requires = "rate", conflicts_with_all = ["unlimited", "blocked"])]
    pub burst: Option<u32>,
    /// The rule does not limit it
    #[arg(long)]
    pub unlimited: bool,
    /// All its requests are refused with 403
    #[arg(long)]
    pub blocked: bool,
    /// How long, and why.
    #[command(flatten)]
    pub until: Until,
}
