//! How much the limiter admits, against an exact sliding log, for the traffic shapes of [`shapes`].
//!
//! ```text
//! cargo run --release --example accuracy -- memory 1 2 3 4          these seeds, all rows
//! cargo run --release --example accuracy -- redis 1 2 3 4           the same in Redis, a sample of the rows
//! ```
//! accuracy = 1 - |admitted - admitted by the exact log| / offered. Beside it, in brackets, the most that any
//! true window admitted, as a multiple of the limit. The clock is driven: nothing waits.

#![allow(clippy::print_stdout, reason = "printing is what it does")]
#![allow(clippy::cast_precision_loss, reason = "percentages")]
#![allow(clippy::expect_used, clippy::panic, reason = "without Redis there is nothing to measure")]

#[path = "../../benches/cost/server.rs"]
mod server;
mod shapes;

use std::time::Duration;

use anyhow::{Context as _, bail};
use bb8_redis::redis::RedisConnectionInfo;
use server::Server;
use shapes::{ADVERSARY, ExactLog, Random, peak, shapes};
use tidegate::clock::{Clock, Driven};
use tidegate::settings::{Credentials, RedisSettings, RedisTopology, ServerAddress};
use tidegate::store::{Access, KeyedCharge, MemoryStore, RedisStore, Store};
use tidegate::window::{Charge, Limit, Slices};

const WINDOW_MS: i64 = 60_000;
/// What `slices: auto` must reach over all seeds, in per cent.
const MEAN: f64 = 99.95;
const WORST: f64 = 99.5;

/// How much of the table to run.
struct Extent {
    quotas: &'static [i64],
    slices: &'static [Slices],
    windows: fn(i64) -> i64,
}

const WHOLE: Extent = Extent {
    quotas: &[5, 7, 10, 13, 30, 60, 100, 300, 1000],
    slices: &[Slices::Exactly(1), Slices::Exactly(4), Slices::Auto],
    windows: |quota| if quota >= 1000 { 60 } else { 200 },
};
const SAMPLE: Extent = Extent { quotas: &[5, 10, 30], slices: &[Slices::Auto], windows: |_| 200 };

/// What was measured of `slices: auto`.
#[derive(Default)]
struct Results {
    /// In per cent, of all rows but the adversaries.
    accuracies: Vec<f64>,
    /// Rows in which a span that is shorter than the window by one slice admitted more than the limit.
    exceeded: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let clock = Driven::default();
    let mut arguments = std::env::args().skip(1);
    let (store, extent, _server) = match arguments.next().as_deref().unwrap_or("memory") {
        "memory" => (Store::Memory(MemoryStore::new(100_000, Clock::Driven(clock.clone()))), WHOLE, None),
        "redis" => {
            let server = Server::start().await;
            (Store::Redis(redis(server.port, &clock)), SAMPLE, Some(server))
        }
        other => bail!("expected memory or redis, not '{other}'"),
    };
    let mut seeds = Vec::new();
    for seed in arguments {
        seeds.push(seed.parse().with_context(|| format!("invalid seed '{seed}'"))?);
    }
    if seeds.is_empty() {
        seeds.push(1);
    }

    let mut results = Results::default();
    for &seed in &seeds {
        table(&store, &clock, &extent, seed, &mut results).await?;
    }
    let Results { accuracies, exceeded } = results;
    let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
    let worst = accuracies.iter().copied().fold(f64::INFINITY, f64::min);
    println!("seeds {seeds:?}, slices: auto, adversaries apart: mean {mean:.3} %, worst {worst:.2} %");
    if mean < MEAN || worst < WORST {
        bail!("the mean must be at least {MEAN} %, the worst at least {WORST} %");
    }
    if !exceeded.is_empty() {
        bail!("more than the limit within a window without one slice: {}", exceeded.join(", "));
    }
    Ok(())
}

fn redis(port: u16, clock: &Driven) -> RedisStore {
    let login = RedisConnectionInfo::default();
    let access = Access { server: login.clone(), sentinel: login, tls: None };
    let settings = RedisSettings {
        topology: RedisTopology::Standalone(ServerAddress { host: "127.0.0.1".to_owned(), port }),
        database: 0,
        credentials: Credentials::default(),
        sentinel_credentials: Credentials::default(),
        tls: None,
        timeout: Duration::from_secs(5),
        key_prefix: "accuracy".to_owned(),
        connections: 1,
        instances: 1,
    };
    RedisStore::new(&settings, access, Clock::Driven(clock.clone()))
}

/// Prints the rows of one seed.
async fn table(
    store: &Store,
    clock: &Driven,
    extent: &Extent,
    seed: u32,
    results: &mut Results,
) -> anyhow::Result<()> {
    print!("{:38}", format!("seed {seed}: accuracy % (peak) by slices"));
    for slices in extent.slices {
        let name = match slices {
            Slices::Auto => "auto".to_owned(),
            Slices::Exactly(slices) => slices.to_string(),
        };
        print!("{:>15}", format!("slices={name}"));
    }
    println!();
    for &quota in extent.quotas {
        let mut random = Random::new(seed * 1000 + u32::try_from(quota)?);
        for (shape, arrivals) in shapes(quota, WINDOW_MS, (extent.windows)(quota), &mut random) {
            let mut log = ExactLog::new(quota, WINDOW_MS);
            let exact = arrivals.iter().filter(|&&at| log.take(at)).count();
            print!("{:38}", format!("limit={quota:<5} {shape}"));
            for &slices in extent.slices {
                let number = slices.number(quota, 0, WINDOW_MS);
                let limit = Limit::new(quota, 0, WINDOW_MS, number)?;
                let key = format!("{{{shape}}}:{seed}:{quota}:{slices:?}");
                let admitted = offer(store, clock, &key, limit, &arrivals).await?;
                let accuracy = 100.0 * (1.0 - admitted.len().abs_diff(exact) as f64 / arrivals.len() as f64);
                let most = peak(&admitted, WINDOW_MS) as f64 / quota as f64;
                print!("{:>15}", format!("{accuracy:.2} ({most:.2})"));
                if slices != Slices::Auto {
                    continue;
                }
                if !shape.starts_with(ADVERSARY) {
                    results.accuracies.push(accuracy);
                }
                let strict = limit.strict_span_ms().map_or(0, |span_ms| peak(&admitted, span_ms));
                if i64::try_from(strict)? > quota {
                    results.exceeded.push(format!("limit={quota} {shape}, seed {seed}: {strict}"));
                }
            }
            println!();
        }
    }
    Ok(())
}

/// Offers all arrivals; returns those that were admitted.
async fn offer(
    store: &Store,
    clock: &Driven,
    key: &str,
    limit: Limit,
    arrivals: &[i64],
) -> anyhow::Result<Vec<i64>> {
    let asks =
        [KeyedCharge { key: key.to_owned(), charge: Charge { limit, cost: 1, group: Charge::BINDING } }];
    let mut admitted = Vec::new();
    for &at in arrivals {
        clock.set_ms(at);
        for decision in store.take(&asks).await {
            if decision?.taken.charged {
                admitted.push(at);
            }
        }
    }
    Ok(admitted)
}
