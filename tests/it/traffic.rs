//! Steady traffic of clients that keep to their limit and of clients that do not, over several instances; and what became
//! of it.

mod log;
mod plan;
mod tally;

use std::ops::Range;
use std::time::Duration;

use tidegate::window::Limit;

pub use log::{Log, Record};
pub use plan::{Client, Plan, Planned};
pub use tally::{COUNTERS, Tally, counted};

/// How many instances share the limits.
pub const INSTANCES: usize = 4;

/// Times since the start of the traffic.
pub type Span = Range<Duration>;

/// The limit of each client, by which all times are measured.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// As the configuration has it.
    pub rate: &'static str,
    pub limit: Limit,
    pub window: Duration,
}

impl Scale {
    /// 5 requests a second, in a window of 6 s.
    pub fn short() -> Self {
        Self::new("30/6s", 30, 6_000)
    }

    /// `rate` as the configuration has it is this quota in this window.
    pub fn new(rate: &'static str, quota: i64, window_ms: i64) -> Self {
        let limit = Limit::auto(quota, 0, window_ms).unwrap();
        Self { rate, limit, window: Duration::from_millis(window_ms.unsigned_abs()) }
    }

    /// The time of this many windows after the start.
    pub fn windows(&self, count: f64) -> Duration {
        self.window.mul_f64(count)
    }

    /// The rule of each client, without what it does in an outage: the limit, and one that nobody reaches, which keeps the
    /// sum of all that was counted.
    pub fn rule(&self) -> String {
        format!(
            "{{ name: each, key: ['header:X-Client'], limits: [{{ rate: {} }}, {{ rate: {} }}] }}",
            self.rate,
            tally::RATE
        )
    }
}
