//! How a Redis process is set up, and how to talk to one that is set up like that.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bb8_redis::redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo as _, RedisError, RedisResult, Value,
};

use crate::harness::DEADLINE;
use crate::harness::tls::Certificates;

/// What a server is started with, beyond what every test wants. Equal for all servers of a topology: ports and
/// directories are each server's own.
#[derive(Clone, Default)]
pub struct Setup {
    arguments: Vec<String>,
    certificates: Option<Certificates>,
    /// The configuration of a sentinel, for one that is none.
    watch: Option<String>,
}

/// Nothing on disk, and replicas that do not wait for others to join them.
const ALWAYS: [&str; 8] =
    ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"];

impl Setup {
    /// With these arguments of redis-server, such as `["--requirepass", "open-sesame"]`. Replicas and other
    /// sentinels, and the commands of tests, give the same password.
    pub fn plain(arguments: &[&str]) -> Self {
        Self::default().and(arguments)
    }

    /// The same for a server that speaks nothing but TLS, to its replicas and its cluster too. It asks clients for
    /// a certificate, unless it is told otherwise: `["--tls-auth-clients", "no"]`.
    pub fn tls(certificates: &Certificates, arguments: &[&str]) -> Self {
        Self { certificates: Some(certificates.clone()), ..Self::plain(arguments) }
    }

    /// The same with more arguments.
    pub(in super::super) fn and(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// A sentinel with these lines in its configuration.
    pub(in super::super) fn watching(&self, watch: String) -> Self {
        Self { watch: Some(watch), ..self.clone() }
    }

    /// The password that clients of such a server need.
    pub(in super::super) fn password(&self) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == "--requirepass")?;
        self.arguments.get(at + 1).map(String::as_str)
    }

    pub(super) fn scheme(&self) -> &str {
        if self.certificates.is_some() { "rediss" } else { "redis" }
    }

    /// The whole command line.
    pub(super) fn arguments(&self, clients: u16, bus: u16, directory: &Path) -> Vec<String> {
        let mut arguments = Vec::new();
        if let Some(watch) = &self.watch {
            let file = directory.join("sentinel.conf");
            // Once it has run, the file is the sentinel's own.
            if !file.exists() {
                std::fs::write(&file, watch).unwrap();
            }
            arguments.push(file.to_str().unwrap().to_owned());
        }
        let mut say = |words: &[&str]| arguments.extend(words.iter().map(|&word| word.to_owned()));
        let clients = clients.to_string();
        match &self.certificates {
            None => say(&["--port", &clients]),
            Some(certificates) => {
                say(&["--port", "0", "--tls-port", &clients, "--tls-replication", "yes"]);
                say(&["--tls-cluster", "yes"]);
                say(&["--tls-cert-file", &certificates.server_certificate()]);
                say(&["--tls-key-file", &certificates.server_key()]);
                say(&["--tls-ca-cert-file", &certificates.ca()]);
            }
        }
        if self.arguments.iter().any(|argument| argument == "--cluster-enabled") {
            say(&["--cluster-port", &bus.to_string()]);
        }
        if let Some(password) = self.password() {
            say(&["--masterauth", password]);
        }
        say(&ALWAYS);
        say(&["--dir", directory.to_str().unwrap()]);
        arguments.extend(self.arguments.iter().cloned());
        // Last, as it takes no value.
        arguments.extend(self.watch.is_some().then(|| "--sentinel".to_owned()));
        arguments
    }

    /// Returns the reply of such a server on this port, or the error that it replies with. Over TLS without a timeout.
    pub(super) async fn ask(&self, port: u16, words: &[&str], timeout: Duration) -> Result<Value, String> {
        match &self.certificates {
            None => self.ask_plainly(port, words, timeout).await.map_err(in_its_own_words),
            Some(certificates) => {
                let mut command = certificates.redis_cli(port);
                if let Some(password) = self.password() {
                    command.env("REDISCLI_AUTH", password);
                }
                command.args(words);
                run(command).await
            }
        }
    }

    async fn ask_plainly(&self, port: u16, words: &[&str], timeout: Duration) -> RedisResult<Value> {
        let mut server = format!("redis://127.0.0.1:{port}/0").into_connection_info()?;
        if let Some(password) = self.password() {
            let settings = server.redis_settings().clone().set_password(password);
            server = server.set_redis_settings(settings);
        }
        let timeout = Some(timeout);
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(timeout).set_response_timeout(timeout);
        let client = Client::open(server)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let mut command = Cmd::new();
        command.arg(words);
        command.query_async(&mut connection).await
    }
}

/// An error as the server spelled it.
fn in_its_own_words(error: RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        _ => error.to_string(),
    }
}

/// The answer that `redis-cli` prints. The redis crate could speak TLS too, but then the tests would prove the
/// product's TLS with the product's TLS.
async fn run(mut command: Command) -> Result<Value, String> {
    // It must not hold up the test's only thread: the server may be waiting for something on it.
    let running = tokio::task::spawn_blocking(move || command.output());
    let output = tokio::time::timeout(DEADLINE, running).await.expect("redis-cli does not end");
    let output = output.unwrap().expect("redis-cli is not installed; `make test` does that");
    let text = |bytes| String::from_utf8(bytes).unwrap().trim_end().to_owned();
    let (said, wrong) = (text(output.stdout), text(output.stderr));
    if !output.status.success() {
        return Err(wrong);
    }
    // What `INFO` answers is printed as it is.
    Ok(serde_json::from_str(&said).map_or(Value::BulkString(said.into_bytes()), of_json))
}

fn of_json(json: serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Boolean(value),
        Json::Number(number) => Value::Int(number.as_i64().unwrap()),
        Json::String(text) => Value::BulkString(text.into_bytes()),
        Json::Array(items) => Value::Array(items.into_iter().map(of_json).collect()),
        Json::Object(fields) => {
            let pair = |(name, value): (String, Json)| (Value::BulkString(name.into_bytes()), of_json(value));
            Value::Map(fields.into_iter().map(pair).collect())
        }
    }
}
