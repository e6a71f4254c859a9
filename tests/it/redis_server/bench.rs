//! The benchmarks call the script of tidegate by themselves: see `benches/cost/take.rs`.

use bb8_redis::redis::{Client, Value};

use crate::harness::Redis;

#[path = "../../../benches/cost/take.rs"]
mod take;

#[tokio::test]
async fn the_call_of_the_benchmarks_counts_up_to_the_rate() {
    let (redis, script) = (Redis::start().await, take::script());
    let client = Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let _: String = script.load_async(&mut connection).await.unwrap();
    let mut admitted = Vec::new();
    for _ in 0..4 {
        let call = take::call(script.get_hash(), b"client", 2);
        let (_now_ms, charged, _before): (i64, i64, Value) = call.query_async(&mut connection).await.unwrap();
        admitted.push(charged);
    }
    assert_eq!(admitted, [1, 1, 0, 0]);
    let lives: i64 = redis.command(&["PTTL", "client"]).await;
    assert!((1..=60_000).contains(&lives), "{lives}");
}
