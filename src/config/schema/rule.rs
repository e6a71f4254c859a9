//! The shapes of rules and bypasses. Pure.

use ipnet::IpNet;

use super::{file_name, networks};
use crate::config::diagnostic::{Fault, shown};
use crate::config::name::{MAX_NAME, is_name};
use crate::config::rate::{self, Rate};
use crate::config::report::{Location, Spanned};
use crate::config::store::ON_OUTAGE;
use crate::config::value::{Fields, Keys, Value};
use crate::config::yaml::Node;
use crate::policy::key::OnMissing;
use crate::policy::{Mode, OnOutage};

const BYPASS: Keys = Keys {
    known: &["name", "paths", "cidrs", "client_san", "header", "secret_file", "secret_env"],
    hints: &[(
        "secret",
        "a secret does not stand in this file",
        "name a file in secret_file, or an environment variable in secret_env",
    )],
};
const RULE: Keys = Keys {
    known: &[
        "name",
        "match",
        "key",
        "on_missing",
        "rate",
        "burst",
        "slices",
        "limits",
        "mode",
        "on_outage",
        "refusal",
    ],
    hints: &[
        ("count_on", "count_on is not built yet", "remove it: every request that passes is counted"),
        ("window", "the window is part of the rate", "write rate: N/DURATION, such as 100/90s"),
        ("limit", "the limit is the rate", "write rate: N/DURATION, such as 100/90s"),
        ("path", "the path stands under match", "write match: { path: /api/tasks }"),
        ("methods", "the methods stand under match", "write match: { methods: [GET], path: /api/tasks }"),
        ("websocket", "websocket is a condition of match", "expected match: { websocket: true }"),
    ],
};
const REFUSAL: Keys = Keys { known: &["status", "body", "headers"], hints: &[] };
const LIMIT: Keys = Keys { known: &["rate", "burst", "slices"], hints: &[] };
const MATCH: Keys = Keys {
    known: &["methods", "path", "hosts", "headers", "websocket"],
    hints: &[(
        "upgrade",
        "upgrades are matched by websocket",
        "expected websocket: true, or websocket: false",
    )],
};

#[derive(Debug)]
pub(in crate::config) struct Bypass {
    pub(in crate::config) location: Location,
    pub(in crate::config) name: Option<Spanned<String>>,
    pub(in crate::config) paths: Option<Vec<Spanned<String>>>,
    pub(in crate::config) cidrs: Option<Vec<Spanned<IpNet>>>,
    pub(in crate::config) client_san: Option<Vec<Spanned<String>>>,
    pub(in crate::config) header: Option<Spanned<String>>,
    pub(in crate::config) secret_file: Option<Spanned<String>>,
    pub(in crate::config) secret_env: Option<Spanned<String>>,
    /// Everything in it could be read.
    pub(in crate::config) sound: bool,
}

#[derive(Debug)]
pub(in crate::config) struct Rule {
    pub(in crate::config) location: Location,
    pub(in crate::config) name: Option<Spanned<String>>,
    pub(in crate::config) matches: Match,
    /// None: the default.
    pub(in crate::config) key: Option<Vec<Spanned<String>>>,
    pub(in crate::config) on_missing: Option<OnMissing>,
    pub(in crate::config) limits: Vec<Limit>,
    pub(in crate::config) mode: Mode,
    pub(in crate::config) on_outage: Option<OnOutage>,
    pub(in crate::config) refusal: Refusal,
}

#[derive(Debug, Default)]
pub(in crate::config) struct Refusal {
    pub(in crate::config) status: Option<Spanned<i64>>,
    pub(in crate::config) body: Option<Spanned<String>>,
    pub(in crate::config) headers: Vec<Spanned<(String, String)>>,
}

#[derive(Debug)]
pub(in crate::config) struct Limit {
    pub(in crate::config) rate: Spanned<Rate>,
    pub(in crate::config) burst: Option<Spanned<i64>>,
    pub(in crate::config) slices: Option<Spanned<i64>>,
}

#[derive(Debug)]
pub(in crate::config) struct Match {
    pub(in crate::config) methods: Vec<Spanned<String>>,
    pub(in crate::config) path: Option<Spanned<String>>,
    pub(in crate::config) hosts: Vec<Spanned<String>>,
    pub(in crate::config) headers: Vec<Spanned<(String, String)>>,
    /// Whether the request must be an upgrade to WebSocket, or must be none.
    pub(in crate::config) websocket: Option<Spanned<bool>>,
    /// Everything in it could be read.
    pub(in crate::config) sound: bool,
}

pub(in crate::config) const ON_MISSING: &[(&str, OnMissing)] = &[
    ("client_ip", OnMissing::ClientIp),
    ("shared", OnMissing::Shared),
    ("skip", OnMissing::Skip),
    ("reject", OnMissing::Reject),
];
pub(in crate::config) const MODES: &[(&str, Mode)] =
    &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow), ("off", Mode::Off)];

pub(super) fn bypasses(cursor: &Value<'_>) -> Vec<Bypass> {
    let items = cursor.items("write a list of bypasses, each starting with '- name:'");
    items.iter().filter_map(|item| bypass(item)).collect()
}

fn bypass(cursor: &Value<'_>) -> Option<Bypass> {
    let before = cursor.location.errors();
    let fields = cursor.fields(&BYPASS)?;
    let bypass = Bypass {
        location: cursor.location.clone(),
        name: name(&fields),
        paths: fields.get("paths").map(|cursor| cursor.texts("write paths, such as /healthz or /static/*")),
        cidrs: fields.get("cidrs").map(|cursor| networks(&cursor)),
        client_san: fields
            .get("client_san")
            .map(|cursor| cursor.texts("write names of certificates, such as spiffe://prod/ns/jobs/*")),
        header: fields.get("header").and_then(|cursor| cursor.text("write the name of a header")),
        secret_file: file_name(&fields, "secret_file"),
        secret_env: fields
            .get("secret_env")
            .and_then(|cursor| cursor.text("write the name of an environment variable")),
        sound: true,
    };
    Some(Bypass { sound: cursor.location.errors() == before, ..bypass })
}

pub(super) fn rule(cursor: &Value<'_>) -> Option<Rule> {
    let fields = cursor.fields(&RULE)?;
    let key = "write a list of client_ip, host, method, header:NAME, cookie:NAME, query:NAME, path:NAME, tls:san; \
               [] is one bucket for all";
    Some(Rule {
        location: cursor.location.clone(),
        name: name(&fields),
        matches: match fields.get("match") {
            Some(cursor) => matching(&cursor),
            None => Match::any(),
        },
        key: fields.get("key").map(|cursor| cursor.texts(key)),
        on_missing: fields.get("on_missing").and_then(|cursor| cursor.word(ON_MISSING)).map(|at| at.value),
        limits: limits(&fields),
        mode: fields.get("mode").and_then(|cursor| cursor.word(MODES)).map(|at| at.value).unwrap_or_default(),
        on_outage: fields.get("on_outage").and_then(|cursor| cursor.word(ON_OUTAGE)).map(|at| at.value),
        refusal: fields.get("refusal").and_then(|cursor| refusal(&cursor)).unwrap_or_default(),
    })
}

fn refusal(cursor: &Value<'_>) -> Option<Refusal> {
    let fields = cursor.fields(&REFUSAL)?;
    Some(Refusal {
        status: fields.get("status").and_then(|cursor| cursor.integer(400, 599)),
        body: fields
            .get("body")
            .and_then(|cursor| cursor.text("write the text of the body, a number in quotes")),
        headers: header_lines(&fields, "write the header's value in quotes"),
    })
}

/// Pairs of a header's name and a text.
fn header_lines(fields: &Fields<'_>, value: &str) -> Vec<Spanned<(String, String)>> {
    let Some(cursor) = fields.get("headers") else { return Vec::new() };
    let Some(headers) = cursor.entries("write NAME: VALUE for each header") else {
        return Vec::new();
    };
    let pairs = headers.iter().filter_map(|(name, cursor)| {
        cursor.text(value).map(|at| Spanned { value: (name.to_owned(), at.value), location: at.location })
    });
    pairs.collect()
}

impl Match {
    /// Every request.
    pub(in crate::config) fn any() -> Self {
        Self {
            methods: Vec::new(),
            path: None,
            hosts: Vec::new(),
            headers: Vec::new(),
            websocket: None,
            sound: true,
        }
    }
}

fn matching(cursor: &Value<'_>) -> Match {
    let before = cursor.location.errors();
    let Some(fields) = cursor.fields(&MATCH) else { return Match { sound: false, ..Match::any() } };
    let value = "expected a text in quotes: an exact value, the start of one such as \"Bearer *\", or \"*\" for any \
                 value";
    let headers = header_lines(&fields, value);
    let matching = Match {
        methods: fields
            .get("methods")
            .map(|cursor| cursor.texts("write methods, such as [GET, POST]"))
            .unwrap_or_default(),
        path: fields
            .get("path")
            .and_then(|cursor| cursor.text("write a path, such as /api/tasks/{id} or /files/*")),
        hosts: fields
            .get("hosts")
            .map(|cursor| cursor.texts("write hosts, such as api.example.com or \"*.example.com\""))
            .unwrap_or_default(),
        headers,
        websocket: fields.get("websocket").and_then(|cursor| {
            cursor.boolean().map(|value| Spanned { value, location: cursor.location.clone() })
        }),
        sound: true,
    };
    Match { sound: cursor.location.errors() == before, ..matching }
}

fn name(fields: &Fields<'_>) -> Option<Spanned<String>> {
    let help = "write a name of 1 to 64 letters, digits, '.', '_' or '-'; a number takes quotes";
    let Some(cursor) = fields.get("name") else {
        fields.absent("name").error(Fault::new("the name is missing", help));
        return None;
    };
    cursor.parsed(help, |text| {
        let fits = is_name(text, MAX_NAME).then(|| text.to_owned());
        fits.ok_or_else(|| Fault::new(format!("'{}' is no name", shown(text)), help))
    })
}

/// The one limit that stands in the rule itself, or those of its list.
fn limits(fields: &Fields<'_>) -> Vec<Limit> {
    let single = ["rate", "burst", "slices"].into_iter().find_map(|key| fields.get(key));
    let Some(list) = fields.get("limits") else {
        return limit(fields).into_iter().collect();
    };
    if let Some(single) = single {
        let fault = Fault::new(
            "a rule has either a rate of its own or a list of limits",
            "move rate, burst and slices into the list",
        );
        single.location.key().collision(fault, &list.location);
    }
    let items = list.items("write a list, such as [{ rate: 5/min }, { rate: 50/day }]");
    if matches!(list.node, Node::List(items) if items.is_empty()) {
        list.location.error(Fault::new("the list of limits is empty", "add an item such as { rate: 5/min }"));
    }
    let read = |item: &Value<'_>| item.fields(&LIMIT).and_then(|fields| limit(&fields));
    items.iter().filter_map(read).collect()
}

fn limit(fields: &Fields<'_>) -> Option<Limit> {
    let help = "write rate: N/s, N/min, N/h, N/day or N/DURATION, such as 30/min or 100/90s";
    let most = i64::from(u32::MAX);
    let burst = fields.get("burst").and_then(|cursor| cursor.integer(0, most));
    let slices = fields.get("slices").and_then(|cursor| cursor.integer(1, crate::window::Limit::MAX_SLICES));
    let Some(cursor) = fields.get("rate") else {
        fields.absent("rate").error(Fault::new("the rate is missing", help));
        return None;
    };
    cursor.parsed(help, rate::rate).map(|rate| Limit { rate, burst, slices })
}
