//! The traces of the executable specification of the arithmetic (`tests/golden/window_reference.py`), as it printed them
//! for two seeds: each row is one request and all that was decided about it.

use std::io::Read as _;

use serde::Deserialize;
use tidegate::window::Limit;

const FILES: [(&[u8], usize); 4] = [
    (include_bytes!("../golden/seed-1.jsonl.gz"), 150),
    (include_bytes!("../golden/seed-2.jsonl.gz"), 150),
    (include_bytes!("../golden/changes-1.jsonl.gz"), 182),
    (include_bytes!("../golden/changes-2.jsonl.gz"), 182),
];

#[derive(Deserialize)]
pub struct Trace {
    limit: i64,
    burst: i64,
    window_ms: i64,
    slices: i64,
    pub shape: String,
    /// From which row on another limit is in force: row, limit, burst, slices.
    #[serde(default)]
    changes: Vec<[i64; 4]>,
    /// now_ms, cost, admitted, used, remaining, retry_after_ms
    rows: Vec<[i64; 6]>,
}

pub struct Row {
    /// The limit that is in force.
    pub limit: Limit,
    pub now_ms: i64,
    pub cost: i64,
    pub admitted: bool,
    pub used: i64,
    pub remaining: i64,
    pub retry_after_ms: i64,
}

impl Trace {
    fn limit(&self, quota: i64, burst: i64, slices: i64) -> Limit {
        Limit::new(quota, burst, self.window_ms, slices).unwrap()
    }

    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let mut changes = self.changes.iter().peekable();
        let mut limit = self.limit(self.limit, self.burst, self.slices);
        (0..).zip(&self.rows).map(
            move |(number, &[now_ms, cost, admitted, used, remaining, retry_after_ms])| {
                while let Some([_, quota, burst, slices]) = changes.next_if(|[row, ..]| *row == number) {
                    limit = self.limit(*quota, *burst, *slices);
                }
                Row { limit, now_ms, cost, admitted: admitted == 1, used, remaining, retry_after_ms }
            },
        )
    }
}

pub fn traces() -> Vec<Trace> {
    let mut traces = Vec::new();
    for (file, expected) in FILES {
        let mut text = String::new();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        assert_eq!(text.lines().count(), expected);
        traces.extend(text.lines().map(|line| serde_json::from_str::<Trace>(line).unwrap()));
    }
    traces
}
