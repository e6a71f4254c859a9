//! The figures of a run, as a table.

use std::time::Duration;

use crate::run::Run;
use crate::traffic::{Log, Record, Span};

/// A response that took longer has probably waited for the deadline of its check.
const SAW_THE_DEADLINE: Duration = Duration::from_millis(15);

/// Requests by their responses; milliseconds to the response, and how many saw the deadline; how late requests were sent
/// themselves; of the greedy clients the least and the most requests that were admitted, the same without an outage, and
/// the most in one window; honest clients' requests that were refused.
const COLUMNS: [&str; 4] = [
    "  sent    200    429  5xx  none",
    "p50 ms    p99    max >15 ms",
    "lag 99    max",
    " admitted  would be  peak | refused",
];

impl Run {
    /// Prints the table, a row for each part of the run.
    pub fn show(&self, what: &str, phases: &[(&str, &Span)]) {
        eprintln!("\n{what}\n{:12} {}", "", COLUMNS.join(" | "));
        for (phase, span) in phases {
            eprintln!("{phase:12} {}", self.row(span));
        }
    }

    fn row(&self, span: &Span) -> String {
        let log = &self.log;
        let count =
            |wanted: &dyn Fn(&Record) -> bool| log.within(span).filter(|record| wanted(record)).count();
        let status = |wanted: u16| count(&|record| record.status == Some(wanted));
        let failed = count(&|record| record.status.is_some_and(|status| status >= 500));
        let unanswered = count(&|record| record.status.is_none());
        let timed = || self.timed.iter().filter(|timed| span.contains(&timed.record.sent));
        let slow = timed().filter(|timed| timed.latency > SAW_THE_DEADLINE).count();
        let [sent, admitted, refused] = [count(&|_| true), status(200), status(429)];
        let latency = sorted(timed().map(|timed| timed.latency));
        let lag = sorted(timed().map(|timed| timed.lag));
        let admitted_each = range(log, |client| log.admitted(client, span));
        let would_be = range(log, |client| log.undisturbed(client, span));
        let peak = log.greedy().map(|client| log.peak(client, span)).max().unwrap_or_default();
        [
            format!("{sent:6} {admitted:6} {refused:6} {failed:4} {unanswered:5}"),
            format!("{:6.1} {:6.1} {:6.1} {slow:6}", at(&latency, 50), at(&latency, 99), at(&latency, 100)),
            format!("{:6.1} {:6.1}", at(&lag, 99), at(&lag, 100)),
            format!("{admitted_each:>9} {would_be:>9} {peak:5} | {:7}", log.honest_refused(span).len()),
        ]
        .join(" | ")
    }
}

/// The least and the most of the greedy clients.
fn range(log: &Log, figure: impl Fn(usize) -> usize) -> String {
    let figures: Vec<usize> = log.greedy().map(figure).collect();
    format!("{}..{}", figures.iter().min().unwrap(), figures.iter().max().unwrap())
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<Duration> {
    let mut times: Vec<Duration> = times.collect();
    times.sort();
    times
}

/// In milliseconds, what so many percent do not exceed.
fn at(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default().as_secs_f64() * 1000.0
}
