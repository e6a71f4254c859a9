//! What became of the requests.

use std::time::Duration;

use tidegate::window::{Counter, Limit};

use super::{Client, INSTANCES, Scale, Span};

/// A request and its response. Times are since the start of the traffic.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    pub client: usize,
    pub sent: Duration,
    /// None: no response.
    pub status: Option<u16>,
}

impl Record {
    /// Whether it has no response, or one that blames the server.
    pub fn has_failed(&self) -> bool {
        self.status.is_none_or(|status| status >= 500)
    }
}

/// The requests of a run, in the order in which they were sent.
pub struct Log {
    pub clients: Vec<Client>,
    records: Vec<Record>,
    limit: Limit,
    window: Duration,
}

impl Log {
    pub fn new(clients: Vec<Client>, mut records: Vec<Record>, scale: &Scale) -> Self {
        records.sort_by_key(|record| record.sent);
        Self { clients, records, limit: scale.limit, window: scale.window }
    }

    /// From the first request to the last.
    pub fn whole(&self) -> Span {
        Duration::ZERO..Duration::MAX
    }

    pub fn within(&self, span: &Span) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| span.contains(&record.sent))
    }

    /// The clients that send more than their limit admits.
    pub fn greedy(&self) -> impl Iterator<Item = usize> {
        (0..self.clients.len()).filter(|&client| self.clients[client].is_greedy)
    }

    fn of(&self, client: usize) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(move |record| record.client == client)
    }

    /// When requests of a client were admitted.
    fn admissions(&self, client: usize, span: &Span) -> Vec<Duration> {
        let admitted = |record: &&Record| record.status == Some(200) && span.contains(&record.sent);
        self.of(client).filter(admitted).map(|record| record.sent).collect()
    }

    /// How many requests of a client were admitted.
    pub fn admitted(&self, client: usize, span: &Span) -> usize {
        self.admissions(client, span).len()
    }

    /// How many of the same requests one counter would have admitted to which nothing happened.
    pub fn undisturbed(&self, client: usize, span: &Span) -> usize {
        let mut counter = Counter::default();
        let admitted = |record: &&Record| {
            let now_ms = i64::try_from(record.sent.as_millis()).unwrap();
            counter.take(&self.limit, now_ms, 1) && span.contains(&record.sent)
        };
        self.of(client).filter(admitted).count()
    }

    /// The most requests of a client that were admitted in any window within the span.
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

    /// Requests that failed.
    fn failed(&self) -> Vec<&Record> {
        self.records.iter().filter(|record| record.has_failed()).collect()
    }

    pub fn quota(&self) -> usize {
        usize::try_from(self.limit.quota()).unwrap()
    }
}

/// The promises.
impl Log {
    /// # Panics
    /// When a request failed.
    pub fn no_request_failed(&self) {
        none("an outage of Redis became one of the upstream", &self.failed());
    }

    /// # Panics
    /// When an honest client was refused.
    pub fn honest_clients_were_admitted(&self) {
        none("clients within their limits were refused", &self.honest_refused(&self.whole()));
    }

    /// # Panics
    /// When more or fewer requests of a greedy client were admitted than would have been without an outage, by more than
    /// this percentage: of its limit, where that is more. And by more than one request for each instance, as none can admit
    /// a part of one.
    pub fn limits_held(&self, span: &Span, percent: usize) {
        let mut wrong = Vec::new();
        for client in self.greedy() {
            let (admitted, of) = (self.admitted(client, span), self.undisturbed(client, span));
            if admitted.abs_diff(of) > of.max(self.quota()) * percent / 100 + INSTANCES {
                wrong.push(format!("{}: {admitted} for {of}", self.clients[client].name));
            }
        }
        assert!(wrong.is_empty(), "requests admitted, and without an outage: {wrong:?}");
    }

    /// # Panics
    /// When more requests of a greedy client were admitted within one window than this percentage of its limit.
    pub fn no_window_exceeded(&self, span: &Span, percent: usize) {
        let most = self.quota() * percent / 100;
        let peaks = self.greedy().map(|client| (&self.clients[client].name, self.peak(client, span)));
        let wrong: Vec<_> = peaks.filter(|&(_, peak)| peak > most).collect();
        assert!(wrong.is_empty(), "requests admitted in one window: {wrong:?}");
    }
}

/// # Panics
/// When there are any. It shows some of them.
fn none(what: &str, records: &[&Record]) {
    let some = &records[..records.len().min(5)];
    assert!(records.is_empty(), "{what}: {} requests, such as {some:#?}", records.len());
}
