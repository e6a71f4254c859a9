//! What a counter costs Redis.

use futures_util::future::join_all;
use tidegate::clock::{Clock, Driven};
use tidegate::store::{KeyedCharge, Store};
use tidegate::window::{Charge, Limit};

use crate::harness::{Redis, Tidegate, Upstream, client};

/// Sizes depend on when requests arrive: more clients would show nothing else.
const CLIENTS: usize = 60;
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

fn ask(client: usize, (rule, quota, burst): (&str, i64, i64), window_ms: i64) -> KeyedCharge {
    let limit = Limit::auto(quota, burst, window_ms).unwrap();
    let key = format!("{{{}}}:{rule}:{window_ms}:4", address(client));
    KeyedCharge { key, charge: Charge { limit, cost: 1, group: Charge::BINDING } }
}

fn asks(client: usize, window_ms: i64) -> Vec<KeyedCharge> {
    SHIPPED.into_iter().map(|rule| ask(client, rule, window_ms)).collect()
}

/// Each client sends this percentage of each limit, at random times of two windows. Returns the bytes of each counter that is left.
async fn usage(percent: i64, window_ms: i64) -> Vec<i64> {
    const STEPS: i64 = 240;
    let (redis, clock, mut random) = (Redis::start().await, Driven::default(), fastrand::Rng::with_seed(7));
    let store = Store::Redis(redis.store("tidegate", Clock::Driven(clock.clone())));
    let mut arrivals = Vec::new();
    for (client, rule) in (0..CLIENTS).flat_map(|client| SHIPPED.map(|rule| (client, rule))) {
        let count = 2 * percent * rule.1 / 100;
        arrivals.extend((0..count).map(|_| (random.i64(0..STEPS), client, rule)));
    }
    for step in 0..STEPS {
        clock.set_ms(20_000 * DAY + step * 2 * window_ms / STEPS);
        let now = arrivals.iter().filter(|(at, ..)| *at == step);
        let charges: Vec<_> = now.map(|&(_, client, rule)| [ask(client, rule, window_ms)]).collect();
        for batch in charges.chunks(100) {
            for decisions in join_all(batch.iter().map(|ask| store.take(ask))).await {
                assert!(decisions.iter().all(Result::is_ok), "{decisions:?}");
            }
        }
    }
    let script = "local sizes = {}
        for place, key in ipairs(redis.call('KEYS', '*:4')) do sizes[place] = redis.call('MEMORY', 'USAGE', key) end
        return sizes";
    redis.command(&["EVAL", script, "0"]).await
}

fn average(sizes: &[i64]) -> i64 {
    sizes.iter().sum::<i64>() / i64::try_from(sizes.len()).unwrap()
}

#[tokio::test]
async fn a_counter_of_a_client_at_a_third_of_its_limit_takes_200_bytes_on_average() {
    for window_ms in [MINUTE, DAY] {
        let sizes = usage(30, window_ms).await;
        assert!(sizes.len() > CLIENTS * (SHIPPED.len() - 1), "{}", sizes.len());
        assert!(average(&sizes) <= 200, "{} bytes for a window of {window_ms} ms", average(&sizes));
    }
}

#[tokio::test]
async fn a_counter_of_a_client_at_its_limit_takes_450_bytes_at_most() {
    let sizes = usage(120, MINUTE).await;
    assert!(sizes.len() > CLIENTS * (SHIPPED.len() - 1), "{}", sizes.len());
    let largest = *sizes.iter().max().unwrap();
    assert!(largest <= 450, "{largest} bytes");
}

/// A Redis with the counters of two clients that have used each of the shipped rules.
async fn with_shipped_counters() -> Redis {
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
    redis
}

#[tokio::test]
async fn counters_have_the_names_that_were_measured() {
    let redis = with_shipped_counters().await;
    let mut found = redis.counters().await;
    let mut measured: Vec<String> = [6, 7]
        .into_iter()
        .flat_map(|client| asks(client, MINUTE))
        .map(|ask| format!("tidegate:{}", ask.key))
        .collect();
    found.sort();
    measured.sort();
    assert_eq!(found, measured);
}

#[tokio::test]
async fn counters_live_no_longer_than_their_windows() {
    let redis = with_shipped_counters().await;
    for key in redis.counters().await {
        let left: i64 = redis.command(&["PTTL", &key]).await;
        assert!((1..=MINUTE).contains(&left), "{key} lives for {left} ms");
    }
}
