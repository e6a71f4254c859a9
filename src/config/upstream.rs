//! Reads the upstream: its URL alone, or a mapping. Pure.

mod url;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::diagnostic::Fault;
use super::key_table::Kind;
use super::listen::same_path;
use super::report::{Location, Spanned};
use super::section::{Field, Hint, Section};
use super::tls;
use super::value::Value;
use super::yaml::Node;
use super::{Overrides, Secrets};
use crate::settings::{ClientTls, Listen, UpstreamAddress, UpstreamProtocol, UpstreamSettings};
use url::{Scheme, Target};

const HINTS: &[Hint] = &[
    (
        &["timeout", "read_timeout"],
        "there are several timeouts",
        "expected connect_timeout for the connection, response_timeout for the head of the response, \
         bounds.body_idle_timeout for its body",
    ),
    (&["keepalive_timeout"], "this timeout has another name", "expected idle_timeout"),
    (&["max_connections"], "this bound has another name", "expected connections"),
    (&["max_pending"], "this bound has another name", "expected pending"),
    (&["retries"], "a request is sent at most once more", "expected retry: true or retry: false"),
    (&["ca_file"], "certificates belong under tls", "expected tls: { ca_file: FILE }"),
    (
        &["protocol"],
        "the protocol is part of the url",
        "expected url: h2c://HOST:PORT, https://HOST:PORT and so on",
    ),
    (&["urls"], "tidegate has one upstream", "expected url: URL"),
];

/// Below the 5 s after which common servers close an idle connection: it is tidegate that closes first, and no
/// request crosses the closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

const URL_HELP: &str = "expected http://HOST:PORT";

/// Reads the upstream of the file, and the flag that takes the place of its URL.
pub(super) fn read(
    file: &mut Section<'_>,
    overrides: &Overrides,
    listen: &Listen,
    secrets: &Secrets<'_>,
) -> Option<UpstreamSettings> {
    let flag = overrides.spanned("--upstream", overrides.upstream.as_ref(), &file.location);
    let value = file.value("upstream", Kind::TextOrMapping("URL"), "");
    let (alone, mapping) = match value {
        Some(value) if matches!(value.node, Node::Map(_)) => (None, value),
        Some(value) => (Some(value.clone()), Value::empty(value.location)),
        None => (None, Value::empty(file.absent("upstream"))),
    };
    let is_absent = alone.is_none() && !file.has("upstream");
    mapping.section(HINTS, |section| {
        let url = section.value("url", Kind::Text("URL"), "");
        let missing = if is_absent { section.location.clone() } else { section.absent("url") };
        // The file's own must be valid even where a flag wins.
        let written =
            Field::read(alone.or(url), |value| value.text(URL_HELP)?.check(|text| url::parse(text)));
        let flagged = Field::read(flag, |flag| flag.check(|text| url::parse(text)));
        if written.is_absent() && flagged.is_absent() {
            let help = format!("{}, or --upstream", url::UPSTREAM_HELP);
            missing.error(Fault::new("the upstream is missing", help));
        }
        let tls = section.value("tls", Kind::Mapping, "");
        let certificates = match &tls {
            Some(tls) => tls::client(tls, secrets),
            None => Some(ClientTls::default()),
        };
        if let Some(tls) = &tls {
            unused_tls(&tls.location, &flagged, &written);
        }
        let target = flagged.or(written).present();
        let settings = UpstreamSettings {
            connect_timeout: section.duration("connect_timeout", ("1ms", "1m"), Duration::from_secs(2)),
            response_timeout: section.duration("response_timeout", ("1ms", "1h"), Duration::from_secs(60)),
            idle_timeout: section.duration("idle_timeout", ("0s", "1h"), IDLE_TIMEOUT),
            connections: section.integer("connections", 1..=65_536, 1024),
            pending: section.integer("pending", 0..=65_536, 1024),
            retry: section.boolean("retry", true),
            // Last, as every key is to be read, also where these are faulty.
            protocol: protocol(target.as_ref()?, certificates?),
            address: target.as_ref()?.value.address.clone(),
        };
        if calls_itself(&settings.address, listen) {
            let what = if matches!(listen, Listen::Tcp(_)) { "port" } else { "path" };
            let message = format!("{settings} is the address that tidegate itself listens on");
            let help = format!("expected another {what} for listen or for the upstream");
            target?.location.error(Fault::new(message, help));
        }
        Some(settings)
    })
}

/// Reports `tls` beside a URL without TLS: such a scheme is a slip, and not a harmless one.
fn unused_tls(tls: &Location, flagged: &Field<Spanned<Target>>, written: &Field<Spanned<Target>>) {
    let plain = |target: Field<&Spanned<Target>>| {
        target.present().filter(|at| at.value.scheme != Scheme::Https).map(|at| at.location.clone())
    };
    let help = "expected https://HOST:PORT";
    if plain(written.as_ref().or(flagged.as_ref())).is_some() {
        let message = "tls is set, but the upstream is reached without it";
        tls.key().error(Fault::new(message, format!("{help}, or remove tls")));
    } else if let Some(flag) = plain(flagged.as_ref()) {
        flag.warn("the upstream is reached without the TLS that the file asks for", help);
    }
}

fn protocol(target: &Spanned<Target>, tls: ClientTls) -> UpstreamProtocol {
    match target.value.scheme {
        Scheme::Http => UpstreamProtocol::Http1,
        Scheme::H2c => UpstreamProtocol::H2c,
        Scheme::Https => {
            if let (UpstreamAddress::Tcp { host, .. }, None) = (&target.value.address, &tls.server_name) {
                tls::certifiable(host, &target.location);
            }
            UpstreamProtocol::Tls(tls)
        }
    }
}

fn calls_itself(target: &UpstreamAddress, listen: &Listen) -> bool {
    match (target, listen) {
        (UpstreamAddress::Unix(path), Listen::Unix(own)) => same_path(path, own),
        (UpstreamAddress::Tcp { host, port }, Listen::Tcp(own)) => {
            let ip = if host.eq_ignore_ascii_case("localhost") {
                Some(Ipv4Addr::LOCALHOST.into())
            } else {
                host.parse().ok()
            };
            let same = |ip: IpAddr| {
                ip == own.ip() || (own.ip().is_unspecified() && (ip.is_loopback() || ip.is_unspecified()))
            };
            *port == own.port() && ip.is_some_and(same)
        }
        _ => false,
    }
}
