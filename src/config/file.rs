//! Reads the whole file, with the flags over it. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::diagnostic::Fault;
use super::key_table::Kind;
use super::network::{covers_all, networks};
use super::report::Spanned;
use super::section::{Field, Hint, Section};
use super::value::Value;
use super::yaml::Node;
use super::{Overrides, Secrets, admin, bounds, listen, policy, store, tls, upstream};
use crate::logging;
use crate::policy::Policy;
use crate::settings::{Listen, Settings, Shutdown};

const HINTS: &[Hint] = &[
    (&["cert_file"], "certificates belong under tls", "expected tls: with cert_file and key_file"),
    (
        &["timeout"],
        "there are several timeouts",
        "set those of clients in bounds, and those of the upstream in upstream",
    ),
    (
        &["timeouts"],
        "timeouts belong to what they apply to",
        "set those of clients in bounds, and those of the upstream in upstream",
    ),
    (&["max_connections"], "this bound belongs under bounds", "expected bounds: { connections: NUMBER }"),
    (
        &["admin_listen"],
        "the address of the admin API belongs under admin",
        "expected admin: { listen: IP:PORT }",
    ),
    (
        &["limits"],
        "limits belong under rules",
        "expected rules: with a list of rules, each with a name and a rate",
    ),
];
const PROXY_PROTOCOL_HINTS: &[Hint] = &[
    (&["version"], "the PROXY header of each connection has the version", "remove the key"),
    (
        &["trusted_proxies"],
        "trusted_proxies is about header fields, and belongs under client",
        "expected trusted: [NETWORKS]",
    ),
];

const LOG_HELP: &str = "expected a level, or TARGET=LEVEL with ',' between several, such as info,h2=error";

const LISTEN: Listen = Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080));
/// The default of `ops_listen`.
pub const OPS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 9902);

/// Reads the file. None: there is a fault in it, which has been reported.
pub(super) fn read(
    root: &Value<'_>,
    overrides: &Overrides,
    limits: &[Value<'_>],
    secrets: &Secrets<'_>,
) -> Option<(Settings, Policy)> {
    root.section(HINTS, |file| {
        let listen = listen(file, overrides);
        let listen_mode = listen_mode(file, &listen.value);
        let ops_listen = ops_listen(file, overrides, &listen.value);
        let mut others = vec![("ops_listen", ops_listen)];
        if let Listen::Tcp(address) = listen.value {
            others.push(("listen", address));
        }
        let admin = admin::read(file, overrides, &others, secrets);
        // An empty one does not count as absent, unlike other sections: clients would be served in plain text.
        let tls = Field::read(file.value("tls", Kind::Mapping, ""), |value| tls::server(&value, secrets));
        let proxy_protocol = proxy_protocol(file, &listen);
        let upstream = upstream::read(file, overrides, &listen.value, secrets);
        let bounds = bounds::read(file, overrides.default_connections);
        let (store, on_outage) = store::read(file, overrides, secrets);
        let clients_named = match &tls {
            Field::Absent => false,
            Field::Present(tls) => tls.client_ca.is_some(),
            // One fault is enough.
            Field::Faulty => true,
        };
        let policy = policy::read(file, limits, on_outage, clients_named, secrets);
        let shutdown = shutdown(file);
        let log = file.value("log", Kind::Text("a [filter](#log-filter)"), "info,h2=error");
        let log = log.and_then(|value| value.parsed("a log filter", LOG_HELP, log_filter));
        let settings = Settings {
            listen: listen.value,
            listen_mode,
            ops_listen,
            admin: admin?,
            tls: match tls {
                Field::Absent => None,
                Field::Present(tls) => Some(tls),
                Field::Faulty => return None,
            },
            proxy_protocol,
            upstream: upstream?,
            bounds,
            store: store?,
            shutdown,
            log: log.map(|at| at.value),
        };
        Some((settings, policy))
    })
}

fn log_filter(text: &str) -> Result<String, Fault> {
    logging::check(text).map(|()| text.to_owned()).map_err(|error| Fault::new(error.to_string(), LOG_HELP))
}

fn listen(file: &mut Section<'_>, overrides: &Overrides) -> Spanned<Listen> {
    let value = file.value("listen", Kind::Text("`IP:PORT` or `unix:PATH`"), LISTEN);
    let written = value.and_then(|value| value.parsed("an address", listen::LISTEN_HELP, listen::listen));
    let flag = overrides.spanned("--listen", overrides.listen.as_ref(), &file.location);
    flag.or(written).unwrap_or_else(|| Spanned { value: LISTEN, location: file.location.clone() })
}

fn listen_mode(file: &mut Section<'_>, listen: &Listen) -> Option<u32> {
    let value = file.value("listen_mode", Kind::Text("octal digits"), "")?;
    let mode = value.parsed("a text", listen::MODE_HELP, listen::socket_mode)?;
    if let Listen::Tcp(address) = listen {
        let message = format!("only a Unix socket has a mode, and tidegate listens on {address}");
        mode.location.key().error(Fault::new(message, "remove listen_mode, or listen on unix:PATH"));
    }
    Some(mode.value)
}

fn ops_listen(file: &mut Section<'_>, overrides: &Overrides, listen: &Listen) -> SocketAddr {
    let value = file.value("ops_listen", Kind::Text("`IP:PORT`"), OPS_LISTEN);
    let written = value.and_then(|value| value.parsed("an address", listen::OPS_HELP, listen::ops_address));
    let flag = overrides.spanned("--ops-listen", overrides.ops_listen.as_ref(), &file.location);
    let chosen = flag.or(written);
    let address = chosen.as_ref().map_or(OPS_LISTEN, |at| at.value);
    if let Listen::Tcp(taken) = listen
        && listen::overlap(*taken, address)
    {
        let location = chosen.map_or_else(|| file.location.clone(), |at| at.location);
        let message = format!("{address} is the address of listen");
        location.error(Fault::new(message, "expected a port of its own for probes and metrics"));
    }
    address
}

/// Reads the peers whose connections begin with a header of the PROXY protocol.
fn proxy_protocol(file: &mut Section<'_>, listen: &Spanned<Listen>) -> Vec<IpNet> {
    let help =
        "expected trusted: and the networks of the balancers that send PROXY headers, such as [10.0.0.0/8]";
    // An empty one does not count as absent, as with `tls`.
    let Some(value) = file.value("proxy_protocol", Kind::Mapping, "") else { return Vec::new() };
    if matches!(listen.value, Listen::Unix(_)) {
        let message = "tidegate listens on a Unix socket, whose peers have no address that could be trusted";
        let fault = Fault::new(message, "remove proxy_protocol, or listen on IP:PORT");
        value.location.key().collision(fault, &listen.location);
    }
    let trusted = value.section(PROXY_PROTOCOL_HINTS, |section| {
        let trusted = section.value("trusted", Kind::Texts("networks or addresses"), "");
        section.require("trusted", "no peer is trusted to send PROXY headers", help);
        let trusted = trusted?;
        if matches!(trusted.node, Node::List(items) if items.is_empty()) {
            trusted
                .location
                .error(Fault::new("the list is empty: no peer is trusted to send PROXY headers", help));
        }
        Some(networks(&trusted))
    });
    let trusted = trusted.unwrap_or_default();
    for at in trusted.iter().filter(|at| covers_all(&at.value)) {
        at.location.warn(
            "every connection must begin with a PROXY header, and any peer may claim any address",
            "list the networks of your own balancers only",
        );
    }
    trusted.into_iter().map(|at| at.value).collect()
}

fn shutdown(file: &mut Section<'_>) -> Shutdown {
    let default = Shutdown { settle: Duration::from_secs(3), grace: Duration::from_secs(25) };
    let Some(value) = file.mapping("shutdown") else { return default };
    let shutdown = value.section(&[], |section| {
        let settle = section.duration("settle", ("0s", "1h"), default.settle);
        let grace = section.duration("grace", ("0s", "1h"), default.grace);
        if settle > grace {
            let key = if section.has("grace") { "grace" } else { "settle" };
            let message =
                format!("grace ({grace:?}) is shorter than settle ({settle:?}), which is part of it");
            let help = "expected grace to be the longer one: it is the whole time to shut down";
            section.located(key).error(Fault::new(message, help));
        }
        Some(Shutdown { settle, grace })
    });
    shutdown.unwrap_or(default)
}
