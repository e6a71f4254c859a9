//! What became of the requests.

use std::time::Duration;

use tidegate::window::{Counter, Limit};

use super::scale::Scale;
use super::traffic::{Client, Record, Sent};
use super::{INSTANCES, Span};

/// By so much at most 99 of 100 requests are sent too late on a machine that is not too busy.
const LAG: Duration = Duration::from_millis(10);
/// If anything takes this long, the machine stood still.
const STILL: Duration = Duration::from_millis(150);

/// The requests of a run, in the order in which they were sent.
pub struct Log {
    pub clients: Vec<Client>,
    records: Vec<Record>,
    limit: Limit,
    window: Duration,
}

impl Log {
    pub fn new(sent: Sent, scale: &Scale) -> Self {
        let Sent { clients, records } = sent;
        Self { clients, records, limit: scale.limit, window: scale.window }
    }

    /// Whether requests were not sent when they should, or answered so late that it must be this machine: nothing in
    /// tidegate takes that long.
    pub fn is_disturbed(&self) -> bool {
        let mut lags: Vec<Duration> = self.records.iter().map(|record| record.lag).collect();
        lags.sort_unstable();
        let most = |lags: &[Duration]| lags.last().copied().unwrap_or_default();
        let usual = most(&lags[..lags.len() * 99 / 100]);
        let latest = self.records.iter().map(|record| record.latency).max().unwrap_or_default();
        usual > LAG || most(&lags) > STILL || latest > STILL
    }

    /// From the first request to the last.
    pub fn whole(&self) -> Span {
        Duration::ZERO..Duration::MAX
    }

    pub fn within(&self, span: &Span) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| span.contains(&record.sent))
    }

    /// The clients that ask for more than their limit.
    pub fn greedy(&self) -> impl Iterator<Item = usize> {
        (0..self.clients.len()).filter(|&client| self.clients[client].is_greedy)
    }

    fn of(&self, client: usize) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.client == client)
    }

    /// When requests of a client were let through.
    fn admissions(&self, client: usize, span: &Span) -> Vec<Duration> {
        let admitted = |record: &&Record| record.status == Some(200) && span.contains(&record.sent);
        self.of(client).filter(admitted).map(|record| record.sent).collect()
    }

    /// How many requests of a client were let through.
    pub fn admitted(&self, client: usize, span: &Span) -> usize {
        self.admissions(client, span).len()
    }

    /// How many of the same requests one counter would have let through that nothing had happened to.
    pub fn undisturbed(&self, client: usize, span: &Span) -> usize {
        let mut counter = Counter::default();
        let admitted = |record: &&Record| {
            let now_ms = i64::try_from(record.sent.as_millis()).unwrap();
            counter.take(&self.limit, now_ms, 1) && span.contains(&record.sent)
        };
        self.of(client).filter(admitted).count()
    }

    /// The most that were let through of a client in any window within the span.
    pub fn peak(&self, client: usize, span: &Span) -> usize {
        let times = self.admissions(client, span);
        let window_to = |(last, &end): (usize, &Duration)| {
            last + 1 - times.partition_point(|&time| time + self.window <= end)
        };
        times.iter().enumerate().map(window_to).max().unwrap_or_default()
    }

    /// The honest clients' requests that were refused.
    pub fn honest_refused(&self, span: &Span) -> Vec<&Record> {
        let refused = |record: &&Record| record.status == Some(429) && !self.clients[record.client].is_greedy;
        self.within(span).filter(refused).collect()
    }

    /// Requests without an answer, or with one that blames the server.
    pub fn failed(&self) -> Vec<&Record> {
        let failed = |record: &&Record| record.status.is_none_or(|status| status >= 500);
        self.records.iter().filter(failed).collect()
    }

    pub fn quota(&self) -> usize {
        usize::try_from(self.limit.quota()).unwrap()
    }
}

/// What users notice.
impl Log {
    /// # Panics
    /// When a request failed.
    pub fn nobody_noticed(&self) {
        none("an outage of Redis became one of the application", &self.failed());
    }

    /// # Panics
    /// When an honest client was refused.
    pub fn honest_clients_were_let_through(&self) {
        none("clients within their limits were refused", &self.honest_refused(&self.whole()));
    }

    /// # Panics
    /// When a greedy client was let through more often or less often than it would have been undisturbed, by more
    /// than so many percent: of its limit, where that is more. And by more than one request for each instance, as none
    /// can let a part of one through.
    pub fn limits_held(&self, span: &Span, percent: usize) {
        let mut wrong = Vec::new();
        for client in self.greedy() {
            let (admitted, of) = (self.admitted(client, span), self.undisturbed(client, span));
            if admitted.abs_diff(of) > of.max(self.quota()) * percent / 100 + INSTANCES {
                wrong.push(format!("{}: {admitted} for {of}", self.clients[client].name));
            }
        }
        assert!(wrong.is_empty(), "requests let through, for what would have been: {wrong:?}");
    }

    /// # Panics
    /// When a greedy client was let through more often within one window than its limit says, by more than what may
    /// come of clocks that differ.
    pub fn no_window_had_too_many(&self, span: &Span) {
        let most = self.quota() * 11 / 10;
        let peaks = self.greedy().map(|client| (&self.clients[client].name, self.peak(client, span)));
        let wrong: Vec<_> = peaks.filter(|&(_, peak)| peak > most).collect();
        assert!(wrong.is_empty(), "requests let through in one window: {wrong:?}");
    }
}

/// # Panics
/// When there are any. It shows some of them.
pub fn none(what: &str, records: &[&Record]) {
    let some = &records[..records.len().min(5)];
    assert!(records.is_empty(), "{what}: {} requests, such as {some:#?}", records.len());
}
