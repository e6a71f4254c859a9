//! A call that Redis executes after its caller gave up counts nothing.

use futures_util::future::join_all;

use super::{Visitor, counting_in, decides};
use crate::harness::{Redis, eventually};

/// More than is used up.
const QUOTA: usize = 1_000;

#[tokio::test]
async fn what_passed_unchecked_while_redis_hung_is_not_counted_afterwards() {
    let redis = Redis::start().await;
    let (_upstream, tidegate) = counting_in(&redis, QUOTA).await;
    let visitor = Visitor::new(&tidegate);
    for _ in 0..5 {
        assert!(visitor.ask("/open").await.left.is_some());
    }
    redis.signal("STOP");
    eventually("redis-server to stop", async || (!redis.runs()).then_some(())).await;
    // The first ones are sent, and wait in the socket of Redis; later ones find no connection that replies.
    for _ in 0..2 {
        let answers = join_all((0..20).map(|_| visitor.ask("/open"))).await;
        assert!(answers.iter().all(|told| (told.status, told.left) == (200, None)), "{answers:?}");
    }
    redis.signal("CONT");
    decides(&tidegate).await;
    let left = visitor.ask("/open").await.left.unwrap();
    assert_eq!(QUOTA - 1 - usize::try_from(left).unwrap(), 5, "what Redis executed late is counted");
}
