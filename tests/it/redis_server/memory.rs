//! What a counter costs Redis.

use futures_util::future::join_all;
use tidegate::clock::{Clock, Driven};
use tidegate::store::{KeyedCharge, Store};
use tidegate::window::{Charge, Limit};

use crate::harness::{Redis, Tidegate, Upstream, client};

/// The most bytes that the counter of one client and rule takes, its name included.
const MOST: i64 = 200;
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// The rules of `configs/rate_limits.yaml` with quota and burst, each per minute and client.
const SHIPPED: [(&str, i64, i64); 5] = [
    ("list-tasks", 100, 10),
    ("create-task", 30, 5),
    ("update-task", 60, 10),
    ("import-prd", 5, 2),
    ("suggest-tasks", 10, 3),
];

/// Clients of the longest addresses, IPv4 and IPv6 in turn.
fn address(client: usize) -> String {
    let [third, fourth] = [client / 100, client % 100];
    match client % 2 {
        0 => format!("203.{}.{}.{}", 100 + third / 100, 100 + third % 100, 100 + fourth),
        _ => format!("fd12:3456:{:x}:{:x}::/64", 0x1000 + third, 0xa000 + fourth),
    }
}

fn asks(client: usize, window_ms: i64) -> Vec<KeyedCharge> {
    let ask = |(rule, quota, burst): (&str, i64, i64)| {
        let limit = Limit::new(quota, burst, window_ms, 4).unwrap();
        let key = format!("{{{}}}:{rule}:{window_ms}:4", address(client));
        KeyedCharge { key, charge: Charge { limit, cost: 1, group: Charge::BINDING } }
    };
    SHIPPED.into_iter().map(ask).collect()
}

/// Charges every rule of so many clients in five slices of one window.
async fn fill(redis: &Redis, clients: usize, window_ms: i64) {
    let clock = Driven::default();
    let store = Store::Redis(redis.store("tidegate", Clock::Driven(clock.clone())));
    // The first still counts when the last arrives. A bucket may hold several: that takes no more.
    for sixtieth in [14, 16, 31, 46, 61, 62] {
        clock.set_ms(20_000 * DAY + window_ms * sixtieth / 60);
        for batch in (0..clients).collect::<Vec<_>>().chunks(100) {
            let answers = batch.iter().map(async |&client| {
                let asks = asks(client, window_ms);
                let answer = store.take(&asks).await;
                let decided =
                    answer.iter().filter(|decision| decision.as_ref().unwrap().taken.charged).count();
                // The narrowest rule has room for 7.
                assert_eq!(decided, SHIPPED.len());
            });
            join_all(answers).await;
        }
    }
}

/// Bytes of each key, the smallest first. The values are that long.
async fn usage(redis: &Redis, value: &str) -> Vec<i64> {
    let script = "local sizes = {}
        for place, key in ipairs(redis.call('KEYS', '*:4')) do
            assert(redis.call('STRLEN', key) == tonumber(ARGV[1]), 'not five buckets')
            sizes[place] = redis.call('MEMORY', 'USAGE', key)
        end
        table.sort(sizes)
        return sizes";
    redis.command(&["EVAL", script, "0", value]).await
}

#[tokio::test]
async fn a_counter_takes_no_more_than_200_bytes() {
    // Sizes differ by the lengths of names alone: more clients would show no more.
    let clients = 300;
    for (window_ms, value) in [(MINUTE, "60"), (DAY, "69")] {
        let redis = Redis::start().await;
        fill(&redis, clients, window_ms).await;
        let sizes = usage(&redis, value).await;
        assert_eq!(sizes.len(), clients * SHIPPED.len());
        let largest = *sizes.last().unwrap();

        assert!(largest <= MOST, "{largest} bytes for a window of {window_ms} ms");
    }
}

#[tokio::test]
async fn counters_have_the_names_that_were_measured_and_live_no_longer_than_their_windows() {
    let (upstream, redis) = (Upstream::start().await, Redis::start().await);
    let shipped = include_str!("../../../configs/rate_limits.yaml");
    let config = shipped
        .replace(r#"#~ trusted_proxies: [10.0.0.0/8, "fd00::/8"]"#, "trusted_proxies: [127.0.0.1]")
        .replace("timeout: 20ms", "timeout: 10s");
    let redis_flag = format!("--redis={}", redis.url());
    let tidegate = Tidegate::configured_with(upstream.address, &config, &[&redis_flag]).await;
    let client = client();
    for place in [6, 7] {
        for (method, path) in [
            ("GET", "/api/v1/tasks"),
            ("POST", "/api/v1/tasks"),
            ("PATCH", "/api/v1/tasks/7"),
            ("POST", "/api/v1/prd/import"),
            ("POST", "/api/v1/tasks/suggest"),
        ] {
            let whole = address(place).replace("::/64", ":1:2:3:4");
            let request = client.request(method.parse().unwrap(), tidegate.url(path));
            assert_eq!(request.header("X-Forwarded-For", whole).send().await.unwrap().status(), 200);
        }
    }
    let mut found = redis.counters().await;
    let mut measured: Vec<String> = [6, 7]
        .into_iter()
        .flat_map(|client| asks(client, MINUTE))
        .map(|ask| format!("tidegate:{}", ask.key))
        .collect();
    found.sort();
    measured.sort();
    assert_eq!(found, measured);
    for key in found {
        let left: i64 = redis.command(&["PTTL", &key]).await;
        assert!((1..=MINUTE).contains(&left), "{key} lives for {left} ms");
    }
}
