//! Where log lines go: standard error or standard output, as text on a terminal and as JSON elsewhere.

mod filter;
mod modules;

use std::io::IsTerminal as _;
use std::sync::Arc;

use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use filter::FilterError;

/// Failures, changes and the access log, which has a bound of its own.
///
/// The `h2` library logs a warning for each PING acknowledgement that it did not ask for, so a client decides how many.
pub(crate) const DEFAULT_FILTER: &str = "info,h2=error";

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogTo {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
}

impl LogTo {
    fn is_terminal(self) -> bool {
        match self {
            Self::Stderr => std::io::stderr().is_terminal(),
            Self::Stdout => std::io::stdout().is_terminal(),
        }
    }

    fn writer(self) -> (NonBlocking, WorkerGuard) {
        match self {
            Self::Stderr => NonBlocking::new(std::io::stderr()),
            Self::Stdout => NonBlocking::new(std::io::stdout()),
        }
    }
}

/// Keeps the log going; dropping it writes what is still waiting.
#[derive(Debug)]
pub(crate) struct Log {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
    /// Changes what is logged from now on.
    pub(crate) filter: FilterHandle,
}

impl Log {
    /// How many lines were dropped because the output did not take them in time: a log that stalls must not
    /// stall requests.
    #[must_use]
    pub(crate) fn dropped(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Changes the filter of a log that runs.
#[derive(Clone)]
pub(crate) struct FilterHandle(Arc<dyn Fn(EnvFilter) + Send + Sync>);

impl FilterHandle {
    /// Logs what `filter` lets through from now on.
    ///
    /// # Errors
    /// When `filter` cannot be read. The filter stays as it is then.
    pub(crate) fn set(&self, filter: &str) -> Result<(), FilterError> {
        (self.0)(filter::parse(filter)?);
        Ok(())
    }
}

impl std::fmt::Debug for FilterHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FilterHandle(..)")
    }
}

/// Whether `filter` can be read.
///
/// # Errors
/// Why it cannot.
pub(crate) fn check(filter: &str) -> Result<(), FilterError> {
    filter::parse(filter).map(drop)
}

/// Starts logging what `filter` lets through: levels by target, `info,access=off,tidegate::store=debug`. Without a format,
/// lines are text on a terminal, and JSON elsewhere.
///
/// # Errors
/// When `filter` cannot be read.
pub(crate) fn start(filter: &str, format: Option<LogFormat>, to: LogTo) -> Result<Log, FilterError> {
    let filter = filter::parse(filter)?;
    let (writer, guard) = to.writer();
    let dropped = writer.error_counter();
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    let is_terminal = to.is_terminal();
    let default = if is_terminal { LogFormat::Text } else { LogFormat::Json };
    // Only the first call of a process has an effect, as it should be. Reloading fails only when the log is gone.
    let filter: Arc<dyn Fn(EnvFilter) + Send + Sync> = match format.unwrap_or(default) {
        LogFormat::Text => {
            let lines = lines.with_target(false).with_ansi(is_terminal).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.finish().try_init();
            Arc::new(move |filter| drop(handle.reload(filter)))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter_reloading();
            let handle = lines.reload_handle();
            let _ = lines.finish().try_init();
            Arc::new(move |filter| drop(handle.reload(filter)))
        }
    };
    Ok(Log { _writer: guard, dropped, filter: FilterHandle(filter) })
}
