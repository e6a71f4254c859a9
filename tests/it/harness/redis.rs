//! Redis, a process that is killed by its pid when the test lets go of it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bb8_redis::redis::{self, FromRedisValue, RedisConnectionInfo};
use tempfile::TempDir;
use tidegate::clock::Clock;
use tidegate::store::{Access, Address, RedisOptions, RedisStore, Topology};

use super::eventually;
use super::process::{end, signal};

/// A redis-server with nothing in it, and nothing kept on disk.
pub struct Redis {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Redis {
    pub async fn start() -> Self {
        // Somebody else may take the port between our letting go of it and the server's taking it.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(redis) = Self::start_on(port).await {
                return redis;
            }
        }
        panic!("no redis-server would start; is it installed? `make test` does that");
    }

    /// On this port again, after an earlier one was stopped.
    pub async fn start_on(port: u16) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is not installed; `make test` does that");
        let mut redis = Self { child, port, _directory: directory };
        let up = eventually("redis-server to answer or end", async || {
            if redis.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            let pid: Option<String> = redis.try_command(&["INFO", "server"]).await.ok();
            pid.map(|info| info.contains(&format!("process_id:{}\r\n", redis.child.id())))
        });
        up.await.then_some(redis)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// A store on this server, patient enough for a busy machine.
    pub fn store(&self, key_prefix: &str, clock: Clock) -> RedisStore {
        let login = RedisConnectionInfo::default();
        let options = RedisOptions {
            topology: Topology::Standalone(Address { host: "127.0.0.1".to_owned(), port: self.port }),
            access: Access { server: login.clone(), sentinel: login, tls: None },
            timeout: Duration::from_secs(10),
            key_prefix: key_prefix.to_owned(),
            connections: 2,
        };
        RedisStore::new(options, clock)
    }

    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_command(words).await.unwrap()
    }

    async fn try_command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T, redis::RedisError> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await
    }

    /// Sends the server a signal, such as `STOP` or `CONT`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}
