//! The thread that probes the servers of a store.

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A thread with a runtime of its own. What delays the requests of this process, too little CPU for too many of them,
/// does not delay the tasks here. The thread ends with the store.
#[derive(Debug)]
pub(crate) struct ProbeThread {
    handle: Handle,
    _end: Option<DropGuard>,
}

impl ProbeThread {
    /// Starts the thread. Needs a Tokio runtime, on which the tasks run if no thread can be started.
    pub(crate) fn start() -> Self {
        let own = || {
            let runtime = Builder::new_current_thread().enable_all().build().ok()?;
            let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
            let ended = end.clone().cancelled_owned();
            let thread = std::thread::Builder::new().name("redis-probe".to_owned());
            thread.spawn(move || runtime.block_on(ended)).ok()?;
            Some(Self { handle, _end: Some(end.drop_guard()) })
        };
        own().unwrap_or_else(|| Self { handle: Handle::current(), _end: None })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}
