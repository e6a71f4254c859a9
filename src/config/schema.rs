//! The shapes of rules, bypasses and clients. What the values mean together is `compile`'s. Pure.

mod rule;

use ipnet::IpNet;

use super::keys::Kind;
use super::network::networks;
use super::path;
use super::report::{Location, Spanned};
use super::section::Section;
use super::value::{Fields, Keys, Value};
use super::yaml::Node;
use crate::policy::OnOutage;
use crate::policy::client::ForwardedHeader;
use crate::policy::path::PathPolicy;
pub(super) use rule::{Bypass, Limit, MODES, Match, Refusal, Rule};

const CLIENT: Keys =
    Keys { known: &["trusted_proxies", "header", "ipv6_prefix", "hash_secret_file"], hints: &[] };

/// The file as it was written. What is missing or wrong is None, or left out of its list.
#[derive(Debug)]
pub(super) struct File {
    /// The whole.
    pub(super) root: Location,
    pub(super) on_outage: OnOutage,
    pub(super) client: Client,
    pub(super) path: PathPolicy,
    pub(super) bypass: Vec<Bypass>,
    pub(super) global: Vec<Rule>,
    pub(super) rules: Vec<Rule>,
    pub(super) x_ratelimit_headers: bool,
    pub(super) forwarded: bool,
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

/// Reads what rules are about.
pub(super) fn file(file: &mut Section<'_>, on_outage: OnOutage) -> File {
    let help = "write a list of rules, each starting with '- name:'";
    // A section whose lines are all commented out is not there.
    let mut section = |key, kind| file.value(key, kind, "").filter(|value| !matches!(value.node, Node::Null));
    let client = section("client", Kind::Mapping).and_then(|cursor| client(&cursor)).unwrap_or_default();
    let path = path::read(file);
    let bypass = file.value("bypass", Kind::List, "").filter(|value| !matches!(value.node, Node::Null));
    let root = file.location.clone();
    let mut rules = |key| file.items(key, help).iter().filter_map(rule::rule).collect();
    let (global, rules) = (rules("global"), rules("rules"));
    File {
        root,
        on_outage,
        client,
        path,
        bypass: bypass.map(|value| rule::bypasses(&value)).unwrap_or_default(),
        global,
        rules,
        x_ratelimit_headers: file.boolean("x_ratelimit_headers", false),
        forwarded: file.boolean("forwarded", false),
    }
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
