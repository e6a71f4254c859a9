//! The figures of a run, as a table.

use std::time::Duration;

use super::Span;
use super::log::Log;
use super::traffic::Record;

/// An answer that took longer has probably waited for the deadline of its check.
const SAW_THE_DEADLINE: Duration = Duration::from_millis(15);

/// Requests by their answers; milliseconds to the answer, and how many saw the deadline; how late requests were sent
/// themselves; of the greedy clients the least and the most that was let through, the same for what would have been,
/// and the most in one window; honest clients' requests that were refused.
const COLUMNS: [&str; 4] = [
    "  sent    200    429  5xx  none",
    "p50 ms    p99    max >15 ms",
    "lag 99    max",
    "   let in  would be  peak | refused",
];

impl Log {
    /// Prints the table, a row for each part of the run.
    #[expect(clippy::print_stderr, reason = "the figures are for people to read")]
    pub fn show(&self, what: &str, phases: &[(&str, &Span)]) {
        eprintln!("\n{what}\n{:12} {}", "", COLUMNS.join(" | "));
        for (phase, span) in phases {
            eprintln!("{phase:12} {}", self.row(span));
        }
    }

    fn row(&self, span: &Span) -> String {
        let count =
            |wanted: &dyn Fn(&Record) -> bool| self.within(span).filter(|record| wanted(record)).count();
        let status = |wanted: u16| count(&|record| record.status == Some(wanted));
        let failed = count(&|record| record.status.is_some_and(|status| status >= 500));
        let unanswered = count(&|record| record.status.is_none());
        let slow = count(&|record| record.latency > SAW_THE_DEADLINE);
        let [sent, admitted, refused] = [count(&|_| true), status(200), status(429)];
        let latency = sorted(self.within(span).map(|record| record.latency));
        let lag = sorted(self.within(span).map(|record| record.lag));
        let let_in = self.range(|client| self.admitted(client, span));
        let would_be = self.range(|client| self.undisturbed(client, span));
        let peak = self.greedy().map(|client| self.peak(client, span)).max().unwrap_or_default();
        [
            format!("{sent:6} {admitted:6} {refused:6} {failed:4} {unanswered:5}"),
            format!("{:6.1} {:6.1} {:6.1} {slow:6}", at(&latency, 50), at(&latency, 99), at(&latency, 100)),
            format!("{:6.1} {:6.1}", at(&lag, 99), at(&lag, 100)),
            format!("{let_in:>9} {would_be:>9} {peak:5} | {:7}", self.honest_refused(span).len()),
        ]
        .join(" | ")
    }

    fn range(&self, figure: impl Fn(usize) -> usize) -> String {
        let figures: Vec<usize> = self.greedy().map(figure).collect();
        format!("{}..{}", figures.iter().min().unwrap(), figures.iter().max().unwrap())
    }
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
