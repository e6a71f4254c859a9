//! Redis and tidegate, each a process that is killed by its pid when the test lets go of it.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bb8_redis::redis::{self, FromRedisValue, IntoConnectionInfo as _};
use serde_json::Value;
use tempfile::TempDir;
use tidegate::clock::Clock;
use tidegate::store::{RedisOptions, RedisStore};

use super::{client, eventually};

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
        let options = RedisOptions {
            server: self.url().into_connection_info().unwrap(),
            timeout: Duration::from_secs(10),
            key_prefix: key_prefix.to_owned(),
            connections: 2,
        };
        RedisStore::new(options, clock).unwrap()
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

/// A running `tidegate`, on ports that it chose itself.
pub struct Tidegate {
    child: Child,
    pub address: SocketAddr,
    pub ops: SocketAddr,
    log: Arc<Mutex<Vec<Value>>>,
    directory: TempDir,
}

/// How a process ended.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Tidegate {
    /// `tidegate run` with these flags, in front of `upstream`.
    pub async fn start(upstream: SocketAddr, flags: &[&str]) -> Self {
        let upstream = format!("--upstream=http://{upstream}");
        Self::run(&[&["run", &upstream], flags].concat()).await
    }

    /// `tidegate run --config`.
    pub async fn with_config(config: &Path) -> Self {
        Self::run(&["run", "--config", config.to_str().unwrap()]).await
    }

    /// The same with a file of this content, to be changed by [`Tidegate::rewrite`], in front of `upstream`.
    pub async fn configured(upstream: SocketAddr, config: &str) -> Self {
        Self::configured_with(upstream, config, &[]).await
    }

    /// The same with flags.
    pub async fn configured_with(upstream: SocketAddr, config: &str, flags: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(CONFIG);
        std::fs::write(&file, config).unwrap();
        let upstream = format!("--upstream=http://{upstream}");
        let arguments = [&["run", &upstream, "--config", file.to_str().unwrap()], flags].concat();
        let mut tidegate = Self::run(&arguments).await;
        tidegate.directory = directory;
        tidegate
    }

    /// `tidegate` with these arguments; where it listens is its own choice, unless they say it.
    pub async fn run(arguments: &[&str]) -> Self {
        let mut command = command();
        command.args(arguments);
        for listener in ["--listen=", "--ops-listen="] {
            if !arguments.iter().any(|argument| argument.starts_with(listener)) {
                command.arg(format!("{listener}127.0.0.1:0"));
            }
        }
        Self::spawn(command).await
    }

    /// A command of the binary that serves, on ports of its own choice.
    pub async fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, stderr) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().unwrap().push(line);
            }
        });
        let serving = eventually("tidegate to serve", async || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "tidegate ended: {ended:?} {:#?}", log.lock().unwrap());
            log.lock().unwrap().iter().find(|line| line["message"] == "serving").cloned()
        });
        let serving = serving.await;
        let address = |name: &str| serving[name].as_str().unwrap().parse().unwrap();
        let (address, ops) = (address("listen"), address("ops_listen"));
        Self { address, ops, child, log, directory: tempfile::tempdir().unwrap() }
    }

    /// Runs it to its end.
    pub fn finished(arguments: &[&str]) -> Finished {
        let output = command().args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn ops_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.ops)
    }

    /// What `/metrics` says.
    pub async fn metrics(&self) -> String {
        client().get(self.ops_url("/metrics")).send().await.unwrap().text().await.unwrap()
    }

    /// The value of one series of `/metrics`, written as it stands there: `name{label="value"}`.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let value = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
        self.metrics().await.lines().find_map(value)
    }

    /// How many requests `tidegate_requests_total` counts for a rule and an outcome.
    pub async fn counted(&self, rule: &str, outcome: &str) -> f64 {
        let series = format!("tidegate_requests_total{{rule=\"{rule}\",outcome=\"{outcome}\"}}");
        self.metric(&series).await.unwrap_or_default()
    }

    /// The directory of the configuration file, gone with the process.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the configuration file anew, in place.
    pub fn rewrite(&self, config: &str) {
        std::fs::write(self.directory().join(CONFIG), config).unwrap();
    }

    /// The log lines with this text in their message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let log = self.log.lock().unwrap();
        log.iter()
            .filter(|line| line["message"].as_str().is_some_and(|text| text.contains(message)))
            .cloned()
            .collect()
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// Sends a signal, such as `TERM` or `HUP`.
    pub fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("tidegate to end", async || self.child.try_wait().unwrap()).await
    }
}

impl Drop for Tidegate {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// What the configuration file is called.
const CONFIG: &str = "tidegate.yaml";

/// The binary, with none of the caller's own settings.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
        command.env_remove(name);
    }
    command
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}
