//! Requests with a wrong secret of a bypass: each is counted, and now and then the log has a line for all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

use crate::clock::Stopwatch;
use crate::metrics;
use crate::policy::bypass::{self, Bypass};

/// The time between two lines about one bypass, in milliseconds.
const LOG_EVERY_MS: i64 = 60_000;

/// What the log does not have yet, by the name of the bypass.
#[derive(Debug)]
pub(super) struct WrongSecrets {
    started: Stopwatch,
    by_bypass: Mutex<HashMap<Arc<str>, Recent>>,
}

#[derive(Debug)]
struct Recent {
    /// Requests since the last line.
    requests: u64,
    /// The client of the last one.
    client: IpAddr,
    /// When the last line was written, in milliseconds since the start.
    logged_ms: Option<i64>,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    bypass: Arc<str>,
    requests: u64,
    client: IpAddr,
}

impl Default for WrongSecrets {
    fn default() -> Self {
        Self { started: Stopwatch::start(), by_bypass: Mutex::default() }
    }
}

impl WrongSecrets {
    /// Counts a request of this client for each bypass whose field holds another value than a secret.
    pub(super) fn note(&self, bypasses: &[Bypass], headers: &HeaderMap, client: IpAddr) {
        for bypass in bypass::rejecting(bypasses, headers) {
            self.count(&bypass.name, client);
        }
    }

    fn count(&self, bypass: &Arc<str>, client: IpAddr) {
        metrics::bypass_rejected(bypass);
        let mut by_bypass = self.by_bypass.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Recent { requests: 0, client, logged_ms: None };
        let recent = by_bypass.entry(Arc::clone(bypass)).or_insert_with(fresh);
        recent.requests = recent.requests.saturating_add(1);
        recent.client = client;
    }

    /// Writes the lines that are due.
    pub(super) fn log(&self) {
        for Line { bypass, requests, client } in self.due(self.started.millis()) {
            tracing::warn!(%bypass, requests, %client, "wrong secret for a bypass");
        }
    }

    fn due(&self, now_ms: i64) -> Vec<Line> {
        let mut by_bypass = self.by_bypass.lock().unwrap_or_else(PoisonError::into_inner);
        let is_quiet = |recent: &Recent| {
            recent.logged_ms.is_some_and(|logged_ms| now_ms.saturating_sub(logged_ms) < LOG_EVERY_MS)
        };
        // A name that a reload took away is forgotten.
        by_bypass.retain(|_, recent| recent.requests > 0 || is_quiet(recent));
        let due = by_bypass.iter_mut().filter(|(_, recent)| recent.requests > 0 && !is_quiet(recent));
        due.map(|(bypass, recent)| {
            recent.logged_ms = Some(now_ms);
            let requests = std::mem::take(&mut recent.requests);
            Line { bypass: Arc::clone(bypass), requests, client: recent.client }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use super::{LOG_EVERY_MS, Line, WrongSecrets};

    fn client(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
    }

    fn line(bypass: &str, requests: u64, last: u8) -> Line {
        Line { bypass: bypass.into(), requests, client: client(last) }
    }

    #[test]
    fn a_line_stands_for_all_requests_since_the_last_one() {
        let (wrong_secrets, name) = (WrongSecrets::default(), Arc::from("internal"));
        assert_eq!(wrong_secrets.due(0), []);
        wrong_secrets.count(&name, client(1));
        wrong_secrets.count(&name, client(2));
        assert_eq!(wrong_secrets.due(10), [line("internal", 2, 2)]);
        for last in 3..9 {
            wrong_secrets.count(&name, client(last));
            assert_eq!(wrong_secrets.due(10 + LOG_EVERY_MS - 1), []);
        }
        assert_eq!(wrong_secrets.due(10 + LOG_EVERY_MS), [line("internal", 6, 8)]);
    }

    #[test]
    fn one_bypass_keeps_no_other_quiet() {
        let wrong_secrets = WrongSecrets::default();
        wrong_secrets.count(&Arc::from("internal"), client(1));
        assert_eq!(wrong_secrets.due(0), [line("internal", 1, 1)]);
        wrong_secrets.count(&Arc::from("partner"), client(2));
        assert_eq!(wrong_secrets.due(1), [line("partner", 1, 2)]);
    }

    #[test]
    fn a_bypass_without_news_is_forgotten() {
        let wrong_secrets = WrongSecrets::default();
        wrong_secrets.count(&Arc::from("internal"), client(1));
        assert_eq!(wrong_secrets.due(0), [line("internal", 1, 1)]);
        assert_eq!(wrong_secrets.due(LOG_EVERY_MS), []);
        assert!(wrong_secrets.by_bypass.lock().expect("no test panics with it").is_empty());
    }
}
