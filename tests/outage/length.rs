//! How long everything takes: seconds, or minutes in full length.

use std::time::Duration;

use crate::traffic::{Plan, Scale};

/// How long the parts of the scenarios are.
pub struct Length {
    full: bool,
    pub scale: Scale,
}

impl Length {
    /// What the environment asks for.
    pub fn chosen() -> Self {
        let full = std::env::var("TIDEGATE_OUTAGE").is_ok_and(|value| value == "full");
        let scale = if full { Scale::new("300/min", 300, 60_000) } else { Scale::short() };
        Self { full, scale }
    }

    /// The requests: in full length, they are spread at random.
    pub fn plan(&self) -> Plan {
        Plan::new(&self.scale, self.full.then(|| fastrand::Rng::with_seed(1)))
    }

    /// How long Redis is away before it comes back: less than a window, so that what was before counts still.
    pub fn absences(&self) -> Vec<Duration> {
        let seconds: &[u64] = if self.full { &[2, 20] } else { &[2] };
        seconds.iter().map(|&seconds| Duration::from_secs(seconds)).collect()
    }

    /// How long Redis hangs.
    pub fn hang(&self) -> Duration {
        if self.full { Duration::from_secs(30) } else { self.scale.window }
    }

    /// How long the network fails in one way.
    pub fn failure(&self) -> Duration {
        if self.full { self.scale.window } else { Duration::from_secs(2) }
    }

    /// How long the network is well between two failures.
    pub fn rest(&self) -> Duration {
        if self.full { Duration::from_secs(10) } else { Duration::from_millis(600) }
    }

    /// How often Redis goes away for a second and comes back for one.
    pub fn flaps(&self) -> usize {
        if self.full { 30 } else { 4 }
    }
}
