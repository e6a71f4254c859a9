//! A damaged record, and a clock that is behind the counter's last arrival.

use tidegate::window::Counter;

use super::{Bench, NOW, Standing};

#[tokio::test]
async fn a_bucket_of_nothing_is_nothing() {
    super::is_overwritten_packed(NOW - 40_000, 0, 0).await;
}

#[tokio::test]
async fn a_debt_that_is_nearly_paid_is_not_one_of_millennia() {
    let bench = Bench::minute(10, 5).await;
    let instance = bench.instance();
    assert_eq!(bench.takes(&instance, 11).await, 11);
    let last = NOW + 11_999;
    bench.clock.set_ms(last);
    bench.missed(&instance, &super::at(last, 1), 1).await;
    let before = bench.standing(&instance).await;
    bench.clock.set_ms(last - 2_000);
    assert_eq!(bench.standing(&instance).await, before);
    bench.missed(&instance, &super::at(NOW, 1), 2).await;
    let counter = bench.counter(&instance).await;
    assert_eq!(
        bench.standing(&instance).await,
        Standing { used: before.used + 1, remaining: before.remaining - 1 },
        "{counter:?}"
    );
}

#[tokio::test]
async fn what_is_owed_stays_owed_while_the_clock_stands() {
    let bench = Bench::minute(10, 5).await;
    let instance = bench.instance();
    assert_eq!(bench.takes(&instance, 15).await, 15);
    let before = bench.counter(&instance).await;
    bench.clock.set_ms(NOW - 5_000);
    let mut debts = Vec::new();
    for number in 1..4 {
        bench.missed(&instance, &super::at(NOW - 6_000, 1), number).await;
        debts.push(bench.counter(&instance).await.debt());
    }
    assert_eq!(debts, [before.debt(); 3]);
}

#[tokio::test]
async fn what_is_still_there_is_not_put_back_by_a_clock_that_is_behind() {
    let bench = Bench::minute(10, 0).await;
    let instance = bench.instance();
    assert_eq!(bench.takes(&instance, 4).await, 4);
    let seen = bench.counter(&instance).await;
    bench.clock.set_ms(NOW - 5_000);
    bench.told(&instance, &seen, &Counter::default(), 1).await;
    assert_eq!(bench.standing(&instance).await, Standing { used: 4, remaining: 6 });
}
