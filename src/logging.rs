//! Where log lines go: standard error, as text on a terminal and as JSON elsewhere.

mod filter;
mod modules;

use std::io::IsTerminal as _;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, WorkerGuard};

pub(crate) use filter::FilterError;

/// All that went wrong or changed; no line per request. `info` alone adds the access log.
///
/// The `h2` library logs a warning for each PING acknowledgement that it did not ask for, so a client decides how many.
pub(crate) const DEFAULT_FILTER: &str = "info,access=off,h2=error";

/// Keeps the log going; dropping it writes what is still waiting.
#[derive(Debug)]
pub(crate) struct Log {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl Log {
    /// How many lines were dropped because standard error took them too slowly: a log that stalls must not
    /// stall requests.
    #[must_use]
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Whether `filter` can be read.
///
/// # Errors
/// Why it cannot.
pub(crate) fn check(filter: &str) -> Result<(), FilterError> {
    filter::parse(filter).map(drop)
}

/// Starts logging what `filter` lets through: levels by target, `info,access=off,tidegate::store=debug`.
///
/// # Errors
/// When `filter` cannot be read.
pub(crate) fn start(filter: &str) -> Result<Log, FilterError> {
    let filter = filter::parse(filter)?;
    let (writer, guard) = NonBlocking::new(std::io::stderr());
    let dropped = writer.error_counter();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // Only the first call of a process has an effect, as it should be.
    let _ = if std::io::stderr().is_terminal() {
        lines.with_target(false).try_init()
    } else {
        lines.json().flatten_event(true).try_init()
    };
    Ok(Log { _writer: guard, dropped })
}
