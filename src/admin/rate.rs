//! How many requests a second the API takes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::clock::{Clock, Timeline};

/// A rate, and how much may come at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) per_second: i64,
    pub(super) burst: i64,
}

/// Requests so far, by the names of those that send them.
#[derive(Debug)]
pub(super) struct RateBound {
    rate: Rate,
    timeline: Timeline,
    senders: Mutex<HashMap<String, Sender>>,
}

#[derive(Debug)]
struct Sender {
    /// In thousandths of a request.
    left: i64,
    refilled_ms: i64,
}

impl RateBound {
    pub(super) fn new(rate: Rate, clock: Clock) -> Self {
        Self { rate, timeline: Timeline::begin(clock), senders: Mutex::default() }
    }

    /// Counts a request. Returns whether it is within the rate.
    pub(super) fn take(&self, sender: &str) -> bool {
        let now_ms = self.timeline.now().as_i64();
        let full = self.rate.burst * 1000;
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if !senders.contains_key(sender) {
            // The names are those of tokens. One that is gone from the configuration has refilled long ago.
            senders.retain(|_, sender| (now_ms - sender.refilled_ms) * self.rate.per_second < full);
        }
        let sender = senders.entry(sender.to_owned()).or_insert(Sender { left: full, refilled_ms: now_ms });
        let refilled = (now_ms - sender.refilled_ms).max(0).saturating_mul(self.rate.per_second);
        sender.left = sender.left.saturating_add(refilled).min(full);
        sender.refilled_ms = now_ms;
        let within = sender.left >= 1000;
        if within {
            sender.left -= 1000;
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Driven;

    #[test]
    fn a_burst_passes_and_the_rate_after_it() {
        let driven = Driven::default();
        let bound = RateBound::new(Rate { per_second: 5, burst: 10 }, Clock::Driven(driven.clone()));
        let passed = |requests: usize| (0..requests).filter(|_| bound.take("a")).count();
        assert_eq!(passed(20), 10);
        driven.set_ms(200);
        assert_eq!(passed(20), 1);
        driven.set_ms(1200);
        assert_eq!(passed(20), 5);
        driven.set_ms(100_000);
        assert_eq!(passed(20), 10);
    }

    #[test]
    fn one_sender_takes_nothing_from_another() {
        let bound = RateBound::new(Rate { per_second: 5, burst: 2 }, Clock::Driven(Driven::default()));
        assert_eq!((0..9).filter(|_| bound.take("a")).count(), 2);
        assert!(bound.take("b"));
    }
}
