//! One run of a scenario, and whether it says anything about tidegate.

use std::fmt;
use std::time::Duration;

use crate::traffic::{Log, Record};

/// On a machine that keeps up, 99 of 100 requests are sent at most this long after their time.
const LAG: Duration = Duration::from_millis(10);
/// If anything takes this long, the machine stood still: nothing in tidegate does.
const STILL: Duration = Duration::from_millis(150);
/// How often a scenario is played until the machine does not disturb it.
const ATTEMPTS: usize = 4;

/// A request, and how the machine kept up with it.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    pub record: Record,
    pub instance: usize,
    /// How much later than planned it was sent.
    pub lag: Duration,
    pub latency: Duration,
}

/// All requests of a run.
pub struct Run {
    pub log: Log,
    pub timed: Vec<Timed>,
}

/// The machine was too busy, or stood still: the run says nothing about tidegate.
pub struct Disturbed;

/// What the runs of a scenario say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Kept,
    Broken,
    NotJudged,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "all promises kept",
            Self::Broken => "A PROMISE BROKEN",
            Self::NotJudged => "not judged: this machine is too busy for steady traffic",
        })
    }
}

impl Run {
    /// The run, if the machine kept up with it.
    pub fn undisturbed(self) -> Result<Self, Disturbed> {
        let mut lags: Vec<Duration> = self.timed.iter().map(|timed| timed.lag).collect();
        lags.sort_unstable();
        let most = |lags: &[Duration]| lags.last().copied().unwrap_or_default();
        let usual = most(&lags[..lags.len() * 99 / 100]);
        let latest = self.timed.iter().map(|timed| timed.latency).max().unwrap_or_default();
        if usual <= LAG && most(&lags) <= STILL && latest <= STILL {
            return Ok(self);
        }
        let whole = self.log.whole();
        self.show("Disturbed by a busy machine", &[("all", &whole)]);
        Err(Disturbed)
    }
}

/// Plays a scenario, and again while the machine disturbs it. Where a promise is broken, the scenario panics and says
/// which.
pub fn judged<F: Future<Output = Result<(), Disturbed>> + 'static>(scenario: fn() -> F) -> Verdict {
    for _ in 0..ATTEMPTS {
        let played = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(scenario())
        });
        match played.join() {
            Ok(Ok(())) => return Verdict::Kept,
            Ok(Err(Disturbed)) => {}
            Err(_) => return Verdict::Broken,
        }
    }
    Verdict::NotJudged
}
