//! The Redis store against the usual ways to call the same script, with 64 tasks that each wait for their reply:
//! one connection that all share (multiplexed), and a pool with one command per checkout. Rounds are interleaved, so
//! that what else the machine does meets all alike: compare within one run.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot run reports it and ends"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bb8_redis::bb8::Pool;
use bb8_redis::redis::aio::ConnectionLike as _;
use bb8_redis::redis::{Cmd, RedisConnectionInfo, Script, Value, cmd};
use bb8_redis::{RedisConnectionManager, redis};
use server::Server;
use tidegate::clock::{Clock, Stopwatch};
use tidegate::settings::{Credentials, RedisSettings, RedisTopology, ServerAddress};
use tidegate::store::{Access, KeyedCharge, RedisStore};
use tidegate::window::{Charge, Limit};

#[path = "cost/server.rs"]
mod server;
#[path = "cost/take.rs"]
mod take;

const TASKS: u64 = 64;
const CHECKS: u64 = 120_000;
const ROUNDS: usize = 5;
const CLIENTS: u64 = 1_000;
const CONNECTIONS: u32 = 4;

/// A way to ask Redis.
#[derive(Clone)]
enum Way {
    Batching(Arc<RedisStore>),
    Multiplexed(redis::aio::MultiplexedConnection),
    PerCheckout(Pool<RedisConnectionManager>),
}

/// One round of one way.
#[derive(Clone, Copy)]
struct Figures {
    checks_per_second: f64,
    client_us: f64,
    redis_us: f64,
    /// Times that Redis read from a socket, per check.
    reads: f64,
}

#[tokio::main]
async fn main() {
    // `cargo test --benches` only checks that it starts.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let server = Server::start().await;
    let client = redis::Client::open(server.url()).expect("the URL is one");
    let manager = RedisConnectionManager::new(server.url()).expect("the URL is one");
    let pool = Pool::builder().max_size(CONNECTIONS).build(manager).await.expect("Redis is there");
    let ways = [
        ("queue into pipelines", Way::Batching(Arc::new(server.store()))),
        (
            "one multiplexed connection",
            Way::Multiplexed(client.get_multiplexed_async_connection().await.expect("Redis is there")),
        ),
        ("one command per checkout", Way::PerCheckout(pool)),
    ];
    let mut rounds: Vec<Vec<Figures>> = ways.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for ((_, way), rounds) in ways.iter().zip(&mut rounds) {
            rounds.push(round(way, &server).await);
        }
    }
    println!("{TASKS} tasks, medians of {ROUNDS} rounds of {CHECKS} checks");
    println!(
        "{:28}{:>12}{:>17}{:>16}{:>14}",
        "", "checks/s", "client us/check", "Redis us/check", "reads/check"
    );
    let medians: Vec<Figures> = rounds.iter().map(|rounds| median(rounds)).collect();
    for ((name, _), figures) in ways.iter().zip(&medians) {
        let Figures { checks_per_second, client_us, redis_us, reads } = figures;
        println!("{name:28}{checks_per_second:>12.0}{client_us:>17.2}{redis_us:>16.2}{reads:>14.3}");
    }
    if let [batching, others @ ..] = &medians[..] {
        for ((name, _), other) in ways.iter().skip(1).zip(others) {
            let faster = batching.checks_per_second / other.checks_per_second;
            let cheaper = other.client_us / batching.client_us;
            println!("against {name}: {faster:.2} times the checks, client CPU {cheaper:.2} times less");
        }
    }
}

/// Sends the checks by one way.
async fn round(way: &Way, server: &Server) -> Figures {
    let reads = server.reads().await;
    let (mine, redis) = (cpu_seconds(std::process::id()), cpu_seconds(server.child.id()));
    let (watch, next) = (Stopwatch::start(), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (mut way, next) = (way.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let check = next.fetch_add(1, Ordering::Relaxed);
                    if check >= CHECKS {
                        return;
                    }
                    way.check(check % CLIENTS).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no check fails");
    }
    let (seconds, checks) = (watch.seconds(), CHECKS as f64);
    Figures {
        checks_per_second: checks / seconds,
        client_us: (cpu_seconds(std::process::id()) - mine) * 1e6 / checks,
        redis_us: (cpu_seconds(server.child.id()) - redis) * 1e6 / checks,
        reads: (server.reads().await - reads) / checks,
    }
}

impl Way {
    async fn check(&mut self, client: u64) {
        match self {
            Self::Batching(store) => {
                let limit = Limit::auto(1_000_000, 0, 60_000).expect("it is a limit");
                let charge = Charge { limit, cost: 1, group: Charge::BINDING };
                let asks = [KeyedCharge { key: format!("{{{client}}}:bench:60000:4"), charge }];
                let answer = store.take(&asks).await;
                let charged =
                    answer.iter().all(|decision| decision.as_ref().is_ok_and(|it| it.taken.charged));
                assert!(charged, "{answer:?}");
            }
            Self::Multiplexed(connection) => {
                let reply = connection.req_packed_command(&call(client)).await;
                assert!(matches!(reply, Ok(Value::Array(_))), "{reply:?}");
            }
            Self::PerCheckout(pool) => {
                let mut connection = pool.get().await.expect("there is a connection");
                let reply = connection.req_packed_command(&call(client)).await;
                assert!(matches!(reply, Ok(Value::Array(_))), "{reply:?}");
            }
        }
    }
}

/// The call that the store makes for the same check.
fn call(client: u64) -> Cmd {
    static TAKE: LazyLock<Script> = LazyLock::new(take::script);
    take::call(TAKE.get_hash(), format!("bench:{{{client}}}:bench:60000:4").as_bytes(), 1_000_000)
}

fn median(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or_default()
    };
    Figures {
        checks_per_second: of(|figures| figures.checks_per_second),
        client_us: of(|figures| figures.client_us),
        redis_us: of(|figures| figures.redis_us),
        reads: of(|figures| figures.reads),
    }
}

/// The processor time that a process has used: fields 14 and 15 of its stat, in hundredths of a second.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace()).expect("it has a name");
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

impl Server {
    /// How often it has read from a socket.
    async fn reads(&self) -> f64 {
        let client = redis::Client::open(self.url()).expect("the URL is one");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis is there");
        let info: String = cmd("INFO").arg("stats").query_async(&mut connection).await.expect("a reply");
        let reads = info.lines().find_map(|line| line.strip_prefix("total_reads_processed:"));
        reads.and_then(|reads| reads.parse().ok()).expect("Redis 6 or later")
    }

    fn store(&self) -> RedisStore {
        let login = RedisConnectionInfo::default();
        let access = Access { server: login.clone(), sentinel: login, tls: None };
        let settings = RedisSettings {
            topology: RedisTopology::Standalone(ServerAddress {
                host: "127.0.0.1".to_owned(),
                port: self.port,
            }),
            database: 0,
            credentials: Credentials::default(),
            sentinel_credentials: Credentials::default(),
            tls: None,
            timeout: Duration::from_secs(5),
            key_prefix: "bench".to_owned(),
            connections: CONNECTIONS,
            instances: 1,
        };
        RedisStore::new(&settings, access, Clock::Real)
    }
}
