//! The parts of a limit that instances take when they cannot ask each other: they add up to it.

use proptest::prelude::*;
use tidegate::window::{Counter, Limit, Traffic};

const MINUTE: i64 = 60_000;

fn limit(quota: i64, burst: i64) -> Limit {
    Limit::new(quota, burst, MINUTE, 4).unwrap()
}

/// This instance's part, one of four, of so much traffic.
fn part(whole: &Limit, own: i64, all: i64, room: i64) -> Limit {
    whole.part_of_traffic(Traffic { own, all, room }, &whole.equal_part(0, 4))
}

/// A counter of so many units, one every 10 ms.
fn counter(units: i64) -> Counter {
    let mut counter = Counter::default();
    (0..units).for_each(|unit| counter.record(&limit(1_000_000, 0), 10 * unit, 1, 0));
    counter
}

proptest! {
    #[test]
    fn equal_parts_add_up(quota in 1_i64..5_000, burst in 0_i64..500, instances in 1_i64..40, turn in -50_i64..50) {
        let whole = limit(quota, burst);
        let parts: Vec<Limit> = (0..instances).map(|place| whole.equal_part(place + turn, instances)).collect();
        // Everyone has at least 1, so small limits add up to more.
        prop_assert_eq!(parts.iter().map(Limit::quota).sum::<i64>(), quota.max(instances));
        prop_assert_eq!(parts.iter().map(Limit::burst).sum::<i64>(), burst);
        let (least, most) = (parts.iter().map(Limit::quota).min(), parts.iter().map(Limit::quota).max());
        prop_assert!(most.unwrap() - least.unwrap() <= 1);
        prop_assert!(parts.iter().all(|part| (part.window_ms(), part.slices()) == (MINUTE, 4)));
    }

    /// However the traffic of a client at its limit was spread, its parts come to the limit.
    #[test]
    fn a_client_at_its_limit_gets_its_limit(own in prop::collection::vec(0_i64..300, 1..12), above in 0_i64..40) {
        let all: i64 = own.iter().sum();
        prop_assume!(all > above);
        let whole = limit(all - above, 50);
        let parts = own.iter().map(|own| part(&whole, *own, all, 0));
        let (quota, burst) = parts.fold((0, 0), |(quota, burst), part| (quota + part.quota(), burst + part.burst()));
        // Rounding, and at least 1 for everybody.
        let instances = i64::try_from(own.len()).unwrap();
        prop_assert!((quota - whole.quota()).abs() <= instances, "{quota} of {}", whole.quota());
        prop_assert!((burst - 50).abs() <= instances / 2 + 1, "{burst}");
        if above == 0 {
            let idle = own.iter().filter(|own| **own == 0).count();
            prop_assert_eq!(quota, whole.quota() + i64::try_from(idle).unwrap());
        }
    }

    /// Each of them allows for chance, and together they must not allow a client near its limit much more.
    #[test]
    fn a_client_near_its_limit_gets_a_tenth_more_at_most(each in 1_i64..1_000, instances in 2_i64..40, left in 0_i64..75) {
        let quota = each * instances;
        let (whole, room) = (limit(quota, 0), quota * left / 1_000);
        let (own, all) = (quota - room, (quota - room) * instances);
        let part = whole.part_of_traffic(Traffic { own, all, room }, &whole.equal_part(0, instances));
        let together = part.quota() * instances;
        // Rounding: each may admit part of a unit more.
        prop_assert!(together <= quota + quota / 10 + instances, "{together} of {quota}");
    }

    #[test]
    fn other_slices_leave_the_parts_as_they_are(quota in 1_i64..5_000, burst in 0_i64..500, instances in 1_i64..40) {
        let (whole, finer) = (limit(quota, burst), Limit::new(quota, burst, MINUTE, 64).unwrap());
        for place in 0..instances {
            let part = whole.equal_part(place, instances);
            let changed = part.part_of_changed(&whole, &finer);
            prop_assert_eq!((changed.quota(), changed.burst(), changed.slices()), (part.quota(), part.burst(), 64));
        }
    }

    #[test]
    fn no_part_is_more_than_the_whole(quota in 1_i64..5_000, own in 0_i64..6_000, others in 0_i64..6_000, room in -9_i64..5_000) {
        let whole = limit(quota, 7);
        let part = part(&whole, own, own + others, room);
        prop_assert!((1..=quota).contains(&part.quota()) && (0..=7).contains(&part.burst()));
        if others == 0 {
            prop_assert_eq!(part, whole);
        }
    }
}

#[test]
fn the_largest_limits_have_parts() {
    let whole = limit(i64::from(u32::MAX) - 10, 10);
    let most = i64::from(u32::MAX);
    assert_eq!(part(&whole, most / 2, most - 1, 0).quota(), (most - 9) / 2);
    assert_eq!(part(&whole, most, most, 0), whole);
    assert_eq!(part(&whole, 0, most, 0).quota(), 1);
    assert_eq!(whole.equal_part(i64::MAX, 1), whole);
    assert_eq!(whole.equal_part(0, 0), whole, "nobody else was ever seen");
}

#[test]
fn chance_refuses_nobody_who_has_room() {
    // 240 of 300 a minute, a quarter of them through here, and next minute perhaps some more.
    for own in [40, 60, 80] {
        let part = part(&limit(300, 0), own, 240, 60);
        assert!((90..=120).contains(&part.quota()), "{own}: {}", part.quota());
    }
    // At the limit there is no room for chance.
    assert_eq!(part(&limit(300, 0), 75, 300, 0).quota(), 75);
}

#[test]
fn traffic_before_one_looked_is_not_counted_as_that_of_others() {
    let counter = counter(100);
    assert_eq!(counter.used_since(&limit(100, 0), 1_000, 0), 100);
    assert_eq!(counter.used_since(&limit(100, 0), 1_000, 500), 50);
    assert_eq!(counter.used_since(&limit(100, 0), 1_000, 5_000), 0);
    assert_eq!(counter.used_since(&limit(100, 0), MINUTE + 490, 0), 50);
}

#[test]
fn a_part_owes_its_part_of_the_burst_allowance() {
    let whole = limit(10, 8);
    let mut shared = Counter::default();
    assert_eq!((0..20).filter(|_| shared.take(&whole, 0, 1)).count(), 18, "quota and burst");
    let mut own = counter(9);
    let part = part(&whole, 9, 18, 0);
    own.owe_part(&shared, &whole, &part, MINUTE / 2);
    // Half a minute later half of the debt is paid back, in the part as in the whole.
    assert_eq!((part.burst(), own.debt()), (4, 2 * MINUTE));
    // Its arrivals expire with those of the whole, and then it may admit its part again.
    assert!(!own.fits(&part, MINUTE - 1, 5));
    assert_eq!(own.remaining(&part, 2 * MINUTE), part.quota() + part.burst());
}
