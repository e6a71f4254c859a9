//! The file's shape: which keys there are, and of what kind. What the values mean together is `compile`'s. Pure.

mod bounds;
mod path;
mod redis;
mod rule;
mod tls;
mod upstream;

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::diagnostic::{Fault, shown};
use super::listen;
use super::report::{Location, Spanned};
use super::value::{Fields, Keys, Value};
use super::yaml::Node;
use crate::bounds::Bounds;
use crate::policy::OnOutage;
use crate::policy::client::ForwardedHeader;
use crate::policy::path::PathPolicy;
use crate::settings::Listen;
pub(super) use redis::{Redis, Sentinel};
pub(super) use rule::{Bypass, Limit, MODES, Match, Refusal, Rule};
pub(super) use tls::{ServerTls, Tls};
pub(super) use upstream::Upstream;

const FILE: Keys = Keys {
    known: &[
        "listen",
        "listen_mode",
        "ops_listen",
        "tls",
        "proxy_protocol",
        "upstream",
        "bounds",
        "store",
        "client",
        "path",
        "bypass",
        "global",
        "rules",
        "x_ratelimit_headers",
        "forwarded",
        "shutdown",
    ],
    hints: &[
        ("cert_file", "certificates stand under tls", "write tls: with cert_file and key_file"),
        (
            "timeout",
            "there are several timeouts",
            "write those of clients in bounds, those of the application in upstream",
        ),
        (
            "timeouts",
            "timeouts stand with what they are for",
            "write those of clients in bounds, those of the application in upstream",
        ),
        ("max_connections", "this bound stands under bounds", "write bounds: { connections: NUMBER }"),
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
const PROXY_PROTOCOL: Keys = Keys {
    known: &["trusted"],
    hints: &[
        ("version", "each connection says itself which version it speaks", "remove the key"),
        (
            "trusted_proxies",
            "trusted_proxies is about header fields, and stands in client",
            "write trusted: [NETWORKS]",
        ),
    ],
};
const CLIENT: Keys =
    Keys { known: &["trusted_proxies", "header", "ipv6_prefix", "hash_secret_file"], hints: &[] };
const SHUTDOWN: Keys = Keys { known: &["settle", "grace"], hints: &[] };

/// The file as it was written. What is missing or wrong is None, or left out of its list.
#[derive(Debug)]
pub(super) struct File {
    /// The whole.
    pub(super) root: Location,
    pub(super) listen: Option<Spanned<Listen>>,
    /// Permission bits.
    pub(super) listen_mode: Option<Spanned<u32>>,
    pub(super) ops_listen: Option<Spanned<SocketAddr>>,
    pub(super) tls: Option<Spanned<ServerTls>>,
    /// The peers whose connections begin with a header of it.
    pub(super) proxy_protocol: Option<Spanned<Vec<Spanned<IpNet>>>>,
    pub(super) upstream: Option<Spanned<Upstream>>,
    pub(super) bounds: Bounds,
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) path: PathPolicy,
    pub(super) bypass: Vec<Bypass>,
    pub(super) global: Vec<Rule>,
    pub(super) rules: Vec<Rule>,
    pub(super) x_ratelimit_headers: Option<bool>,
    pub(super) forwarded: Option<bool>,
    pub(super) settle: Option<Spanned<Duration>>,
    pub(super) grace: Option<Spanned<Duration>>,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) memory: Option<Spanned<Option<i64>>>,
    pub(super) redis: Option<Spanned<Redis>>,
    pub(super) on_outage: Option<OnOutage>,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) trusted_proxies: Vec<Spanned<IpNet>>,
    pub(super) header: Option<ForwardedHeader>,
    pub(super) ipv6_prefix: Option<i64>,
    pub(super) hash_secret_file: Option<Spanned<String>>,
}

const HEADERS: &[(&str, ForwardedHeader)] =
    &[("x-forwarded-for", ForwardedHeader::XForwardedFor), ("forwarded", ForwardedHeader::Forwarded)];
const ON_OUTAGE: &[(&str, OnOutage)] =
    &[("local", OnOutage::Local), ("open", OnOutage::Open), ("closed", OnOutage::Closed)];

/// Reads the whole file.
pub(super) fn file(root: &Value<'_>) -> Option<File> {
    let fields = root.fields(&FILE)?;
    // A section whose lines are all commented out is not there.
    let section = |key: &str| fields.get(key).filter(|cursor| !matches!(cursor.node, Node::Null));
    let (settle, grace) = section("shutdown").map(|cursor| shutdown(&cursor)).unwrap_or_default();
    let help = "write a list of rules, each starting with '- name:'";
    let rules = |key: &str| -> Vec<Rule> {
        let Some(list) = section(key) else { return Vec::new() };
        let items = list.items(help);
        items.iter().filter_map(|item| rule::rule(item)).collect()
    };
    Some(File {
        root: root.location.clone(),
        listen: fields.get("listen").and_then(|cursor| cursor.parsed(listen::LISTEN_HELP, listen::listen)),
        listen_mode: fields
            .get("listen_mode")
            .and_then(|cursor| cursor.parsed(listen::MODE_HELP, listen::socket_mode)),
        ops_listen: fields.get("ops_listen").and_then(|cursor| address(&cursor)),
        // Not sections: whoever writes these two does not mean to go without.
        tls: fields
            .get("tls")
            .map(|cursor| Spanned { value: tls::server(&cursor), location: cursor.location }),
        proxy_protocol: fields
            .get("proxy_protocol")
            .map(|cursor| Spanned { value: proxy_protocol(&cursor), location: cursor.location }),
        upstream: fields
            .get("upstream")
            .map(|cursor| Spanned { value: upstream::upstream(&cursor), location: cursor.location }),
        bounds: section("bounds").map(|cursor| bounds::bounds(&cursor)).unwrap_or_default(),
        store: section("store").and_then(|cursor| store(&cursor)).unwrap_or_default(),
        client: section("client").and_then(|cursor| client(&cursor)).unwrap_or_default(),
        path: section("path").map(|cursor| path::path(&cursor)).unwrap_or_default(),
        global: rules("global"),
        rules: rules("rules"),
        bypass: section("bypass").map(|cursor| rule::bypasses(&cursor)).unwrap_or_default(),
        x_ratelimit_headers: fields.get("x_ratelimit_headers").and_then(|cursor| cursor.boolean()),
        forwarded: fields.get("forwarded").and_then(|cursor| cursor.boolean()),
        settle,
        grace,
    })
}

fn address(cursor: &Value<'_>) -> Option<Spanned<SocketAddr>> {
    let help = "write IP:PORT, such as 0.0.0.0:9902 or [::]:9902";
    cursor.parsed(help, |text| {
        text.parse().map_err(|_| Fault::new(format!("'{}' is no address to listen on", shown(text)), help))
    })
}

fn proxy_protocol(cursor: &Value<'_>) -> Vec<Spanned<IpNet>> {
    let help = "write trusted: and the networks of the balancers that send it, such as [10.0.0.0/8]";
    let Some(fields) = cursor.fields(&PROXY_PROTOCOL) else { return Vec::new() };
    let missing = "nobody is trusted to send it";
    let Some(trusted) = required(&fields, "trusted", missing, help) else { return Vec::new() };
    if matches!(trusted.node, Node::List(items) if items.is_empty()) {
        trusted.location.error(Fault::new("the list is empty: nobody may send it", help));
    }
    networks(&trusted)
}

fn shutdown(cursor: &Value<'_>) -> (Option<Spanned<Duration>>, Option<Spanned<Duration>>) {
    let Some(fields) = cursor.fields(&SHUTDOWN) else { return (None, None) };
    let settle = fields.get("settle").and_then(|cursor| cursor.duration("0s", "1h"));
    let grace = fields.get("grace").and_then(|cursor| cursor.duration("0s", "1h"));
    (settle, grace)
}

fn store(cursor: &Value<'_>) -> Option<Store> {
    let fields = cursor.fields(&STORE)?;
    let memory = fields.get("memory").map(|cursor| {
        // `memory:` alone means the defaults.
        let inner = if matches!(cursor.node, Node::Null) { None } else { cursor.fields(&MEMORY) };
        let max_keys = inner.and_then(|inner| inner.get("max_keys"));
        let value = max_keys.and_then(|cursor| cursor.integer(1, 10_000_000)).map(|at| at.value);
        Spanned { value, location: cursor.location }
    });
    let redis =
        fields.get("redis").map(|cursor| Spanned { value: redis::redis(&cursor), location: cursor.location });
    let on_outage = fields.get("on_outage").and_then(|cursor| cursor.word(ON_OUTAGE)).map(|at| at.value);
    Some(Store { memory, redis, on_outage })
}

fn client(cursor: &Value<'_>) -> Option<Client> {
    let fields = cursor.fields(&CLIENT)?;
    Some(Client {
        trusted_proxies: fields.get("trusted_proxies").map(|cursor| networks(&cursor)).unwrap_or_default(),
        header: fields.get("header").and_then(|cursor| cursor.word(HEADERS)).map(|at| at.value),
        ipv6_prefix: fields.get("ipv6_prefix").and_then(|cursor| cursor.integer(1, 128)).map(|at| at.value),
        hash_secret_file: file_name(&fields, "hash_secret_file"),
    })
}

fn file_name(fields: &Fields<'_>, key: &str) -> Option<Spanned<String>> {
    fields.get(key).and_then(|cursor| cursor.text("write the name of a file that holds the secret"))
}

fn networks(cursor: &Value<'_>) -> Vec<Spanned<IpNet>> {
    let texts = cursor.texts("write networks, such as 10.0.0.0/8, fd00::/8 or 10.1.2.3");
    texts.into_iter().filter_map(super::network::network).collect()
}

/// The most characters of the name of a rule or a bypass.
pub(super) const MAX_NAME: usize = 64;

/// What may stand in keys, headers and metrics without escapes.
pub(super) fn is_name(text: &str, most: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=most).contains(&text.len()) && text.bytes().all(plain)
}

/// The value of a key that must be there.
fn required<'n>(fields: &Fields<'n>, key: &'static str, missing: &str, help: &str) -> Option<Value<'n>> {
    let found = fields.get(key);
    if found.is_none() {
        fields.absent(key).error(Fault::new(missing, help));
    }
    found
}
