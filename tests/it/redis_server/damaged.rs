//! Counters that hold what no script wrote: read alike by Redis and by tidegate, and never larger than a counter may be.

use bb8_redis::redis::Value;
use rand_mt::Mt;
use tidegate::clock::{Clock, Driven};
use tidegate::store::{Decision, KeyedCharge, RedisStore};
use tidegate::window::{Charge, Counter, Limit};

use crate::harness::Redis;

const NOW: i64 = 1_700_000_000_000;
const KEY: &str = "{client}:rule";
/// As it is called in Redis.
const STORED: &str = "tg:{client}:rule";

/// Sets a key to the bytes that hexadecimal digits stand for.
const SET: &str = "local byte = function(digits) return string.char(tonumber(digits, 16)) end
    return redis.call('SET', KEYS[1], (string.gsub(ARGV[1], '..', byte)))";

struct Random(Mt);

impl Random {
    fn up_to(&mut self, most: i64) -> i64 {
        i64::try_from(self.0.next_u64() % (u64::try_from(most).unwrap() + 1)).unwrap()
    }

    /// A number of so many bits, small ones as likely as large ones.
    fn bits(&mut self, most: i64) -> i64 {
        let bits = self.up_to(most);
        self.up_to((1 << bits) - 1)
    }
}

/// A record as long as one of up to 66 buckets, of fields that may be anything, or are nearly right.
fn record(random: &mut Random, window_ms: i64) -> Vec<u8> {
    let width = if window_ms < 1 << 22 { 3 } else { 4 };
    let mut raw = Vec::new();
    let mut put = |number: i64, width: usize| raw.extend(&number.to_le_bytes()[..width]);
    let wild = random.up_to(3) == 0;
    let time = |random: &mut Random| if wild { random.bits(8 * 3) } else { random.up_to(window_ms / 40) };
    put(NOW - random.bits(24) + random.bits(18), 6);
    put(random.bits(55), 7);
    put(1 + random.bits(if wild { 31 } else { 4 }), 4);
    put(time(random), width);
    for _ in 0..random.up_to(65) {
        put(time(random), width);
        put(time(random), width);
        let count = if random.up_to(60) == 0 { 0 } else { 1 };
        put(count + random.bits(if wild { 31 } else { 4 }), 4);
    }
    if random.up_to(9) == 0 {
        raw.pop();
    }
    raw
}

async fn taken(store: &RedisStore, limit: Limit) -> Decision {
    let charge = Charge { limit, cost: 1, group: Charge::BINDING };
    store.take(&[KeyedCharge { key: KEY.to_owned(), charge }]).await.remove(0).unwrap()
}

#[tokio::test]
async fn a_damaged_counter_is_treated_as_any_other() {
    let redis = Redis::start().await;
    let clock = Driven::default();
    let store = redis.store("tg", Clock::Driven(clock.clone()));
    let mut random = Random(Mt::new(20_261_127));
    let mut charged = 0;
    for _ in 0..400 {
        let window = if random.up_to(1) == 0 { 60_000 } else { 7_000_000 };
        let digits: String = record(&mut random, window).iter().map(|byte| format!("{byte:02x}")).collect();
        let _: Value = redis.command(&["EVAL", SET, "1", STORED, &digits]).await;
        let mut last: Option<Counter> = None;
        clock.set_ms(NOW);
        for _ in 0..4 {
            let quota = 1 + random.bits(30);
            let limit = Limit::new(quota, 0, window, 1 + random.up_to(63)).unwrap();
            // That both sides decide alike is asserted where the reply is read.
            let decision = taken(&store, limit).await;
            let used = |counter: &Counter| counter.used(&limit, clock.now_ms());
            if let Some(last) = last {
                assert_eq!(used(&decision.before), used(&last), "{:?} {last:?}", decision.before);
            }
            charged += i64::from(decision.taken.charged);
            last = Some(decision.counter);
            if decision.taken.charged {
                let length: usize = redis.command(&["STRLEN", STORED]).await;
                assert!(length <= 21 + 64 * 12, "{length} bytes");
            }
            clock.set_ms(clock.now_ms() + random.up_to(window / 30));
        }
    }
    assert!(charged > 200, "{charged}: hardly any of these counters was written");
}
