//! How much the limiter admits, against an exact sliding log, for the traffic shapes of [`shapes`].
//!
//! ```text
//! cargo run --release --example accuracy -- memory 1                          seed 1
//! cargo run --release --example accuracy -- redis://127.0.0.1:6379/0 1        a sample of the rows
//! ```
//! accuracy = 1 - |admitted - admitted by the exact log| / offered. Beside it, in brackets, the most that any
//! true window admitted, as a multiple of the limit. The clock is driven: nothing waits.

#![allow(clippy::print_stdout, reason = "printing is what it does")]
#![allow(clippy::cast_precision_loss, reason = "percentages")]

mod shapes;

use std::time::Duration;

use anyhow::{Context as _, bail};
use bb8_redis::redis::{ConnectionAddr, IntoConnectionInfo as _};
use shapes::{ADVERSARY, ExactLog, Random, peak, shapes};
use tidegate::clock::{Clock, Driven};
use tidegate::settings::{Credentials, RedisSettings, RedisTopology, ServerAddress};
use tidegate::store::{Access, KeyedCharge, MemoryStore, RedisStore, Store};
use tidegate::window::{Charge, Limit};

const WINDOW_MS: i64 = 60_000;
/// What the default must reach, in per cent.
const MEAN: f64 = 99.5;
const WORST: f64 = 98.5;

/// How much of the table to run.
struct Extent {
    quotas: &'static [i64],
    slices: &'static [i64],
    windows: fn(i64) -> i64,
}

const WHOLE: Extent = Extent {
    quotas: &[5, 10, 30, 60, 100, 1000],
    slices: &[1, 2, 4, 8],
    windows: |quota| if quota >= 1000 { 60 } else { 200 },
};
const SAMPLE: Extent = Extent { quotas: &[5, 10, 30], slices: &[Limit::DEFAULT_SLICES], windows: |_| 200 };

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let clock = Driven::default();
    let (store, seed) = (std::env::args().nth(1), std::env::args().nth(2));
    let seed: u32 = seed.as_deref().unwrap_or("1").parse().context("the seed is no number")?;
    let (store, extent) = match store.as_deref().unwrap_or("memory") {
        "memory" => (Store::Memory(MemoryStore::new(100_000, Clock::Driven(clock.clone()))), WHOLE),
        url => {
            let server = url.into_connection_info().context("not a Redis URL")?;
            let ConnectionAddr::Tcp(host, port) = server.addr().clone() else { bail!("not a redis:// URL") };
            let login = server.redis_settings().clone();
            let access = Access { server: login.clone(), sentinel: login, tls: None };
            let settings = RedisSettings {
                topology: RedisTopology::Standalone(ServerAddress { host, port }),
                database: 0,
                credentials: Credentials::default(),
                sentinel_credentials: Credentials::default(),
                tls: None,
                timeout: Duration::from_secs(5),
                // Another run's counters would be taken for this one's.
                key_prefix: format!("accuracy-{}", std::process::id()),
                connections: 1,
                instances: 1,
            };
            (Store::Redis(RedisStore::new(&settings, access, Clock::Driven(clock.clone()))), SAMPLE)
        }
    };
    print!("{:38}", "accuracy % (peak) by slices");
    for slices in extent.slices {
        print!("{:>15}", format!("slices={slices}"));
    }
    println!();

    let mut by_default: Vec<f64> = Vec::new();
    for &quota in extent.quotas {
        let mut random = Random::new(seed * 1000 + u32::try_from(quota)?);
        for (shape, arrivals) in shapes(quota, WINDOW_MS, (extent.windows)(quota), &mut random) {
            let mut log = ExactLog::new(quota, WINDOW_MS);
            let exact = arrivals.iter().filter(|&&at| log.take(at)).count();
            print!("{:38}", format!("limit={quota:<5} {shape}"));
            for &slices in extent.slices {
                let limit = Limit::new(quota, 0, WINDOW_MS, slices)?;
                let admitted =
                    offer(&store, &clock, &format!("{{{shape}}}:{quota}:{slices}"), limit, &arrivals).await?;
                let accuracy = 100.0 * (1.0 - admitted.len().abs_diff(exact) as f64 / arrivals.len() as f64);
                let most = peak(&admitted, WINDOW_MS) as f64 / quota as f64;
                print!("{:>15}", format!("{accuracy:.2} ({most:.2})"));
                if slices == Limit::DEFAULT_SLICES && !shape.starts_with(ADVERSARY) {
                    by_default.push(accuracy);
                }
            }
            println!();
        }
    }

    let mean = by_default.iter().sum::<f64>() / by_default.len() as f64;
    let worst = by_default.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "seed {seed}, {} slices, adversaries apart: mean {mean:.2} %, worst {worst:.2} %",
        Limit::DEFAULT_SLICES
    );
    if mean <= MEAN || worst <= WORST {
        bail!("the mean must be above {MEAN} %, the worst above {WORST} %");
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
