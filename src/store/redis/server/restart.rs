//! Notices that a server is not the process that it was, so that its counters may be lost.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::AtomicGeneration;

/// Begins another generation of counters whenever the server turns out to be another process.
#[derive(Debug)]
pub(crate) struct RestartDetector {
    /// The `run_id` that the server last reported; None inside: it reported none. None: it was never reached.
    run_id: Mutex<Option<Option<String>>>,
    /// Whether a connection was lost since.
    connection_lost: AtomicBool,
    generation: Arc<AtomicGeneration>,
}

impl RestartDetector {
    pub(crate) fn new(generation: Arc<AtomicGeneration>) -> Self {
        Self { run_id: Mutex::default(), connection_lost: AtomicBool::new(false), generation }
    }

    /// Records that a connection was lost.
    pub(crate) fn connection_lost(&self) {
        self.connection_lost.store(true, Ordering::Release);
    }

    /// Records a new connection to a server that reported `info`, the reply to `INFO server`, if it permits that.
    pub(crate) fn connected(&self, info: Option<&str>) {
        let run_id = info.and_then(|info| info.lines().find_map(|line| line.strip_prefix("run_id:")));
        let run_id = run_id.map(str::to_owned);
        let mut last = self.run_id.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = self.connection_lost.swap(false, Ordering::AcqRel);
        // A server that does not report its run may be another process whenever a connection was lost.
        let is_another = |before: &Option<String>| if run_id.is_none() { lost } else { *before != run_id };
        if last.as_ref().is_some_and(is_another) {
            self.generation.advance();
        }
        *last = Some(run_id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::RestartDetector;
    use crate::store::AtomicGeneration;

    /// Returns whether the last of the connections begins another generation.
    fn restarted(detector: &RestartDetector, connections: &[Option<&str>]) -> bool {
        let mut before = detector.generation.load();
        for info in connections {
            before = detector.generation.load();
            detector.connected(*info);
        }
        detector.generation.load() != before
    }

    fn detector() -> RestartDetector {
        RestartDetector::new(Arc::new(AtomicGeneration::default()))
    }

    #[test]
    fn another_run_id_is_a_restart() {
        let (one, other) = ("# Server\r\nrun_id:aa\r\n", "# Server\r\nrun_id:bb\r\n");
        assert!(!restarted(&detector(), &[Some(one)]));
        assert!(!restarted(&detector(), &[Some(one), Some(one)]));
        assert!(restarted(&detector(), &[Some(one), Some(other)]));
    }

    #[test]
    fn a_server_without_run_id_may_have_restarted_once_a_connection_is_lost() {
        let detector = detector();
        assert!(!restarted(&detector, &[None, None]));
        detector.connection_lost();
        assert!(restarted(&detector, &[None]));
        assert!(!restarted(&detector, &[None]));
    }
}
