//! What the command line says of itself: completions for shells, and manual pages.

use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;

/// Writes the completions for a shell to standard output.
///
/// # Errors
/// When they cannot be written.
pub fn completions(shell: Shell) -> io::Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut text);
    print(&text)
}

/// Writes the manual page to standard output, or the pages of all commands to a directory.
///
/// # Errors
/// When they cannot be written.
pub fn manual(directory: Option<&Path>) -> io::Result<()> {
    let Some(directory) = directory else {
        let mut page = Vec::new();
        clap_mangen::Man::new(documented()).render(&mut page)?;
        return print(&page);
    };
    clap_mangen::generate_to(documented(), directory)
}

/// The command line without what a page has no use for.
fn documented() -> Command {
    Cli::command().disable_help_subcommand(true)
}

fn print(text: &[u8]) -> io::Result<()> {
    match io::stdout().write_all(text) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
