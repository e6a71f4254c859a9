//! How long everything takes: seconds in `make test`, minutes in `make outage`.

use std::time::Duration;

use tidegate::window::Limit;

/// Times go with the window: a tenth of a limit is so many requests in both.
pub struct Scale {
    /// The whole length, with requests spread at random.
    pub full: bool,
    /// As the configuration has it.
    pub rate: &'static str,
    pub limit: Limit,
    pub window: Duration,
}

impl Scale {
    /// What the environment asks for.
    pub fn chosen() -> Self {
        let full = std::env::var("TIDEGATE_OUTAGE").is_ok_and(|value| value == "full");
        let (rate, quota, window_ms) = if full { ("300/min", 300, 60_000) } else { ("30/6s", 30, 6_000) };
        let limit = Limit::new(quota, 0, window_ms, Limit::DEFAULT_SLICES).unwrap();
        Self { full, rate, limit, window: Duration::from_millis(window_ms.unsigned_abs()) }
    }

    /// How long Redis hangs.
    pub fn hang(&self) -> Duration {
        if self.full { Duration::from_secs(30) } else { self.window }
    }

    /// How long the network is as bad as it is.
    pub fn trouble(&self) -> Duration {
        if self.full { self.window } else { Duration::from_secs(2) }
    }

    /// How long it is well again between two troubles.
    pub fn rest(&self) -> Duration {
        if self.full { Duration::from_secs(10) } else { Duration::from_millis(600) }
    }

    /// How often Redis goes away for a second and comes back for one.
    pub fn flaps(&self) -> usize {
        if self.full { 30 } else { 4 }
    }

    /// So many windows after the start.
    pub fn windows(&self, count: f64) -> Duration {
        self.window.mul_f64(count)
    }
}
