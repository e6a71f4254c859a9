//! What a client may cost: each bound ends what is beyond it, is counted, and leaves the others alone.

mod application;
mod connections;
mod floods;
mod overloaded;
mod parked;
mod slow;
mod stalled;

use crate::harness::{Tidegate, Upstream, client, eventually};

/// tidegate in front of this application, with these bounds.
async fn bounded(upstream: &Upstream, bounds: &str) -> Tidegate {
    let rules = "store: { memory: {} }\nrules: [{ name: x, rate: 1000000/s }]";
    Tidegate::described(&format!("upstream: {}\nbounds: {{ {bounds} }}\n{rules}", upstream.url())).await
}

/// How often a bound has been exceeded.
async fn exceeded(tidegate: &Tidegate, bound: &str) -> f64 {
    let series = format!("tidegate_bound_exceeded_total{{bound=\"{bound}\"}}");
    tidegate.metric(&series).await.unwrap_or_default()
}

/// Waits until it has been exceeded so often.
async fn is_counted(tidegate: &Tidegate, bound: &str, times: f64) {
    eventually(&format!("{bound} to be counted {times} times"), async || {
        (exceeded(tidegate, bound).await >= times).then_some(())
    })
    .await;
    assert_eq!(exceeded(tidegate, bound).await, times, "{bound}");
}

/// Somebody else is served as ever.
async fn others_are_served(tidegate: &Tidegate) {
    let answer =
        client().post(tidegate.url("/")).body("x").send().await.expect("another client is not served");
    assert_eq!((answer.status().as_u16(), &*answer.text().await.unwrap()), (200, "ok"));
}
