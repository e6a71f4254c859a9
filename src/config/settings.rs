//! What the process is started with: addresses, the upstream, the store, the shutdown. Pure.

mod redis;
mod tls;
mod upstream;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::diagnostic::Fault;
use super::network::covers_all;
use super::report::{Location, Spanned};
use super::schema;
use super::{Overrides, Secrets};
use crate::settings::{Listen, Settings, Shutdown, StoreSettings};

const LISTEN: Listen = Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080));
const OPS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9902);
const MAX_KEYS: i64 = 1_000_000;
const SETTLE: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(25);

/// Puts file and flags together.
pub(super) fn settings(
    file: &schema::File,
    overrides: &Overrides,
    secrets: &Secrets<'_>,
) -> Option<Settings> {
    let root = &file.root;
    let location = overrides.location("--listen", root);
    let default = Spanned { value: LISTEN, location: root.clone() };
    let listen = chosen(overrides.listen.clone(), location, file.listen.as_ref(), default);
    let location = overrides.location("--ops-listen", root);
    let default = Spanned { value: OPS_LISTEN, location: root.clone() };
    let ops_listen = chosen(overrides.ops_listen, location, file.ops_listen.as_ref(), default);
    if let Listen::Tcp(address) = listen.value
        && overlap(address, ops_listen.value)
    {
        let message = format!("{} is taken by listen", ops_listen.value);
        ops_listen.location.error(Fault::new(message, "give probes and metrics a port of their own"));
    }
    let listen_mode = listen_mode(file.listen_mode.as_ref(), &listen.value);
    let tls = file.tls.as_ref().map(|at| tls::server(at, secrets));
    let proxy_protocol = proxy_protocol(file.proxy_protocol.as_ref(), &listen);
    let upstream = upstream::settings(file, overrides, &listen.value, secrets);
    let store = store(file, overrides, secrets);
    let shutdown = shutdown(file);
    Some(Settings {
        listen: listen.value,
        listen_mode,
        ops_listen: ops_listen.value,
        tls: match tls {
            Some(tls) => Some(tls?),
            None => None,
        },
        proxy_protocol,
        upstream: upstream?,
        bounds: file.bounds.clone(),
        store: store?,
        shutdown,
    })
}

fn chosen<T: Clone>(
    flag: Option<T>,
    location: Location,
    file: Option<&Spanned<T>>,
    default: Spanned<T>,
) -> Spanned<T> {
    let flag = flag.map(|value| Spanned { value, location });
    flag.or_else(|| file.cloned()).unwrap_or(default)
}

fn listen_mode(file: Option<&Spanned<u32>>, listen: &Listen) -> Option<u32> {
    let at = file?;
    if let Listen::Tcp(address) = listen {
        let message = format!("only a Unix socket has a mode, and tidegate listens on {address}");
        let fault = Fault::new(message, "remove listen_mode, or listen on unix:PATH");
        at.location.key().error(fault);
    }
    Some(at.value)
}

/// The peers that must say first whom they speak for.
fn proxy_protocol(file: Option<&Spanned<Vec<Spanned<IpNet>>>>, listen: &Spanned<Listen>) -> Vec<IpNet> {
    let Some(Spanned { value: networks, location }) = file else { return Vec::new() };
    if matches!(listen.value, Listen::Unix(_)) {
        let message = "tidegate listens on a Unix socket, whose peers have no address that could be trusted";
        let fault = Fault::new(message, "remove proxy_protocol, or listen on IP:PORT");
        location.key().collision(fault, &listen.location);
    }
    for at in networks.iter().filter(|at| covers_all(&at.value)) {
        at.location.warn(
            "every connection must begin with a PROXY header, and whoever connects may claim any address",
            "list the networks of your own balancers only",
        );
    }
    networks.iter().map(|at| at.value).collect()
}

/// Whether the two cannot be open at once. Port 0 is any free port.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let shared = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && shared
}

fn store(
    schema::File { store: file, root, .. }: &schema::File,
    overrides: &Overrides,
    secrets: &Secrets<'_>,
) -> Option<StoreSettings> {
    if let (Some(memory), Some(redis)) = (&file.memory, &file.redis) {
        let fault = Fault::new("there are two stores", "keep either memory or redis");
        redis.location.key().collision(fault, &memory.location.key());
        return None;
    }
    let flag =
        overrides.redis.clone().map(|value| Spanned { value, location: overrides.location("--redis", root) });
    if let (Some(at), true) = (&flag, overrides.memory) {
        at.location.error(Fault::new("the memory store is asked for as well", "give one of the two"));
        return None;
    }
    // The file's store must be right even where a flag wins.
    let redis = match (&file.redis, &flag) {
        (None, None) => None,
        (None, Some(_)) => Some(redis::settings(&schema::Redis::default(), root, flag, secrets)),
        (Some(at), _) => Some(redis::settings(&at.value, &at.location, flag, secrets)),
    };
    match redis {
        Some(redis) if !overrides.memory => redis.map(|redis| StoreSettings::Redis(Box::new(redis))),
        _ => {
            let max_keys = file.memory.as_ref().and_then(|at| at.value).unwrap_or(MAX_KEYS);
            Some(StoreSettings::Memory { max_keys: usize::try_from(max_keys).unwrap_or(usize::MAX) })
        }
    }
}

fn shutdown(file: &schema::File) -> Shutdown {
    let settle = file.settle.as_ref().map_or(SETTLE, |at| at.value);
    let grace = file.grace.as_ref().map_or(GRACE, |at| at.value);
    if settle > grace {
        let location = file
            .grace
            .as_ref()
            .or(file.settle.as_ref())
            .map_or_else(|| file.root.clone(), |at| at.location.clone());
        let message = format!("grace ({grace:?}) is shorter than settle ({settle:?}), which is part of it");
        location.error(Fault::new(message, "make grace the longer one: it is the whole time to shut down"));
    }
    Shutdown { settle, grace }
}
