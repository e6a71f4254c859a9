//! The traces of the executable specification of the arithmetic, as it printed them for two seeds: each row is
//! one request and all that was decided about it.

use std::io::Read as _;

use serde::Deserialize;
use tidegate::window::Limit;

const SEEDS: [&[u8]; 2] =
    [include_bytes!("../golden/seed-1.jsonl.gz"), include_bytes!("../golden/seed-2.jsonl.gz")];

#[derive(Deserialize)]
pub struct Trace {
    limit: i64,
    burst: i64,
    window_ms: i64,
    slices: i64,
    pub shape: String,
    /// now_ms, cost, admitted, used, remaining, retry_after_ms
    rows: Vec<[i64; 6]>,
}

pub struct Row {
    pub now_ms: i64,
    pub cost: i64,
    pub admitted: bool,
    pub used: i64,
    pub remaining: i64,
    pub retry_after_ms: i64,
}

impl Trace {
    pub fn limit(&self) -> Limit {
        Limit::new(self.limit, self.burst, self.window_ms, self.slices).unwrap()
    }

    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.rows.iter().map(|&[now_ms, cost, admitted, used, remaining, retry_after_ms]| Row {
            now_ms,
            cost,
            admitted: admitted == 1,
            used,
            remaining,
            retry_after_ms,
        })
    }
}

pub fn traces() -> Vec<Trace> {
    let mut traces = Vec::new();
    for seed in SEEDS {
        let mut text = String::new();
        flate2::read::GzDecoder::new(seed).read_to_string(&mut text).unwrap();
        traces.extend(text.lines().map(|line| serde_json::from_str::<Trace>(line).unwrap()));
    }
    assert_eq!(traces.len(), 300);
    traces
}
