//! Redis on one server, as clients and operators of tidegate notice it.

mod acl;
mod bench;
mod damaged;
mod faults;
mod given_back;
mod impostor;
mod instances;
mod late;
mod memory;
mod remembered;
mod rotation;
mod security;
mod settle;
mod strangers;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::harness::{Redis, Tidegate, Upstream, client, eventually, standing};

const UP: &str = "tidegate_store_up";
/// What the log reports at the start of an outage, and at its end.
const DOWN: &str = "redis unavailable";
const WELL: &str = "redis available again";

/// Settings of a store, patient enough for a busy machine, and two rules of that many an hour and client: `/open` lets
/// pass what it cannot check, `/closed` does not. A third one is for looking whether the store decides.
fn settings(redis: &str, quota: usize) -> String {
    format!(
        "store: {{ redis: {{ timeout: 3s, {redis} }} }}
rules:
  - {{ name: open, match: {{ path: /open }}, key: ['header:X-Client'], rate: {quota}/h, on_outage: open }}
  - {{ name: closed, match: {{ path: /closed }}, key: ['header:X-Client'], rate: {quota}/h, on_outage: closed }}
  - {{ name: scout, match: {{ path: /scout }}, rate: 1000000/h, on_outage: open }}
"
    )
}

/// tidegate in front of an upstream, with its counters in this Redis.
async fn counting_in(redis: &Redis, quota: usize) -> (Upstream, Tidegate) {
    configured(&settings(&format!("url: '{}'", redis.url()), quota)).await
}

/// tidegate in front of an upstream.
async fn configured(config: &str) -> (Upstream, Tidegate) {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, config).await;
    (upstream, tidegate)
}

/// What a client received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    status: u16,
    /// How many requests are left, if the request was counted or refused.
    left: Option<i64>,
    retry_after: Option<u64>,
}

/// One client of tidegate.
struct Visitor<'a> {
    tidegate: &'a Tidegate,
    http: reqwest::Client,
    name: String,
}

impl<'a> Visitor<'a> {
    fn of(tidegate: &'a Tidegate, name: &str) -> Self {
        Self { tidegate, http: client(), name: name.to_owned() }
    }

    /// A client that is new.
    fn new(tidegate: &'a Tidegate) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self::of(tidegate, &format!("visitor-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
    }

    fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(self.tidegate.url(path)).header("X-Client", &self.name)
    }

    async fn ask(&self, path: &str) -> Told {
        let answer = self.request(path).send().await.unwrap();
        let retry_after = answer.headers().get("retry-after").map(|value| value.to_str().unwrap());
        Told {
            status: answer.status().as_u16(),
            left: standing(answer.headers()).map(|(_, left)| left),
            retry_after: retry_after.map(|seconds| seconds.parse().unwrap()),
        }
    }

    async fn status(&self, path: &str) -> u16 {
        self.ask(path).await.status
    }
}

/// Waits until the store decides, and the end of the outage, if there was one, is logged.
async fn decides(tidegate: &Tidegate) {
    let scout = Visitor::new(tidegate);
    eventually("the store to decide", async || {
        scout.ask("/scout").await.left?;
        let told = tidegate.logged(DOWN).len() == tidegate.logged(WELL).len();
        (told && tidegate.metric(UP).await == Some(1.0)).then_some(())
    })
    .await;
}

/// Waits until rules apply their outage policy, for a reason like this. `/status` gives the latest one: the log has that of
/// the beginning, which is a late reply where the machine is busy.
async fn does_without_because(tidegate: &Tidegate, outages: usize, is_like_this: impl Fn(&str) -> bool) {
    does_without(tidegate, outages).await;
    eventually("the reason of the outage to be another one", async || {
        let status = client().get(tidegate.ops_url("/status")).send().await.unwrap();
        let status: Value = status.json().await.unwrap();
        let mut servers = status["store"]["servers"].as_array().unwrap().iter();
        servers.find(|server| server["error"].as_str().is_some_and(&is_like_this)).map(drop)
    })
    .await;
}

/// Waits until rules apply their outage policy. Returns the reason that the log gives. This is the
/// outage of that number, and nothing else was logged.
async fn does_without(tidegate: &Tidegate, outages: usize) -> String {
    eventually("the store not to decide", async || {
        let visitor = Visitor::new(tidegate);
        let (open, closed) = tokio::join!(visitor.ask("/open"), visitor.ask("/closed"));
        assert_eq!(open.status, 200, "an outage of Redis became one of the upstream");
        assert!([200, 503].contains(&closed.status), "{closed:?}");
        let unchecked = open.left.is_none() && closed.status == 503;
        (unchecked && tidegate.metric(UP).await == Some(0.0)).then_some(())
    })
    .await;
    let told = async || Some(tidegate.logged(DOWN)).filter(|lines| lines.len() >= outages);
    let lines = eventually("the log line", told).await;
    assert_eq!(lines.len(), outages, "{lines:#?}");
    assert_eq!(tidegate.logged(WELL).len(), outages - 1);
    lines[outages - 1]["error"].as_str().unwrap().to_owned()
}
