//! Outages of Redis in real time: four whole processes on one Redis, under steady traffic of which a part is too much.
//! `make outage` plays them, and nothing else does: what they assert needs a machine that keeps up with the traffic.
//! (`tests/it/outage/driven` proves the same promises in a time that a script moves.)
//!
//! ```text
//! cargo test --locked --test outage                 all scenarios, in a few minutes
//! cargo test --locked --test outage -- network      those with this word in their name
//! TIDEGATE_OUTAGE=full ...                          in full length: half an hour
//! ```
//!
//! A run that the machine disturbed is played again. If it is disturbed each time, it is reported as not judged, which is
//! no failure: only a promise that was broken is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "a test that cannot go on ends there, and says where"
)]
#![allow(clippy::print_stderr, reason = "the figures are for people to read")]

mod back;
mod figures;
mod flapping;
mod fleet;
mod gone;
mod hung;
mod length;
mod network;
mod replaced;
mod run;
mod sending;

#[path = "../it"]
#[allow(dead_code, unused_imports, reason = "the integration tests have more than is needed here")]
mod it {
    pub mod harness;
    pub mod traffic;
}

use std::process::ExitCode;
use std::time::Duration;

use fleet::Fleet;
use it::{harness, traffic};
use run::{Disturbed, Verdict, judged};

/// When limits are to hold again after Redis is back.
const SOON: Duration = Duration::from_secs(1);

/// Plays a scenario.
type Play = fn() -> Verdict;

/// The scenarios, by their names.
const SCENARIOS: [(&str, Play); 8] = [
    ("Redis is gone", || judged(gone::is_killed)),
    ("Redis hangs", || judged(hung::hangs)),
    ("Redis comes back empty", || judged(back::comes_back_empty)),
    ("Redis comes back with its data", || judged(back::comes_back_with_its_data)),
    ("an instance is replaced", || judged(replaced::loses_an_instance)),
    ("the network fails", || judged(network::fails)),
    ("Redis hangs every other second", || judged(flapping::hangs_repeatedly)),
    ("Redis dies every other second", || judged(flapping::dies_repeatedly)),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let verdicts: Vec<(&str, Verdict)> = SCENARIOS
        .into_iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, play)| {
            let verdict = play();
            eprintln!("{name}: {verdict}");
            (name, verdict)
        })
        .collect();
    eprintln!();
    for (name, verdict) in &verdicts {
        eprintln!("{name:32} {verdict}");
    }
    let broken = verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Broken);
    if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
