//! Outages of Redis, played by a script: four instances on one Redis, in a time that stands still until the script moves
//! it. Between two requests the script stops, cuts off or starts Redis, and waits until the instances have noticed. So the
//! order of events is the script's, and no verdict depends on the pace of the machine. (`make outage` plays the same traffic
//! in real time, with whole processes.)

mod back;
mod flapping;
mod fleet;
mod gone;
mod hung;
mod network;
mod replaced;
mod shuffled;

use std::sync::OnceLock;

use crate::traffic::{Log, Span, Tally};
use fleet::Fleet;

/// What became of a scenario.
struct Run {
    log: Log,
    /// What Redis has counted in the end.
    tally: Tally,
    outage: Span,
    after: Span,
}

/// A scenario is played once, for all tests that assert something about it.
struct Scenario(OnceLock<Run>);

impl Scenario {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn played(&self, script: impl AsyncFnOnce() -> Run) -> &Run {
        self.0.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(script())
        })
    }
}
