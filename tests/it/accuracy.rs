//! The accuracy that is promised, on a part of the table that `cargo run --release --example accuracy` prints.

use tidegate::clock::{Clock, Driven};
use tidegate::store::{KeyedCharge, MemoryStore};
use tidegate::window::{Charge, Limit};

#[path = "../../examples/accuracy/shapes.rs"]
mod shapes;

use shapes::{ADVERSARY, ExactLog, Random, peak, shapes};

const WINDOW_MS: i64 = 60_000;

#[test]
fn what_is_admitted_is_what_an_exact_log_admits() {
    let clock = Driven::default();
    let store = MemoryStore::new(10_000, Clock::Driven(clock.clone()));
    let mut accuracies = Vec::new();
    for quota in [5, 10, 30] {
        let limit = Limit::new(quota, 0, WINDOW_MS, Limit::DEFAULT_SLICES).unwrap();
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
            let error = u32::try_from(admitted.len().abs_diff(exact)).unwrap();
            let accuracy = 1.0 - f64::from(error) / f64::from(u32::try_from(arrivals.len()).unwrap());
            if shape.starts_with(ADVERSARY) {
                let most = i64::try_from(peak(&admitted, WINDOW_MS)).unwrap();
                assert!(most <= quota, "{shape}: {most} in one window of {quota}");
            } else {
                assert!(accuracy > 0.985, "{shape}, limit {quota}: {accuracy}");
                accuracies.push(accuracy);
            }
        }
    }
    let mean = accuracies.iter().sum::<f64>() / f64::from(u32::try_from(accuracies.len()).unwrap());
    assert!(mean > 0.995, "mean {mean}");
}
