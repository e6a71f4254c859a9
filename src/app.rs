//! The composition root: builds all parts, and owns the order in which they start and end.

mod admin_listener;
mod bind;
mod cgroup;
mod check;
pub mod explain;
mod guarantees;
mod health;
mod listener;
mod passed_socket;
mod redis;
mod reload;
mod reminder;
mod signals;
mod status;
mod tls;
mod upstream;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::admin;
use crate::admin::reloads::Reloads;
use crate::cli::{Format, LogArgs};
use crate::clock::{self, Clock};
use crate::config::{self, Config, Diagnostic, Overrides as Flags};
use crate::demo;
use crate::limiter::Limiter;
use crate::logging::{self, DEFAULT_FILTER, Log};
use crate::metrics::{self, ProxyMeter};
use crate::ops::Ops;
use crate::overrides::Overrides;
use crate::proxy::Proxy;
use crate::server::{self, Drain, Handshake, Listener};
use crate::settings::{AdminListen, Listen, Settings, Shutdown, StoreSettings};
use crate::store::{MemoryStore, RedisStore, Store};
use crate::upstream::Upstream;
pub use check::{CheckOptions, check};
pub use health::health;
use listener::ClientListener;
use passed_socket::PassedSocket;
use reload::{Reloader, Renewable, Source};
use reminder::Reminder;
use signals::{SignalCommand, Signals};

/// The configuration that ships with tidegate, for the demo.
const SHIPPED: &str = include_str!("../configs/rate_limits.yaml");

/// How often metrics are tidied up and expired counters freed.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Why tidegate did not run, or ended.
#[derive(Debug)]
pub enum Failure {
    /// The configuration is wrong.
    Config(Vec<Diagnostic>),
    /// Anything else.
    Other(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// `tidegate run`.
///
/// # Errors
/// When the configuration is wrong, or a listener cannot be opened.
pub fn run(file: Option<PathBuf>, overrides: &Flags, log: &LogArgs) -> Result<(), Failure> {
    let overrides = &cgroup::within_memory(overrides);
    let socket = passed_socket::take()?;
    block_on(async {
        // First of all: until then each signal ends the process, those that are to be ignored included.
        let mut signals = Signals::listen()?;
        let (log, file_decides) = (start_log(log)?, log.log.is_none());
        let (path, flags) = (file.clone(), overrides.clone());
        let loading = tokio::task::spawn_blocking(move || config::load_watched(path.as_deref(), &flags));
        let Some(loaded) = unless_ended(&mut signals, loading).await else { return Ok(()) };
        let (config, sources) = loaded.context("reading the configuration failed")?;
        let config = config.map_err(Failure::Config)?;
        let filter = file_decides.then(|| log.filter.clone());
        if let (Some(handle), Some(filter)) = (&filter, &config.settings.log) {
            handle.set(filter)?;
        }
        let source = file.map(|file| Source { file, overrides: overrides.clone(), sources, filter });
        Box::pin(serve(Start { config, socket, source }, signals, &log, |_, _| Ok(()))).await
    })
}

/// Waits for `starting`. Returns none if a signal to end arrives before. A signal to read the configuration again has no
/// effect, as it is being read.
async fn unless_ended<T>(signals: &mut Signals, starting: impl Future<Output = T>) -> Option<T> {
    let ended = async { while signals.next().await == SignalCommand::Reload {} };
    tokio::select! {
        started = starting => Some(started),
        () = ended => {
            tracing::info!("ended by a signal before the configuration was read");
            None
        }
    }
}

/// `tidegate demo`: the shipped limits in front of a small application of our own.
///
/// # Errors
/// When a listener cannot be opened.
pub fn demo(
    listen: SocketAddr,
    ops_listen: SocketAddr,
    admin_listen: Option<AdminListen>,
    log: &LogArgs,
) -> Result<(), Failure> {
    block_on(async {
        let signals = Signals::listen()?;
        let log = start_log(log)?;
        let listener = bind::tcp("the demo's application", SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let overrides = Flags {
            listen: Some(Listen::Tcp(listen)),
            ops_listen: Some(ops_listen),
            admin_listen,
            upstream: Some(format!("http://{}", listener.local_addr()?)),
            memory: true,
            ..Flags::default()
        };
        let config =
            config::compile_text("configs/rate_limits.yaml", SHIPPED.as_bytes(), &overrides, &|_| Ok(None))
                .map_err(Failure::Config)?;
        tokio::spawn(server::run(
            Listener::Tcp(listener),
            Handshake::default(),
            Drain::default(),
            |request, _| async move { demo::respond(&request) },
        ));
        let started = |proxy: &Listen, ops| {
            use std::io::Write as _;
            std::io::stdout().write_all(demo::invitation(proxy, ops).as_bytes()).context("cannot write")
        };
        Box::pin(serve(Start { config, socket: None, source: None }, signals, &log, started)).await
    })
}

/// `tidegate schema`: writes the JSON Schema of the file to standard output.
///
/// # Errors
/// When standard output cannot be written.
pub fn schema() -> Result<(), Failure> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{:#}", config::schema())?;
    Ok(())
}

/// `tidegate explain`: reads the configuration as `run` would, and writes to standard output what would become of a request.
///
/// # Errors
/// When the configuration is wrong, or the request cannot be sent.
pub fn explain(
    file: Option<&Path>,
    overrides: &Flags,
    question: &explain::Question,
    format: Format,
) -> Result<(), Failure> {
    use std::io::Write as _;
    let config = config::load(file, overrides).map_err(Failure::Config)?;
    let explanation = explain::explained(&config, question, format)?;
    std::io::stdout().write_all(explanation.as_bytes()).context("cannot write")?;
    Ok(())
}

/// What an instance starts with.
struct Start {
    config: Config,
    socket: Option<PassedSocket>,
    /// Where the configuration is read again.
    source: Option<Source>,
}

/// Runs until told to end. `started` learns the addresses of the proxy and of the ops listener.
async fn serve(
    start: Start,
    mut signals: Signals,
    log: &Log,
    started: impl FnOnce(&Listen, SocketAddr) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let Start { config, socket, source } = start;
    let metrics = metrics::install()?;
    let process = metrics_process::Collector::default();
    process.collect();
    let now = clock::unix_time();
    let warnings = config.warnings_at(now);
    let Config { settings, policy, certificates, hash, .. } = config;
    let reminder = Reminder::new(config::certificate_warnings(&certificates, now), now);
    cgroup::log_limit(&settings.bounds);
    raise_file_limit(&settings);
    let meter = Arc::new(ProxyMeter::default());
    reload::announce(&policy, &meter);
    let rules = policy.rules().len();
    let limiter = Arc::new(limiter(&settings.store)?);
    let overrides = Overrides::new(policy, Arc::clone(&limiter));
    let live = overrides.live();
    let (clients, ops_listener) = (
        ClientListener::open(&settings, socket, &live).await?,
        bind::tcp("ops_listen", settings.ops_listen).await?,
    );
    let (address, ops_address) = (clients.address.clone(), ops_listener.local_addr()?);
    let admin_listener = admin_listener::open(settings.admin.listen).await?;
    let admin_address = admin_listener::address(admin_listener.as_ref())?;
    let (protocol, upstream_tls) = upstream::protocol(&settings.upstream)?;
    reload::log_warnings(&warnings);

    reload::in_force(&certificates, &hash);
    let admin_settings = Arc::new(ArcSwap::from_pointee(settings.admin.clone()));
    let read_at = clock::unix_seconds();
    let reloads = match source {
        None => Reloads::of_flags(read_at),
        Some(source) => {
            let (reloads, wanted) = source.reloads(read_at);
            let renewable = Renewable {
                limiter: Arc::clone(&limiter),
                server_tls: clients.handshake.tls.clone(),
                upstream_tls,
                admin: Arc::clone(&admin_settings),
            };
            let reloader = Reloader {
                source,
                running: settings.clone(),
                policies: overrides.clone(),
                renewable,
                meter: Arc::clone(&meter),
                certificates,
                reminder,
                reloads: reloads.clone(),
                wanted,
            };
            tokio::spawn(reloader.run());
            reloads
        }
    };

    let (drain, ops_drain) = (Drain::default(), Drain::default());
    let (reported, scraped) = (Arc::clone(&limiter), Arc::clone(&limiter));
    let scrape = move || {
        scraped.shared_store().inspect(|store| store.refresh_metrics());
        metrics.render()
    };
    let ops = Ops::new(scrape, drain.leaving.clone(), move || status::report(&reported));
    let ops_listener = Listener::Tcp(ops_listener);
    tokio::spawn(server::run(ops_listener, Handshake::default(), ops_drain, move |request, _| {
        let answer = ops.handle(&request);
        async move { answer }
    }));
    let parts = admin::Parts {
        overrides: overrides.clone(),
        limiter: Arc::clone(&limiter),
        bounds: settings.bounds.clone(),
        reloads: reloads.clone(),
        settings: admin_settings,
    };
    admin_listener::serve(admin_listener, parts);
    let application = Arc::new(Upstream::new(settings.upstream.clone(), protocol, &settings.bounds));
    let (used, bounds) = (Arc::clone(&application), settings.bounds.clone());
    let proxy = Arc::new(Proxy::new(live, Arc::clone(&limiter), used, meter, bounds));
    let logged = Arc::clone(&proxy);
    let ClientListener { listener, handshake, socket, .. } = clients;
    let serving = server::run(listener, handshake, drain.clone(), move |request, connection| {
        Arc::clone(&proxy).handle(request, connection)
    });
    let serving = tokio::spawn(serving);
    // As many as the CPU quota allows.
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    tracing::info!(listen = %address, ops_listen = %ops_address, admin_listen = admin_address, upstream = %settings.upstream, rules, workers, "serving");
    started(&address, ops_address)?;

    let mut upkeep = tokio::time::interval(UPKEEP_EVERY);
    let command = loop {
        let command = tokio::select! {
            command = signals.next() => command,
            _ = upkeep.tick() => {
                // Not with each scrape: it reads the list of open files, which is long.
                process.collect();
                metrics::log_lines_dropped(log.dropped() as u64);
                limiter.sweep();
                application.sweep();
                logged.log_wrong_secrets();
                continue;
            }
        };
        match command {
            SignalCommand::Reload if reloads.on_signal() => {}
            SignalCommand::Reload => {
                tracing::warn!("there is no file to read again: tidegate was started without --config")
            }
            SignalCommand::Drain | SignalCommand::Stop => break command,
        }
    };
    shut_down(command, &settings.shutdown, &drain, serving, &mut signals).await;
    drop(socket);
    Ok(())
}

/// Shuts down without losing a request: first responses make clients connect elsewhere, then the listener closes, and
/// requests under way are finished within the grace period. A second signal closes all connections at once.
async fn shut_down(
    command: SignalCommand,
    shutdown: &Shutdown,
    drain: &Drain,
    serving: JoinHandle<()>,
    signals: &mut Signals,
) {
    tracing::info!("shutting down");
    let orderly = async {
        drain.leaving.cancel();
        if command == SignalCommand::Drain {
            tokio::time::sleep(shutdown.settle).await;
        }
        drain.closing.cancel();
        serving.await
    };
    let again = async { while signals.next().await == SignalCommand::Reload {} };
    tokio::select! {
        ended = timeout(shutdown.grace, orderly) => match ended {
            Ok(_) => tracing::info!("all connections ended, shutdown complete"),
            Err(_) => tracing::warn!("the grace period is over: closing the remaining connections"),
        },
        () = again => tracing::warn!("second signal: closing the remaining connections"),
    }
}

/// Each request under way needs two files, and the usual soft limit of 1,024 is for programs that use select(2).
fn raise_file_limit(settings: &Settings) {
    let wanted = 2 * settings.bounds.connections as u64;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit >= wanted => {}
        Ok(limit) => {
            tracing::warn!(limit, wanted, "connections will fail at the limit of open files: raise it")
        }
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

fn start_log(log: &LogArgs) -> anyhow::Result<Log> {
    let filter = log.log.as_deref().unwrap_or(DEFAULT_FILTER);
    logging::start(filter, log.log_format, log.log_to)
        .with_context(|| format!("the log filter '{filter}' cannot be read"))
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let done = runtime.block_on(work);
    // Not waiting for what may hang: a look at a file, a name that nobody resolves.
    runtime.shutdown_background();
    done
}

fn limiter(settings: &StoreSettings) -> anyhow::Result<Limiter> {
    Ok(match settings {
        StoreSettings::Memory { max_keys } => {
            Limiter::new(Store::Memory(MemoryStore::new(*max_keys, Clock::Real)), 1, Clock::Real)
        }
        StoreSettings::Redis(settings) => {
            let store = RedisStore::new(settings, redis::access(settings)?, Clock::Real);
            Limiter::new(Store::Redis(store), settings.instances, Clock::Real)
        }
    })
}
