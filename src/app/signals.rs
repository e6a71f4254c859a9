//! The commands that the operator sends as signals.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// A command of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SignalCommand {
    /// SIGTERM: shut down without losing a request.
    Drain,
    /// SIGINT, from a terminal: the same, without the time for clients to connect elsewhere.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

/// The signals that tidegate handles.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    // Other servers reopen their log files on one of these two, and scripts that rotate logs send it. The kernel's
    // default action would end this process. All other signals keep their defaults: SIGQUIT still ends it with a core
    // dump, as Ctrl-\ at a terminal does for most programs, and Rust's runtime ignores SIGPIPE.
    user1: Signal,
    user2: Signal,
}

impl Signals {
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for the next signal that is a command.
    pub(super) async fn next(&mut self) -> SignalCommand {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return SignalCommand::Drain,
                _ = self.interrupt.recv() => return SignalCommand::Stop,
                _ = self.hangup.recv() => return SignalCommand::Reload,
                _ = self.user1.recv() => ignored("SIGUSR1"),
                _ = self.user2.recv() => ignored("SIGUSR2"),
            }
        }
    }
}

fn ignored(signal: &str) {
    tracing::warn!(signal, "signal ignored: tidegate logs to standard error and has no log file to reopen");
}
