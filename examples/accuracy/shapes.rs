//! Traffic shapes, and the exact log that they are measured against.

#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "times of made-up arrivals")]

use std::collections::VecDeque;

use rand_mt::Mt;

/// What the names of those shapes start with that no client sends by accident.
pub(crate) const ADVERSARY: &str = "adversary";

/// Random numbers, drawn in the same way and order as the specification draws them: its table can be compared
/// with this one cell by cell.
pub(crate) struct Random(Mt);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self(Mt::new_with_key([seed]))
    }

    /// In [0, 1), with 53 random bits.
    fn unit(&mut self) -> f64 {
        let (high, low) = (self.0.next_u32() >> 5, self.0.next_u32() >> 6);
        (f64::from(high) * f64::from(1 << 26) + f64::from(low)) / (1_u64 << 53) as f64
    }

    /// A gap between two events that come at random, `rate` of them in a unit of time.
    fn gap(&mut self, rate: f64) -> f64 {
        -(1.0 - self.unit()).ln() / rate
    }

    /// In `low..=high`.
    fn within(&mut self, low: i64, high: i64) -> i64 {
        let count = high - low + 1;
        let bits = i64::BITS - count.leading_zeros();
        loop {
            let drawn = i64::from(self.0.next_u32() >> (u32::BITS - bits));
            if drawn < count {
                return low + drawn;
            }
        }
    }
}

/// Arrivals in milliseconds.
type Arrivals = Vec<i64>;

/// All shapes by name, each offering traffic over `windows` windows.
pub(crate) fn shapes(
    quota: i64,
    window: i64,
    windows: i64,
    random: &mut Random,
) -> Vec<(&'static str, Arrivals)> {
    let shape = Shape { quota, window, windows };
    vec![
        ("poisson 0.5x", shape.poisson(0.5, random)),
        ("poisson 0.8x", shape.poisson(0.8, random)),
        ("poisson 1.0x", shape.poisson(1.0, random)),
        ("poisson 1.5x", shape.poisson(1.5, random)),
        ("poisson 3.0x", shape.poisson(3.0, random)),
        ("even 0.99x", shape.even(0.99)),
        ("even 1.2x", shape.even(1.2)),
        ("hammer 20x", shape.poisson(20.0, random)),
        ("periodic 0.8x", shape.periodic(0.8, 0, random)),
        ("periodic 0.8x jitter", shape.periodic(0.8, window / 12, random)),
        ("periodic 3.0x", shape.periodic(3.0, 0, random)),
        ("on-off 3x", shape.on_off(3.0, [window as f64 / 3.0, window as f64], random)),
        ("on-off 5x", shape.on_off(5.0, [window as f64 / 6.0, window as f64], random)),
        ("adversary: edge", shape.edge()),
        ("adversary: span", shape.span()),
    ]
}

#[derive(Clone, Copy)]
struct Shape {
    quota: i64,
    window: i64,
    windows: i64,
}

impl Shape {
    fn end(self) -> f64 {
        (self.window * self.windows) as f64
    }

    /// Arrivals per millisecond.
    fn rate(self, load: f64) -> f64 {
        load * self.quota as f64 / self.window as f64
    }

    fn poisson(self, load: f64, random: &mut Random) -> Arrivals {
        let (mut now, mut arrivals) = (0.0, Vec::new());
        loop {
            now += random.gap(self.rate(load));
            if now >= self.end() {
                return arrivals;
            }
            arrivals.push(now as i64);
        }
    }

    fn even(self, load: f64) -> Arrivals {
        let per_window = load * self.quota as f64;
        let count = (self.end() * load * self.quota as f64 / self.window as f64) as i64;
        (0..count).map(|place| (place as f64 * self.window as f64 / per_window) as i64).collect()
    }

    /// All of a window's arrivals within a twelfth of it, once per window.
    fn periodic(self, load: f64, jitter: i64, random: &mut Random) -> Arrivals {
        let mut arrivals = Vec::new();
        for window in 0..self.windows {
            let start = window * self.window + self.window / 2 + random.within(-jitter, jitter);
            let count = (load * self.quota as f64) as i64;
            arrivals.extend((0..count).map(|_| start + random.within(0, self.window / 12)));
        }
        arrivals.sort_unstable();
        arrivals
    }

    /// Random arrivals for a while, then none for a while; `means` of the two, in milliseconds.
    fn on_off(self, load: f64, means: [f64; 2], random: &mut Random) -> Arrivals {
        let [on, off] = means;
        let (mut now, mut arrivals) = (0.0, Vec::new());
        while now < self.end() {
            let stop = self.end().min(now + random.gap(1.0 / on));
            loop {
                now += random.gap(self.rate(load));
                if now >= stop {
                    break;
                }
                arrivals.push(now as i64);
            }
            now = stop + random.gap(1.0 / off);
        }
        arrivals
    }

    /// The worst for the classic pair of buckets: a full quota just before each boundary, then steady.
    fn edge(self) -> Arrivals {
        let mut arrivals = Vec::new();
        for start in (1..self.windows).map(|window| window * self.window) {
            arrivals.extend(self.rush(start, self.quota));
            arrivals.extend((0..self.quota).map(|place| start + place * self.window / self.quota));
        }
        arrivals.sort_unstable();
        arrivals
    }

    /// One early arrival stretches the span of a bucket, the rest come at its end.
    fn span(self) -> Arrivals {
        let mut arrivals = Vec::new();
        for start in (1..self.windows).step_by(3).map(|window| window * self.window) {
            let next = start + self.window;
            arrivals.push(start + 1);
            arrivals.extend(self.rush(next, self.quota - 1));
            arrivals.extend((0..3 * self.quota).map(|place| next + place * self.window / (3 * self.quota)));
        }
        arrivals.sort_unstable();
        arrivals
    }

    /// `count` arrivals within the last 120th of the window that ends at `end`.
    fn rush(self, end: i64, count: i64) -> impl Iterator<Item = i64> {
        (0..count).map(move |place| end - self.window / 120 + place * self.window / (150 * self.quota))
    }
}

/// The yardstick: it remembers every arrival that it admitted.
pub(crate) struct ExactLog {
    quota: usize,
    window: i64,
    log: VecDeque<i64>,
}

impl ExactLog {
    pub(crate) fn new(quota: i64, window: i64) -> Self {
        Self { quota: usize::try_from(quota).unwrap_or_default(), window, log: VecDeque::new() }
    }

    pub(crate) fn take(&mut self, now: i64) -> bool {
        while self.log.front().is_some_and(|&oldest| oldest <= now - self.window) {
            self.log.pop_front();
        }
        let fits = self.log.len() < self.quota;
        if fits {
            self.log.push_back(now);
        }
        fits
    }
}

/// The most arrivals in any true window.
pub(crate) fn peak(arrivals: &[i64], window: i64) -> usize {
    let mut inside = VecDeque::new();
    let mut most = 0;
    for &at in arrivals {
        inside.push_back(at);
        while inside.front().is_some_and(|&oldest| oldest <= at - window) {
            inside.pop_front();
        }
        most = most.max(inside.len());
    }
    most
}
