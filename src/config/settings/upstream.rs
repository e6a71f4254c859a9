//! The application: where it is, how it is spoken to, and what may be asked of it at once. Pure.

mod url;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::tls;
use crate::config::diagnostic::Fault;
use crate::config::listen::same_path;
use crate::config::report::Spanned;
use crate::config::yaml::Step;
use crate::config::{Overrides, Secrets, schema};
use crate::settings::{ClientTls, Listen, UpstreamAddress, UpstreamProtocol, UpstreamSettings};
use url::{Scheme, Target};

/// Outer None: there is none. Inner None: there is one, but it is wrong.
type Parsed<'p> = Option<Option<&'p Spanned<Target>>>;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);
/// Below the 5 s after which common servers close an idle connection: it is tidegate that closes first, and no
/// request crosses the closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const CONNECTIONS: usize = 1024;
const PENDING: usize = 1024;

pub(super) fn settings(
    file: &schema::File,
    overrides: &Overrides,
    listen: &Listen,
    secrets: &Secrets<'_>,
) -> Option<UpstreamSettings> {
    let flag = overrides
        .upstream
        .clone()
        .map(|url| Spanned { value: url, location: overrides.location("--upstream", &file.root) });
    let none = schema::Upstream::default();
    let (shape, location) = match &file.upstream {
        Some(at) => (&at.value, at.location.then(Step::Absent("url"))),
        None => (&none, file.root.then(Step::Absent("upstream"))),
    };
    // The file's own must be right even where a flag wins.
    let mut parsed = |at: &Spanned<String>| {
        let target = at.location.check(url::parse(&at.value))?;
        Some(Spanned { value: target, location: at.location.clone() })
    };
    let flagged = flag.as_ref().map(&mut parsed);
    let written = shape.url.as_ref().map(|at| at.as_ref().and_then(&mut parsed));
    if flagged.is_none() && written.is_none() {
        let fault =
            Fault::new("the upstream is missing", format!("{}, or give --upstream", url::UPSTREAM_HELP));
        location.error(fault);
    }
    let certificates = match &shape.tls {
        Some(at) => tls::client(at, secrets),
        None => Some(ClientTls::default()),
    };
    let [flag, file] = [&flagged, &written].map(|target| target.as_ref().map(Option::as_ref));
    unused_tls(shape, flag, file);
    let (target, certificates) = (flagged.or(written)??, certificates?);
    let number = |written: Option<i64>| written.and_then(|number| usize::try_from(number).ok());
    let upstream = UpstreamSettings {
        protocol: protocol(&target, certificates),
        address: target.value.address,
        connect_timeout: shape.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        response_timeout: shape.response_timeout.unwrap_or(RESPONSE_TIMEOUT),
        idle_timeout: shape.idle_timeout.unwrap_or(IDLE_TIMEOUT),
        connections: number(shape.connections).unwrap_or(CONNECTIONS),
        pending: number(shape.pending).unwrap_or(PENDING),
        retry: shape.retry.unwrap_or(true),
    };
    if calls_itself(&upstream.address, listen) {
        let what = if matches!(listen, Listen::Tcp(_)) { "port" } else { "path" };
        let message = format!("{upstream} is where tidegate itself listens: it would call itself");
        target.location.error(Fault::new(message, format!("give listen or the upstream another {what}")));
        return None;
    }
    Some(upstream)
}

/// Whoever writes `tls` means it: a scheme that leaves it out is a slip, and not a harmless one.
fn unused_tls(shape: &schema::Upstream, flagged: Parsed<'_>, written: Parsed<'_>) {
    fn plain(target: Parsed<'_>) -> Option<&Spanned<Target>> {
        target.flatten().filter(|at| at.value.scheme != Scheme::Https)
    }
    let Some(at) = &shape.tls else { return };
    let help = "write https://HOST:PORT";
    if plain(written.or(flagged)).is_some() {
        let message = "tls is set, but the application is reached without it";
        let fault = Fault::new(message, format!("{help}, or remove tls"));
        at.location.key().error(fault);
    } else if let Some(flag) = plain(flagged) {
        let message = "the application is reached without the TLS that the file asks for";
        flag.location.warn(message, help);
    }
}

fn protocol(target: &Spanned<Target>, tls: ClientTls) -> UpstreamProtocol {
    match target.value.scheme {
        Scheme::Http => UpstreamProtocol::Http1,
        Scheme::H2c => UpstreamProtocol::H2c,
        Scheme::Https => {
            if let (UpstreamAddress::Tcp(authority), None) = (&target.value.address, &tls.server_name) {
                tls::certifiable(bare(authority.host()), &target.location);
            }
            UpstreamProtocol::Tls(tls)
        }
    }
}

/// The host without the brackets of IPv6.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

fn calls_itself(target: &UpstreamAddress, listen: &Listen) -> bool {
    match (target, listen) {
        (UpstreamAddress::Unix(path), Listen::Unix(own)) => same_path(path, own),
        (UpstreamAddress::Tcp(authority), Listen::Tcp(own)) => {
            let host = bare(authority.host());
            let ip = if host.eq_ignore_ascii_case("localhost") {
                Some(Ipv4Addr::LOCALHOST.into())
            } else {
                host.parse().ok()
            };
            let same = |ip: IpAddr| {
                ip == own.ip() || (own.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
            };
            authority.port_u16() == Some(own.port()) && ip.is_some_and(same)
        }
        _ => false,
    }
}
