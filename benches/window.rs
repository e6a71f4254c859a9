//! What a decision costs, without and with the memory store around it.

#![allow(missing_docs, reason = "criterion's macros make functions without")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on ends there")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tidegate::clock::Clock;
use tidegate::store::{KeyedCharge, MemoryStore};
use tidegate::window::{Charge, Counter, Limit};

fn window(criterion: &mut Criterion) {
    let limit = Limit::new(100, 10, 60_000, 4).unwrap();
    let mut group = criterion.benchmark_group("window");

    group.bench_function("admitted", |bencher| {
        let (mut counter, mut now) = (Counter::default(), 0);
        bencher.iter(|| {
            now += 700;
            counter.take(&limit, black_box(now), 1)
        });
    });

    let mut full = Counter::default();
    let mut now = 0;
    for step in 0..2_000 {
        now = step * 100;
        full.take(&limit, now, 1);
    }
    group.bench_function("refused", |bencher| bencher.iter(|| full.fits(&limit, black_box(now), 1)));
    group.bench_function("retry_after", |bencher| {
        bencher.iter(|| full.retry_after(&limit, black_box(now), 1))
    });

    let store = MemoryStore::new(100_000, Clock::Real);
    let charge = Charge { limit, cost: 1, group: Charge::BINDING };
    let asks: Vec<[KeyedCharge; 1]> = (0..1_000)
        .map(|client| [KeyedCharge { key: format!("{{{client}}}:rule:60000:4"), charge }])
        .collect();
    let mut next = asks.iter().cycle();
    group.bench_function("memory store, one of 1,000 clients", |bencher| {
        bencher.iter(|| next.next().map(|asks| store.take(asks)));
    });
    group.finish();
}

criterion_group!(benches, window);
criterion_main!(benches);
