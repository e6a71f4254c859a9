//! Redis, a process that is killed by its pid when the test lets go of it.

mod setup;

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use bb8_redis::redis::{FromRedisValue, RedisConnectionInfo};
use tempfile::TempDir;
use tidegate::clock::Clock;
use tidegate::settings::{Credentials, RedisSettings, RedisTopology, ServerAddress};
use tidegate::store::{Access, RedisStore};

use super::process::{end, signal};
use super::{DEADLINE, eventually};
pub use setup::Setup;

/// A redis-server with nothing in it, and nothing kept on disk.
pub struct Redis {
    child: Child,
    ports: Ports,
    setup: Setup,
    directory: TempDir,
}

/// Where a server listens: for clients, and for the rest of its cluster.
#[derive(Clone, Copy)]
struct Ports {
    clients: u16,
    bus: u16,
}

impl Ports {
    /// Two that are free now. Somebody else may take them before a server does.
    fn free() -> Self {
        let [clients, bus] = [0; 2].map(|any| TcpListener::bind(("127.0.0.1", any)).unwrap());
        Self { clients: clients.local_addr().unwrap().port(), bus: bus.local_addr().unwrap().port() }
    }
}

impl Redis {
    pub async fn start() -> Self {
        Self::with(&Setup::default()).await
    }

    /// One that is set up like this, on a port of its own.
    pub async fn with(setup: &Setup) -> Self {
        let mut said = String::new();
        for _ in 0..20 {
            match Self::on(Ports::free(), setup).await {
                Ok(redis) => return redis,
                Err(log) => said = log,
            }
        }
        panic!("no redis-server would start: {said}");
    }

    /// On this port again, after an earlier one was stopped.
    pub async fn start_on(port: u16) -> Option<Self> {
        Self::on(Ports { clients: port, ..Ports::free() }, &Setup::default()).await.ok()
    }

    /// The server, or what it said before it ended.
    async fn on(ports: Ports, setup: &Setup) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let child = spawn(ports, setup, directory.path());
        let mut redis = Self { child, ports, setup: setup.clone(), directory };
        if redis.comes_up().await { Ok(redis) } else { Err(redis.log()) }
    }

    /// Whether it serves, and did not end, as it does when its port is taken.
    async fn comes_up(&mut self) -> bool {
        eventually("redis-server to answer or end", async || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let pid = self.info("process_id").await;
            pid.map(|pid| pid == self.child.id().to_string())
        })
        .await
    }

    /// Ends it at once, and waits for its end.
    pub async fn kill(&self) {
        self.signal("KILL");
        eventually("redis-server to end", async || (!self.runs()).then_some(())).await;
    }

    /// Has it stand still, and waits until it does.
    pub async fn stop(&self) {
        self.signal("STOP");
        eventually("redis-server to stand still", async || (!self.runs()).then_some(())).await;
    }

    /// On the same ports and in the same directory again, whether it was running or not. Only what Redis keeps there
    /// is as it was: a node's place in its cluster, a sentinel's knowledge, but no keys.
    pub async fn restart(&mut self) {
        eventually("redis-server to have its port back", async || {
            end(&mut self.child);
            self.child = spawn(self.ports, &self.setup, self.directory.path());
            self.comes_up().await.then_some(())
        })
        .await;
    }

    pub fn port(&self) -> u16 {
        self.ports.clients
    }

    /// Where the nodes of its cluster reach it.
    pub(super) fn bus_port(&self) -> u16 {
        self.ports.bus
    }

    /// Its address for clients, without credentials.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}/0", self.setup.scheme(), self.port())
    }

    /// A store on this server, patient enough for a busy machine.
    pub fn store(&self, key_prefix: &str, clock: Clock) -> RedisStore {
        let login = RedisConnectionInfo::default();
        let access = Access { server: login.clone(), sentinel: login, tls: None };
        let settings = RedisSettings {
            topology: RedisTopology::Standalone(ServerAddress {
                host: "127.0.0.1".to_owned(),
                port: self.port(),
            }),
            database: 0,
            credentials: Credentials::default(),
            sentinel_credentials: Credentials::default(),
            tls: None,
            timeout: Duration::from_secs(10),
            key_prefix: key_prefix.to_owned(),
            connections: 2,
            instances: 1,
        };
        RedisStore::new(&settings, access, clock)
    }

    /// Runs a command, with the password and the certificates that the server was set up with. On a busy machine the
    /// reply may take long.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.run(words, DEADLINE).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// The same, or why not, in the server's words: `MOVED 5798 127.0.0.1:40001`.
    pub async fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, String> {
        // Short, as a server that hangs may be one of several that are tried.
        self.run(words, Duration::from_secs(5)).await
    }

    async fn run<T: FromRedisValue>(&self, words: &[&str], timeout: Duration) -> Result<T, String> {
        let reply = self.setup.ask(self.port(), words, timeout).await?;
        T::from_redis_value(reply).map_err(|error| error.to_string())
    }

    /// The names of all counters. What else is there is no client's: the list of instances, what probes leave for a
    /// second, and which additions after an outage are done.
    pub async fn counters(&self) -> Vec<String> {
        let mut names: Vec<String> = self.command(&["KEYS", "*"]).await;
        names.retain(|name| {
            !(name.contains(":instances") || name.ends_with(":probe") || name.contains(":missed:"))
        });
        names
    }

    /// What `INFO` says of one field, if the server answers at all.
    pub async fn info(&self, field: &str) -> Option<String> {
        let info: String = self.try_command(&["INFO"]).await.ok()?;
        let value = |line: &str| Some(line.strip_prefix(field)?.strip_prefix(':')?.to_owned());
        info.lines().find_map(value)
    }

    /// Makes it a replica, and waits until it has everything.
    pub async fn replica_of(&self, primary: &Self) {
        let port = primary.port().to_string();
        let _: String = self.command(&["REPLICAOF", "127.0.0.1", &port]).await;
        eventually("the replica to be in sync", async || self.is_in_sync().await.then_some(())).await;
    }

    /// Whether it is a replica that follows its primary.
    pub async fn is_in_sync(&self) -> bool {
        self.info("master_link_status").await.as_deref() == Some("up")
    }

    /// Sends the server a signal, such as `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Whether it is there and not stopped by a signal.
    pub fn runs(&self) -> bool {
        // Unlike `try_wait`, this needs no exclusive access, and knows of STOP. After the name in parentheses comes
        // the state; the pid is not given to another process before the dead child is waited for.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['R', 'S', 'D']))
    }

    /// What it has logged, since it was started first.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(LOG)).unwrap()
    }
}

/// What the file is called that takes a server's output.
const LOG: &str = "log";

fn spawn(ports: Ports, setup: &Setup, directory: &Path) -> Child {
    let log = File::options().create(true).append(true).open(directory.join(LOG)).unwrap();
    Command::new("redis-server")
        .args(setup.arguments(ports.clients, ports.bus, directory))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("redis-server is not installed; `make test` does that")
}

impl Drop for Redis {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
