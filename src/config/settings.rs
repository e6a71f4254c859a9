//! What the process is started with: addresses, the upstream, the store, the shutdown. Pure.

mod redis;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::uri::Authority;

use super::problem::{Wrong, shown};
use super::report::{At, Place, Report};
use super::schema;
use super::{Overrides, Secrets};
pub use redis::{Credentials, Identity, RedisAddress, RedisSettings, RedisTls, RedisTopology};

/// Everything that is not a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where requests come in.
    pub listen: SocketAddr,
    /// Where probes and metrics are served.
    pub ops_listen: SocketAddr,
    /// The application.
    pub upstream: Upstream,
    /// Where the counters are.
    pub store: StoreSettings,
    /// How the process ends.
    pub shutdown: Shutdown,
}

/// The application behind the proxy, by HTTP over TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    authority: Authority,
}

impl Upstream {
    /// Host and port, as they were written; without a port it is 80.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// Where the counters are.
#[derive(Clone, Debug, PartialEq)]
pub enum StoreSettings {
    /// In this process.
    Memory {
        /// The most counters kept.
        max_keys: usize,
    },
    /// In a Redis that all instances share.
    Redis(Box<RedisSettings>),
}

impl StoreSettings {
    /// What of it cannot change while tidegate runs: all but credentials, and what the files of TLS hold.
    #[must_use]
    pub fn fixed(&self) -> Self {
        match self {
            Self::Redis(redis) => Self::Redis(Box::new(redis.fixed())),
            Self::Memory { .. } => self.clone(),
        }
    }
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long it still accepts connections while it says that it is not ready.
    pub settle: Duration,
    /// How long all of it may take, `settle` included.
    pub grace: Duration,
}

/// A text that is not printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: for whoever sends it, never for whoever prints.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const OPS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9902);
const MAX_KEYS: i64 = 1_000_000;
const SETTLE: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(25);

/// Puts file and flags together.
pub(super) fn settings(
    file: &schema::File,
    overrides: &Overrides,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<Settings> {
    let listen = address(overrides.listen, "--listen", file.listen.as_ref(), LISTEN);
    let ops_listen = address(overrides.ops_listen, "--ops-listen", file.ops_listen.as_ref(), OPS_LISTEN);
    if overlap(listen.value, ops_listen.value) {
        let message = format!("{} is taken by listen", ops_listen.value);
        report.error(&ops_listen.place, Wrong::new(message, "give probes and metrics a port of their own"));
    }
    let upstream = upstream(file, overrides, listen.value, report);
    let store = store(&file.store, overrides, secrets, report);
    let shutdown = shutdown(file, report);
    Some(Settings {
        listen: listen.value,
        ops_listen: ops_listen.value,
        upstream: upstream?,
        store: store?,
        shutdown,
    })
}

fn address(
    flag: Option<SocketAddr>,
    name: &str,
    file: Option<&At<SocketAddr>>,
    default: SocketAddr,
) -> At<SocketAddr> {
    let flag = flag.map(|value| At { value, place: Place::Flag(name.to_owned()) });
    flag.or_else(|| file.cloned()).unwrap_or_else(|| At { value: default, place: Place::root() })
}

/// Whether the two cannot be open at once. Port 0 is any free port.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let shared = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && shared
}

const UPSTREAM_REMEDY: &str = "write http://HOST:PORT, such as http://127.0.0.1:9080";

fn upstream(
    file: &schema::File,
    overrides: &Overrides,
    listen: SocketAddr,
    report: &mut Report,
) -> Option<Upstream> {
    let flag =
        overrides.upstream.clone().map(|value| At { value, place: Place::Flag("--upstream".to_owned()) });
    // The file's own must be right even where a flag wins.
    let mut parsed = |at: &At<String>| {
        report.take(&at.place, parse_upstream(&at.value)).map(|value| (at.place.clone(), value))
    };
    let written = file.upstream.as_ref().map(|at| at.as_ref().and_then(&mut parsed));
    let (place, upstream) = match (flag.as_ref().map(parsed), written) {
        (Some(found), _) | (None, Some(found)) => found?,
        (None, None) => {
            let wrong =
                Wrong::new("the upstream is missing", format!("{UPSTREAM_REMEDY}, or give --upstream"));
            report.error(&Place::root().then(super::yaml::Step::Absent("upstream")), wrong);
            return None;
        }
    };
    if calls_itself(&upstream.authority, listen) {
        let message = format!("{upstream} is where tidegate itself listens: it would call itself");
        report.error(&place, Wrong::new(message, "give listen or the upstream another port"));
        return None;
    }
    Some(upstream)
}

fn parse_upstream(text: &str) -> Result<Upstream, Wrong> {
    if text.contains('@') {
        // Not shown: it may be a password.
        return Err(Wrong::new("an upstream takes no user or password", UPSTREAM_REMEDY));
    }
    let wrong = |what: &str| Wrong::new(format!("'{}' {what}", shown(text)), UPSTREAM_REMEDY);
    if let Some((scheme @ ("https" | "h2c" | "unix"), _)) = text.split_once(':') {
        let remedy = format!("{UPSTREAM_REMEDY}: plain HTTP/1.1 is what works so far");
        return Err(Wrong::new(format!("{scheme} upstreams are not built yet"), remedy));
    }
    let rest = text.strip_prefix("http://").ok_or_else(|| wrong("is no upstream"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(wrong("holds more than host and port: requests keep their own path"));
    }
    let authority: Authority = rest.parse().map_err(|_| wrong("has no valid host"))?;
    let port = match authority.as_str().get(authority.host().len()..).unwrap_or_default() {
        "" => Some(80),
        port => port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()),
    };
    if port.is_none_or(|port| port == 0) {
        return Err(wrong("has no valid port"));
    }
    if authority.host().is_empty() {
        return Err(wrong("has no valid host"));
    }
    Ok(Upstream { authority })
}

fn calls_itself(upstream: &Authority, listen: SocketAddr) -> bool {
    let host = upstream.host().trim_start_matches('[').trim_end_matches(']');
    let ip = if host.eq_ignore_ascii_case("localhost") {
        Some(Ipv4Addr::LOCALHOST.into())
    } else {
        host.parse().ok()
    };
    let same = |ip: IpAddr| {
        ip == listen.ip() || (listen.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
    };
    listen.port() == upstream.port_u16().unwrap_or(80) && ip.is_some_and(same)
}

fn store(
    file: &schema::Store,
    overrides: &Overrides,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<StoreSettings> {
    if let (Some(memory), Some(redis)) = (&file.memory, &file.redis) {
        let wrong = Wrong::new("there are two stores", "keep either memory or redis");
        report.collision(&redis.place.clone().key(), wrong, &memory.place.clone().key());
        return None;
    }
    let flag = Place::Flag("--redis".to_owned());
    let flag = overrides.redis.clone().map(|value| At { value, place: flag });
    if let (Some(at), true) = (&flag, overrides.memory) {
        report.error(&at.place, Wrong::new("the memory store is asked for as well", "give one of the two"));
        return None;
    }
    // The file's store must be right even where a flag wins.
    let redis = match (&file.redis, &flag) {
        (None, None) => None,
        (None, Some(_)) => {
            Some(redis::settings(&schema::Redis::default(), &Place::root(), flag, secrets, report))
        }
        (Some(at), _) => Some(redis::settings(&at.value, &at.place, flag, secrets, report)),
    };
    match redis {
        Some(redis) if !overrides.memory => redis.map(|redis| StoreSettings::Redis(Box::new(redis))),
        _ => {
            let max_keys = file.memory.as_ref().and_then(|at| at.value).unwrap_or(MAX_KEYS);
            Some(StoreSettings::Memory { max_keys: usize::try_from(max_keys).unwrap_or(usize::MAX) })
        }
    }
}

fn shutdown(file: &schema::File, report: &mut Report) -> Shutdown {
    let settle = file.settle.as_ref().map_or(SETTLE, |at| at.value);
    let grace = file.grace.as_ref().map_or(GRACE, |at| at.value);
    if settle > grace {
        let place =
            file.grace.as_ref().or(file.settle.as_ref()).map_or_else(Place::root, |at| at.place.clone());
        let message = format!("grace ({grace:?}) is shorter than settle ({settle:?}), which is part of it");
        report.error(
            &place,
            Wrong::new(message, "make grace the longer one: it is the whole time to shut down"),
        );
    }
    Shutdown { settle, grace }
}
