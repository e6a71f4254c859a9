//! Putting a changed configuration in force, or saying why not.
//!
//! The files are read and compared a few times a second; file-system events are not used: a ConfigMap swaps
//! a symlink two levels up, a subPath mount never tells, editors replace the file, and a busy node may have no
//! inotify watches left. Reading a few kilobytes is right in all those cases, and costs microseconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::mpsc;

use super::reminder::Reminder;
use super::{listener, redis, upstream};
use crate::admin::reloads::{ConfigFault, Configuration, Reloads, Trigger, Wanted, reload_now};
use crate::clock;
use crate::config::{self, Certificates, Config, Diagnostic, Overrides, Sources};
use crate::limiter::Limiter;
use crate::logging::{DEFAULT_FILTER, FilterHandle};
use crate::metrics::{self, ProxyMeter};
use crate::overrides::Overrides as LiveOverrides;
use crate::policy::Policy;
use crate::policy::changes::Changes;
use crate::settings::{AdminSettings, ServerTls, Settings, StoreSettings, UpstreamProtocol};

/// A change is acted on when two looks in a row see the same: never on a file half written.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Where the configuration comes from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) file: PathBuf,
    pub(super) overrides: Overrides,
    /// What was read, and is watched from then on.
    pub(super) sources: Sources,
    /// Changes what is logged. None: the command line decides.
    pub(super) filter: Option<FilterHandle>,
}

impl Source {
    /// Returns the state of the configuration that was read at this time, and the reloads that will be wanted.
    pub(super) fn reloads(&self, read_at: f64) -> (Reloads, mpsc::Receiver<Wanted>) {
        let file = Some(self.file.display().to_string());
        let hash = self.sources.file_hash().map(str::to_owned);
        Reloads::of_file(Configuration { file, hash, read_at, ..Configuration::default() })
    }
}

/// Keeps the policy in force the one that the file says.
pub(super) struct Reloader {
    pub(super) source: Source,
    /// What runs now. Most of it cannot change.
    pub(super) running: Settings,
    pub(super) policies: LiveOverrides,
    pub(super) renewable: Renewable,
    pub(super) meter: Arc<ProxyMeter>,
    /// The certificates in the files of TLS.
    pub(super) certificates: Vec<Certificates>,
    pub(super) reminder: Reminder,
    /// Where the state of all this is shown.
    pub(super) reloads: Reloads,
    /// Reloads that an operator wants.
    pub(super) wanted: mpsc::Receiver<Wanted>,
}

/// What of the settings can be renewed: credentials, and what the files of TLS hold.
pub(super) struct Renewable {
    pub(super) limiter: Arc<Limiter>,
    pub(super) server_tls: Option<Arc<ArcSwap<ServerConfig>>>,
    pub(super) upstream_tls: upstream::Renewable,
    /// Who may use the admin API.
    pub(super) admin: Arc<ArcSwap<AdminSettings>>,
}

impl Reloader {
    /// Watches for ever.
    pub(super) async fn run(mut self) {
        let mut before = self.source.sources.fingerprint();
        loop {
            // The sender is `self.reloads`, so the channel is never closed.
            let first = tokio::time::timeout(LOOK_EVERY, self.wanted.recv()).await.ok().flatten();
            let mut wanted: Vec<Wanted> = first.into_iter().collect();
            self.remind();
            let now = self.look().await;
            let changed = now != self.source.sources.fingerprint() && now == before;
            if changed || !wanted.is_empty() {
                // Those that have come meanwhile want the same.
                wanted.extend(std::iter::from_fn(|| self.wanted.try_recv().ok()));
                let trigger = wanted.first().map_or(Trigger::Change, |wanted| wanted.trigger);
                let result = self.reload().await;
                let reload = reload_now(trigger, result);
                self.reloads.note(reload.clone(), self.source.sources.file_hash().map(str::to_owned));
                wanted.into_iter().for_each(|wanted| wanted.done(&reload));
                before = self.source.sources.fingerprint();
            } else {
                before = now;
            }
        }
    }

    /// Logs the warnings about certificates that are due.
    fn remind(&mut self) {
        let now = clock::unix_time();
        log_warnings(self.reminder.due(now, || config::certificate_warnings(&self.certificates, now)));
    }

    async fn look(&self) -> [u8; 32] {
        let sources = self.source.sources.clone();
        // A file system that hangs holds up the next reload, and nothing else.
        tokio::task::spawn_blocking(move || sources.look()).await.unwrap_or_default()
    }

    /// Reads the files and puts them in force, or reports why not.
    async fn reload(&mut self) -> Result<(), Refused> {
        let Source { file, overrides, .. } = self.source.clone();
        let loading = move || config::load_watched(Some(&file), &overrides);
        let refused = match tokio::task::spawn_blocking(loading).await {
            Ok((loaded, sources)) => {
                // Also of a file that is refused: the secret that it lacks may come later than it.
                self.source.sources = sources;
                match loaded {
                    Ok(config) => self.accept(config).err().map(|reason| (reason, Vec::new())),
                    Err(diagnostics) => {
                        let reason: Vec<String> = diagnostics.iter().map(ToString::to_string).collect();
                        Some((reason.join("\n"), diagnostics))
                    }
                }
            }
            Err(error) => Some((format!("reading it failed: {error}"), Vec::new())),
        };
        let Some((reason, diagnostics)) = refused else { return Ok(()) };
        metrics::reloaded(Err(()));
        let file = self.source.file.display();
        tracing::error!(%file, reason, "the configuration was not read again: nothing was changed");
        let summary = match diagnostics.len() {
            0 => reason,
            1 => "the file has a fault".to_owned(),
            number => format!("the file has {number} faults"),
        };
        Err((summary, diagnostics.into_iter().map(fault).collect()))
    }

    /// Puts a configuration in force, or says why not.
    fn accept(&mut self, config: Config) -> Result<(), String> {
        let fixed = fixed_parts(&self.running, &config.settings);
        if !fixed.is_empty() {
            return Err(format!("{} cannot change while tidegate runs: restart it", fixed.join(", ")));
        }
        let running = self.policies.configured();
        let none = |policy: &Policy| policy.rules().is_empty() && policy.global().is_empty();
        if none(&config.policy) && !none(&running) {
            return Err("it has no rules any more, as if it were cut short; \
                        to let everything pass, give the rules mode: off"
                .to_owned());
        }
        let now = clock::unix_time();
        log_warnings(&config.warnings_at(now));
        if config.settings != self.running {
            self.renew(&config.settings)?;
        }
        self.reminder = Reminder::new(config::certificate_warnings(&config.certificates, now), now);
        self.certificates = config.certificates;
        announce(&config.policy, &self.meter);
        let rules = config.policy.rules().len();
        let changes = Changes::between(&running, &config.policy);
        tracing::info!(file = %self.source.file.display(), rules, %changes, "configuration read");
        self.policies.configure(config.policy);
        in_force(&self.certificates, &config.hash);
        Ok(())
    }

    /// Each part that differs is renewed, for the connections made from then on; or none, if one of them fails.
    fn renew(&mut self, settings: &Settings) -> Result<(), String> {
        let told = |error: anyhow::Error| format!("{error:#}");
        let Renewable { limiter, server_tls, upstream_tls, .. } = &self.renewable;
        let differs = settings.tls != self.running.tls;
        let server = settings.tls.as_ref().filter(|_| differs);
        let server = server.map(listener::server_config).transpose().map_err(told)?;
        let application = match &settings.upstream.protocol {
            UpstreamProtocol::Tls(tls) if settings.upstream != self.running.upstream => {
                Some(upstream::tls(tls, &settings.upstream).map_err(told)?)
            }
            _ => None,
        };
        if settings.store != self.running.store
            && let (StoreSettings::Redis(wanted), Some(store)) = (&settings.store, limiter.shared_store())
        {
            store.set_access(redis::access(wanted).map_err(told)?);
            tracing::info!(
                "connections to Redis are made with other credentials or certificates from now on"
            );
        }
        if settings.log != self.running.log
            && let Some(filter) = &self.source.filter
        {
            let wanted = settings.log.as_deref().unwrap_or(DEFAULT_FILTER);
            filter.set(wanted).map_err(|error| error.to_string())?;
            tracing::info!(filter = wanted, "log lines are filtered by another filter from now on");
        }
        if let (Some(wanted), Some(running)) = (server, server_tls) {
            running.store(Arc::new(wanted));
            tracing::info!("clients are shown another certificate, or asked for other ones, from now on");
        }
        if let (Some(wanted), Some(running)) = (application, upstream_tls) {
            running.store(Arc::new(wanted));
            tracing::info!("connections to the upstream are made with other certificates from now on");
        }
        if settings.admin != self.running.admin {
            self.renewable.admin.store(Arc::new(settings.admin.clone()));
            tracing::info!("requests to the admin API need other tokens or hosts from now on");
        }
        self.running = settings.clone();
        Ok(())
    }
}

/// Why a configuration is not in force, and what is wrong with its file.
type Refused = (String, Vec<ConfigFault>);

fn fault(diagnostic: Diagnostic) -> ConfigFault {
    let location = diagnostic.location();
    ConfigFault { location, message: diagnostic.message, help: diagnostic.help }
}

/// Logs the warnings about a configuration that comes into force.
pub(super) fn log_warnings(warnings: &[Diagnostic]) {
    for warning in warnings {
        let Diagnostic { message, help, .. } = warning;
        tracing::warn!(at = %warning.location(), help, "{message}");
    }
}

/// Records in the metrics which configuration is in force from now on.
pub(super) fn in_force(certificates: &[Certificates], hash: &blake3::Hash) {
    for (key, expires) in certificates.iter().filter_map(Certificates::expiry) {
        metrics::certificate_expires(key, expires);
    }
    metrics::config_hash(hash.as_bytes());
    metrics::reloaded(Ok(clock::unix_seconds()));
}

/// Makes a policy known to the metrics.
pub(super) fn announce(policy: &Policy, meter: &ProxyMeter) {
    for rule in policy.rules().iter().chain(policy.global()) {
        meter.announce_rule(&rule.name);
        if rule.trial.is_some() {
            metrics::announce_trial(&rule.name);
        }
    }
    for bypass in policy.bypasses() {
        meter.announce_bypass(&bypass.name, bypass.header().is_some());
    }
}

/// The settings in which the two differ. Credentials and certificates are none of them: they change with time, and
/// rules must still be able to.
fn fixed_parts(running: &Settings, wanted: &Settings) -> Vec<&'static str> {
    let differ = [
        ("listen", running.listen != wanted.listen),
        ("listen_mode", running.listen_mode != wanted.listen_mode),
        ("ops_listen", running.ops_listen != wanted.ops_listen),
        ("admin.listen", running.admin.listen != wanted.admin.listen),
        ("tls", running.tls.as_ref().map(ServerTls::fixed) != wanted.tls.as_ref().map(ServerTls::fixed)),
        ("proxy_protocol", running.proxy_protocol != wanted.proxy_protocol),
        ("upstream", running.upstream.fixed() != wanted.upstream.fixed()),
        ("bounds", running.bounds != wanted.bounds),
        ("store", running.store.fixed() != wanted.store.fixed()),
        ("shutdown", running.shutdown != wanted.shutdown),
    ];
    differ.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
}
