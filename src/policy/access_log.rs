//! Which requests the access log has a line for. Pure.

/// How many requests the access log has a line for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AccessLogPolicy {
    /// The share of the forwarded requests, from 0 to 1.
    pub allowed: f64,
    /// The share of the refused requests, from 0 to 1.
    pub refused: f64,
    /// The number of lines in each second, of both kinds together. The others are dropped, and counted.
    pub per_second: u32,
}

impl Default for AccessLogPolicy {
    fn default() -> Self {
        Self { allowed: 0.0, refused: 1.0, per_second: 10 }
    }
}
