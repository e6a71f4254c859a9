//! The real parts that tests are made of. Each starts on a port of its own and ends with its owner.

mod body;
mod cluster;
pub mod h2_wire;
mod process;
mod recorder;
mod redis;
mod relay;
mod reserved_port;
mod sentinel;
mod stream;
mod tls;
mod upstream;
mod wire;

pub use body::{chunks, frames, zeros};
pub use cluster::Cluster;
pub use process::{Finished, Tidegate, command};
pub use recorder::{Message, Record, Recorder};
pub use redis::{Redis, Setup};
pub use relay::{Network, Relay};
pub use reserved_port::ReservedPort;
pub use sentinel::Sentinels;
pub use stream::Stream;
pub use tls::Certificates;
pub use upstream::{Answer, Dialect, Upstream, full, h2_over};
pub use wire::{Reply, Wire};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::JoinSet;

/// How long a test waits for something that must happen. It costs nothing where things work, so it is long enough for the
/// busiest machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within [`DEADLINE`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            pause().await;
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

#[allow(clippy::disallowed_methods, reason = "the pause between two looks, under a deadline")]
async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// An HTTP/1.1 client of its own connections that follows nothing and waits for a bounded time.
pub fn client() -> reqwest::Client {
    client_builder().build().unwrap()
}

/// The same for HTTP/2 with prior knowledge.
pub fn h2_client() -> reqwest::Client {
    client_builder().http2_prior_knowledge().build().unwrap()
}

/// A client with another address than the others': `127.0.0.2`.
pub fn client_from(address: &str) -> reqwest::Client {
    client_builder().local_address(address.parse::<IpAddr>().unwrap()).build().unwrap()
}

/// How many requests of a [`flood`] are under way at once.
const AT_ONCE: usize = 32;

/// Sends `count` requests as fast as it can, and tells how often each status came.
pub async fn flood(count: usize, request: impl Fn(usize) -> reqwest::RequestBuilder) -> BTreeMap<u16, usize> {
    let mut under_way = JoinSet::new();
    let mut statuses = BTreeMap::new();
    let mut note = |status: u16| *statuses.entry(status).or_default() += 1;
    for number in 0..count {
        if under_way.len() == AT_ONCE {
            note(under_way.join_next().await.unwrap().unwrap());
        }
        let request = request(number);
        under_way.spawn(async move {
            let answer = request.send().await.expect("a request got no answer");
            let status = answer.status().as_u16();
            answer.bytes().await.expect("an answer broke off");
            status
        });
    }
    while let Some(status) = under_way.join_next().await {
        note(status.unwrap());
    }
    statuses
}

/// The rule that `RateLimit` names, and how many requests it says are left.
pub fn standing(headers: &http::HeaderMap) -> Option<(String, i64)> {
    let value = headers.get("ratelimit")?.to_str().ok()?;
    let (name, rest) = value.strip_prefix('"')?.split_once('"')?;
    let left = rest.split(';').find_map(|pair| pair.strip_prefix("r="))?;
    Some((name.to_owned(), left.parse().ok()?))
}

fn client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder().no_proxy().timeout(DEADLINE).redirect(reqwest::redirect::Policy::none())
}
