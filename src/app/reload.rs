//! Putting a changed configuration in force, or saying why not.
//!
//! The files are read and compared a few times a second, and no file-system events are used: a ConfigMap swaps
//! a symlink two levels up, a subPath mount never tells, editors replace the file, and a busy node may have no
//! inotify watches left. Reading a few kilobytes is right in all those cases, and costs microseconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock;
use crate::config::{self, Config, Overrides, Settings};
use crate::metrics::{self, ProxyMeter};
use crate::policy::Policy;
use crate::policy::live::Live;

/// A change is acted on when two looks in a row see the same: never on a file half written.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Where the configuration comes from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) overrides: Overrides,
}

/// Keeps the policy in force the one that the file says.
pub(super) struct Reloader {
    pub(super) source: Source,
    /// What runs now, and cannot change.
    pub(super) running: Settings,
    /// Files that the configuration names.
    pub(super) secret_files: Vec<PathBuf>,
    pub(super) live: Arc<Live>,
    pub(super) meter: Arc<ProxyMeter>,
    /// Notified when an operator wants a reload.
    pub(super) asked: Arc<Notify>,
}

impl Reloader {
    /// Watches for ever.
    pub(super) async fn run(mut self) {
        let mut tried = self.look().await;
        let mut before = tried;
        loop {
            let asked = tokio::time::timeout(LOOK_EVERY, self.asked.notified()).await.is_ok();
            let now = self.look().await;
            if asked || (now != tried && now == before) {
                self.reload().await;
                tried = self.look().await;
            }
            before = now;
        }
    }

    /// A hash of all that the configuration is made of. A file that is gone counts as changed.
    async fn look(&self) -> [u8; 32] {
        let files: Vec<PathBuf> =
            std::iter::once(&self.source.file).chain(&self.secret_files).cloned().collect();
        let hash = move || {
            let mut hasher = blake3::Hasher::new();
            for file in files {
                match std::fs::read(file) {
                    Ok(content) => hasher.update(blake3::hash(&content).as_bytes()),
                    Err(error) => hasher.update(error.to_string().as_bytes()),
                };
            }
            hasher.finalize().into()
        };
        // A file system that hangs holds up the next reload, and nothing else.
        tokio::task::spawn_blocking(hash).await.unwrap_or_default()
    }

    async fn reload(&mut self) {
        let Source { file, overrides } = self.source.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load(Some(&file), &overrides)).await;
        let file = self.source.file.display();
        match loaded {
            Ok(Ok(config)) if config.settings == self.running => self.accept(config),
            Ok(Ok(config)) => {
                metrics::reloaded(Err(()));
                let what = fixed_parts(&self.running, &config.settings);
                tracing::error!(%file, "nothing was changed: {what} cannot change while tidegate runs; restart it");
            }
            Ok(Err(problems)) => {
                metrics::reloaded(Err(()));
                let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
                tracing::error!(%file, problems = list.join("\n"), "nothing was changed: the configuration is wrong");
            }
            Err(error) => {
                tracing::error!(%file, %error, "nothing was changed: reading the configuration failed")
            }
        }
    }

    fn accept(&mut self, config: Config) {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        announce(&config.policy, &self.meter);
        tracing::info!(file = %self.source.file.display(), rules = config.policy.rules().len(), "configuration read");
        self.secret_files = config.secret_files;
        self.live.replace(config.policy);
    }
}

/// Makes a policy known to the metrics.
pub(super) fn announce(policy: &Policy, meter: &ProxyMeter) {
    for rule in policy.rules().iter().chain(policy.global()) {
        meter.announce(&rule.name);
    }
    metrics::reloaded(Ok(clock::unix_seconds()));
}

/// The settings in which the two differ.
fn fixed_parts(running: &Settings, wanted: &Settings) -> String {
    let differ = [
        ("listen", running.listen != wanted.listen),
        ("ops_listen", running.ops_listen != wanted.ops_listen),
        ("upstream", running.upstream != wanted.upstream),
        ("store", running.store != wanted.store),
        ("shutdown", running.shutdown != wanted.shutdown),
    ];
    let names: Vec<&str> = differ.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
    names.join(", ")
}
