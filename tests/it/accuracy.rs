//! The accuracy that is promised, on a part of the table that `cargo run --release --example accuracy` prints.

use tidegate::clock::{Clock, Driven};
use tidegate::store::{KeyedCharge, MemoryStore};
use tidegate::window::{Charge, Limit};

#[path = "../../examples/accuracy/shapes.rs"]
pub mod shapes;

use shapes::{ADVERSARY, ExactLog, Random, peak, shapes};

const WINDOW_MS: i64 = 60_000;

/// As many arrivals as the limit were admitted in a span that is shorter than the window by one slice, at most.
fn gains_one_slice_at_most(limit: &Limit, admitted: &[i64]) -> bool {
    let span_ms = limit.strict_span_ms().unwrap();
    i64::try_from(peak(admitted, span_ms)).unwrap() <= limit.quota()
}

#[test]
fn what_is_admitted_is_what_an_exact_log_admits() {
    let clock = Driven::default();
    let store = MemoryStore::new(10_000, Clock::Driven(clock.clone()));
    let mut accuracies = Vec::new();
    for quota in [5, 7, 10, 30, 60] {
        let limit = Limit::auto(quota, 0, WINDOW_MS).unwrap();
        let mut random = Random::new(1_000 + u32::try_from(quota).unwrap());
        for (shape, arrivals) in shapes(quota, WINDOW_MS, 200, &mut random) {
            let mut log = ExactLog::new(quota, WINDOW_MS);
            let exact = arrivals.iter().filter(|&&at| log.take(at)).count();
            let charge = Charge { limit, cost: 1, group: Charge::BINDING };
            let asks = [KeyedCharge { key: format!("{{{shape}}}:{quota}"), charge }];
            let admitted = |at: &i64| {
                clock.set_ms(*at);
                store.take(&asks)[0].taken.charged
            };
            let admitted: Vec<i64> = arrivals.iter().copied().filter(admitted).collect();
            assert!(gains_one_slice_at_most(&limit, &admitted), "{shape}, limit {quota}");
            let error = u32::try_from(admitted.len().abs_diff(exact)).unwrap();
            let accuracy = 1.0 - f64::from(error) / f64::from(u32::try_from(arrivals.len()).unwrap());
            if !shape.starts_with(ADVERSARY) {
                assert!(accuracy >= 0.995, "{shape}, limit {quota}: {accuracy}");
                accuracies.push(accuracy);
            }
        }
    }
    let mean = accuracies.iter().sum::<f64>() / f64::from(u32::try_from(accuracies.len()).unwrap());
    assert!(mean >= 0.9995, "mean {mean}");
}
