//! The command line of `tidegate ctl`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
    /// Read the configuration file again, and show what is wrong with it
    Reload,
    /// Show the instances that share the limits
    Instances,
}
