//! tidegate, a process that is killed by its pid when the test lets go of it.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use super::{client, eventually};

/// A running `tidegate`, on ports that it chose itself.
pub struct Tidegate {
    child: Child,
    pub address: SocketAddr,
    pub ops: SocketAddr,
    /// Port 0: it is not served.
    pub admin: SocketAddr,
    log: Lines,
    other: Lines,
    readers: [JoinHandle<()>; 2],
    directory: TempDir,
}

/// What a process has written so far.
type Lines = Arc<Mutex<Vec<String>>>;

fn collect(output: impl Read + Send + 'static, lines: &Lines) -> JoinHandle<()> {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    })
}

/// How a process ended.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Gives connections to the upstream more time than the default, which a busy machine may exceed, unless the configuration
/// has an upstream itself.
fn with_patience(config: &str) -> String {
    match config.lines().any(|line| line.starts_with("upstream:")) {
        true => config.to_owned(),
        false => format!("{config}\nupstream: {{ connect_timeout: 30s }}\n"),
    }
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
        std::fs::write(&file, with_patience(config)).unwrap();
        let upstream = format!("--upstream=http://{upstream}");
        let arguments = [&["run", &upstream, "--config", file.to_str().unwrap()], flags].concat();
        let mut tidegate = Self::run(&arguments).await;
        tidegate.directory = directory;
        tidegate
    }

    /// `tidegate run` with a file of this content, which says all: the upstream, and perhaps where to listen.
    pub async fn described(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(CONFIG);
        std::fs::write(&file, config).unwrap();
        let mut command = command();
        command.args(["run", "--ops-listen=127.0.0.1:0", "--config", file.to_str().unwrap()]);
        if !config.lines().any(|line| line.starts_with("listen:")) {
            command.arg("--listen=127.0.0.1:0");
        }
        if !config.lines().any(|line| line.starts_with("admin:")) {
            command.arg("--admin-listen=127.0.0.1:0");
        }
        let mut tidegate = Self::spawn(command).await;
        tidegate.directory = directory;
        tidegate
    }

    /// `tidegate` with these arguments; where it listens is its own choice, unless they say it.
    pub async fn run(arguments: &[&str]) -> Self {
        let mut command = command();
        command.args(arguments);
        for listener in ["--listen=", "--ops-listen=", "--admin-listen="] {
            if !arguments.iter().any(|argument| argument.starts_with(listener)) {
                command.arg(format!("{listener}127.0.0.1:0"));
            }
        }
        Self::spawn(command).await
    }

    /// A command of the binary that serves, on ports of its own choice.
    pub async fn spawn(mut command: Command) -> Self {
        let logs_to_stdout = command.get_args().any(|argument| argument == "--log-to=stdout");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (log, other) = (Arc::default(), Arc::default());
        let (to_stderr, to_stdout) = if logs_to_stdout { (&other, &log) } else { (&log, &other) };
        let readers = [
            collect(child.stderr.take().unwrap(), to_stderr),
            collect(child.stdout.take().unwrap(), to_stdout),
        ];
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let directory = tempfile::tempdir().unwrap();
        let mut tidegate =
            Self { child, address: nowhere, ops: nowhere, admin: nowhere, log, other, readers, directory };
        let serving = eventually("tidegate to serve", async || {
            let ended = tidegate.child.try_wait().unwrap();
            assert!(ended.is_none(), "tidegate ended: {ended:?} {:#?}", tidegate.logged(""));
            tidegate.logged("serving").pop()
        });
        let serving = serving.await;
        let address = |name: &str| serving[name].as_str().unwrap();
        // A Unix socket is where the test said.
        if !address("listen").starts_with("unix:") {
            tidegate.address = address("listen").parse().unwrap();
        }
        tidegate.ops = address("ops_listen").parse().unwrap();
        if address("admin_listen") != "off" {
            tidegate.admin = address("admin_listen").parse().unwrap();
        }
        tidegate
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

    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
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
        std::fs::write(self.directory().join(CONFIG), with_patience(config)).unwrap();
    }

    /// The log lines with this text in their message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let lines = self.log.lock().unwrap();
        let lines = lines.iter().map(|line| match serde_json::from_str(line) {
            Ok(Value::Object(fields)) => Value::Object(fields),
            _ => serde_json::json!({ "message": line }),
        });
        lines.filter(|line| line["message"].as_str().is_some_and(|text| text.contains(message))).collect()
    }

    /// The log lines of this target.
    pub fn lines(&self, target: &str) -> Vec<Value> {
        let lines = self.log.lock().unwrap();
        let lines = lines.iter().filter_map(|line| serde_json::from_str(line).ok());
        lines.filter(|line: &Value| line["target"] == target).collect()
    }

    /// What it has written to standard output, or, if it logs there, to standard error.
    pub fn beside_the_log(&self) -> String {
        self.other.lock().unwrap().join("\n")
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

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let status = eventually("tidegate to end", async || self.child.try_wait().unwrap()).await;
        let read = async || self.readers.iter().all(JoinHandle::is_finished).then_some(());
        eventually("its last words", read).await;
        status
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

pub(super) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

pub(super) fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}
