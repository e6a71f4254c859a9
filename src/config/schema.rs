//! The file's shape: which keys there are, and of what kind. What the values mean together is `compile`'s. Pure.

mod redis;
mod rule;

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::problem::{Wrong, shown};
use super::reader::{Cursor, Fields, Keys};
use super::report::{At, Report};
use super::yaml::Node;
use crate::policy::OnOutage;
use crate::policy::client::ForwardedHeader;
pub(super) use redis::{Redis, Sentinel, Tls};
pub(super) use rule::{Bypass, Limit, MODES, Match, Refusal, Rule};

const FILE: Keys = Keys {
    known: &[
        "listen",
        "ops_listen",
        "upstream",
        "store",
        "client",
        "bypass",
        "global",
        "rules",
        "x_ratelimit_headers",
        "shutdown",
    ],
    hints: &[
        ("admin_listen", "the admin API is not built yet", "remove the key"),
        (
            "limits",
            "limits stand under rules",
            "write rules: with a list of rules, each with a name and a rate",
        ),
    ],
};
const STORE: Keys = Keys { known: &["memory", "redis", "on_outage"], hints: &[] };
const MEMORY: Keys = Keys { known: &["max_keys"], hints: &[] };
const CLIENT: Keys =
    Keys { known: &["trusted_proxies", "header", "ipv6_prefix", "hash_secret_file"], hints: &[] };
const SHUTDOWN: Keys = Keys { known: &["settle", "grace"], hints: &[] };

/// The file as it was written. What is missing or wrong is None, or left out of its list.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) listen: Option<At<SocketAddr>>,
    pub(super) ops_listen: Option<At<SocketAddr>>,
    /// Outer None: not there. Inner None: there, but wrong.
    pub(super) upstream: Option<Option<At<String>>>,
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) bypass: Vec<Bypass>,
    pub(super) global: Vec<Rule>,
    pub(super) rules: Vec<Rule>,
    pub(super) x_ratelimit_headers: Option<bool>,
    pub(super) settle: Option<At<Duration>>,
    pub(super) grace: Option<At<Duration>>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) memory: Option<At<Option<i64>>>,
    pub(super) redis: Option<At<Redis>>,
    pub(super) on_outage: Option<OnOutage>,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) trusted_proxies: Vec<At<IpNet>>,
    pub(super) header: Option<ForwardedHeader>,
    pub(super) ipv6_prefix: Option<i64>,
    pub(super) hash_secret_file: Option<At<String>>,
}

const HEADERS: &[(&str, ForwardedHeader)] =
    &[("x-forwarded-for", ForwardedHeader::XForwardedFor), ("forwarded", ForwardedHeader::Forwarded)];
const ON_OUTAGE: &[(&str, OnOutage)] =
    &[("local", OnOutage::Local), ("open", OnOutage::Open), ("closed", OnOutage::Closed)];

/// Reads the whole file.
pub(super) fn file(root: &Cursor<'_>, report: &mut Report) -> Option<File> {
    let fields = root.fields(report, &FILE)?;
    // A section whose lines are all commented out is not there.
    let section = |key: &str| fields.get(key).filter(|cursor| !matches!(cursor.node, Node::Null));
    let (settle, grace) = section("shutdown").map(|cursor| shutdown(&cursor, report)).unwrap_or_default();
    let remedy = "write a list of rules, each starting with '- name:'";
    let rules = |key: &str, report: &mut Report| -> Vec<Rule> {
        let Some(list) = section(key) else { return Vec::new() };
        let items = list.items(report, remedy);
        items.iter().filter_map(|item| rule::rule(item, report)).collect()
    };
    Some(File {
        listen: fields.get("listen").and_then(|cursor| address(&cursor, report)),
        ops_listen: fields.get("ops_listen").and_then(|cursor| address(&cursor, report)),
        upstream: fields.get("upstream").map(|cursor| cursor.text(report, "write http://HOST:PORT")),
        store: section("store").and_then(|cursor| store(&cursor, report)).unwrap_or_default(),
        client: section("client").and_then(|cursor| client(&cursor, report)).unwrap_or_default(),
        global: rules("global", report),
        rules: rules("rules", report),
        bypass: section("bypass").map(|cursor| rule::bypasses(&cursor, report)).unwrap_or_default(),
        x_ratelimit_headers: fields.get("x_ratelimit_headers").and_then(|cursor| cursor.boolean(report)),
        settle,
        grace,
    })
}

fn address(cursor: &Cursor<'_>, report: &mut Report) -> Option<At<SocketAddr>> {
    let remedy = "write IP:PORT, such as 0.0.0.0:8080 or [::]:8080";
    cursor.parsed(report, remedy, |text| {
        text.parse().map_err(|_| Wrong::new(format!("'{}' is no address to listen on", shown(text)), remedy))
    })
}

fn shutdown(cursor: &Cursor<'_>, report: &mut Report) -> (Option<At<Duration>>, Option<At<Duration>>) {
    let Some(fields) = cursor.fields(report, &SHUTDOWN) else { return (None, None) };
    let settle = fields.get("settle").and_then(|cursor| cursor.duration(report, "0s", "1h"));
    let grace = fields.get("grace").and_then(|cursor| cursor.duration(report, "0s", "1h"));
    (settle, grace)
}

fn store(cursor: &Cursor<'_>, report: &mut Report) -> Option<Store> {
    let fields = cursor.fields(report, &STORE)?;
    let memory = fields.get("memory").map(|cursor| {
        // `memory:` alone means the defaults.
        let inner = if matches!(cursor.node, Node::Null) { None } else { cursor.fields(report, &MEMORY) };
        let max_keys = inner.and_then(|inner| inner.get("max_keys"));
        let value = max_keys.and_then(|cursor| cursor.integer(report, 1, 10_000_000)).map(|at| at.value);
        At { value, place: cursor.place }
    });
    let redis =
        fields.get("redis").map(|cursor| At { value: redis::redis(&cursor, report), place: cursor.place });
    let on_outage =
        fields.get("on_outage").and_then(|cursor| cursor.word(report, ON_OUTAGE)).map(|at| at.value);
    Some(Store { memory, redis, on_outage })
}

fn client(cursor: &Cursor<'_>, report: &mut Report) -> Option<Client> {
    let fields = cursor.fields(report, &CLIENT)?;
    Some(Client {
        trusted_proxies: fields
            .get("trusted_proxies")
            .map(|cursor| networks(&cursor, report))
            .unwrap_or_default(),
        header: fields.get("header").and_then(|cursor| cursor.word(report, HEADERS)).map(|at| at.value),
        ipv6_prefix: fields
            .get("ipv6_prefix")
            .and_then(|cursor| cursor.integer(report, 1, 128))
            .map(|at| at.value),
        hash_secret_file: file_name(&fields, "hash_secret_file", report),
    })
}

fn file_name(fields: &Fields<'_>, key: &str, report: &mut Report) -> Option<At<String>> {
    fields.get(key).and_then(|cursor| cursor.text(report, "write the name of a file that holds the secret"))
}

fn networks(cursor: &Cursor<'_>, report: &mut Report) -> Vec<At<IpNet>> {
    let texts = cursor.texts(report, "write networks, such as 10.0.0.0/8, fd00::/8 or 10.1.2.3");
    texts.into_iter().filter_map(|at| super::network::network(at, report)).collect()
}

/// What may stand in keys, headers and metrics without escapes.
fn is_name(text: &str, most: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=most).contains(&text.len()) && text.bytes().all(plain)
}
