//! The shape of the Redis store. Pure.

use std::time::Duration;

use super::{Tls, file_name, is_name, required, tls};
use crate::config::diagnostic::{Fault, shown};
use crate::config::report::Spanned;
use crate::config::value::{Fields, Keys, Value};
use crate::config::yaml::Node;

const REDIS: Keys = Keys {
    known: &[
        "url",
        "sentinel",
        "cluster",
        "username",
        "password_file",
        "tls",
        "timeout",
        "key_prefix",
        "connections",
        "instances",
    ],
    hints: &[
        (
            "password",
            "a password does not stand in this file",
            "name a file in password_file, or set TIDEGATE_REDIS_PASSWORD",
        ),
        (
            "urls",
            "the servers of a cluster stand in cluster",
            "write cluster: and the list, or url: and one of them",
        ),
        ("database", "the database stands in the url", "write url: redis://HOST:PORT/DATABASE"),
    ],
};
const SENTINEL: Keys = Keys {
    known: &["urls", "master", "database", "username", "password_file"],
    hints: &[
        (
            "password",
            "a password does not stand in this file",
            "name a file in password_file, or set TIDEGATE_REDIS_SENTINEL_PASSWORD",
        ),
        ("primary", "the primary goes by the name that the sentinels have for it", "write master: NAME"),
    ],
};
#[derive(Debug, Default)]
pub(in crate::config) struct Redis {
    // Of the ways to the servers, the outer None: not there; the inner one: there, but wrong.
    pub(in crate::config) url: Option<Spanned<Option<String>>>,
    pub(in crate::config) sentinel: Option<Spanned<Option<Sentinel>>>,
    pub(in crate::config) cluster: Option<Spanned<Option<Vec<Spanned<String>>>>>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password_file: Option<Spanned<String>>,
    pub(in crate::config) tls: Option<Spanned<Tls>>,
    pub(in crate::config) timeout: Option<Duration>,
    pub(in crate::config) key_prefix: Option<String>,
    pub(in crate::config) connections: Option<i64>,
    pub(in crate::config) instances: Option<i64>,
}

/// Without urls or master it is wrong, and the report says so.
#[derive(Debug)]
pub(in crate::config) struct Sentinel {
    pub(in crate::config) urls: Option<Vec<Spanned<String>>>,
    pub(in crate::config) master: Option<String>,
    pub(in crate::config) database: Option<i64>,
    pub(in crate::config) username: Option<String>,
    pub(in crate::config) password_file: Option<Spanned<String>>,
}

pub(super) fn redis(cursor: &Value<'_>) -> Redis {
    let Some(fields) = cursor.fields(&REDIS) else { return Redis::default() };
    let url = "write redis://HOST:PORT/DATABASE";
    let seeds = "write the URLs of some servers, such as [redis://a:6379, redis://b:6379]";
    let prefix = "write 1 to 32 letters, digits, '.', '_' or '-'";
    let key_prefix = fields.get("key_prefix").and_then(|cursor| {
        cursor.parsed(prefix, |text| {
            let fits = is_name(text, 32).then(|| text.to_owned());
            fits.ok_or_else(|| {
                Fault::new(format!("'{}' cannot start the keys in Redis", shown(text)), prefix)
            })
        })
    });
    Redis {
        url: fields.get("url").map(|cursor| {
            let value = cursor.text(url).map(|at| at.value);
            Spanned { value, location: cursor.location }
        }),
        sentinel: fields
            .get("sentinel")
            .map(|cursor| Spanned { value: sentinel(&cursor), location: cursor.location }),
        cluster: fields
            .get("cluster")
            .map(|cursor| Spanned { value: urls(&cursor, seeds), location: cursor.location }),
        username: username(&fields),
        password_file: file_name(&fields, "password_file"),
        tls: fields
            .get("tls")
            .map(|cursor| Spanned { value: tls::client(&cursor), location: cursor.location }),
        timeout: fields.get("timeout").and_then(|cursor| cursor.duration("1ms", "10s")).map(|at| at.value),
        key_prefix: key_prefix.map(|at| at.value),
        connections: fields.get("connections").and_then(|cursor| cursor.integer(1, 256)).map(|at| at.value),
        instances: fields.get("instances").and_then(|cursor| cursor.integer(1, 10_000)).map(|at| at.value),
    }
}

fn sentinel(cursor: &Value<'_>) -> Option<Sentinel> {
    let fields = cursor.fields(&SENTINEL)?;
    let help = "write the URLs of the sentinels, such as [redis://a:26379, redis://b:26379]";
    let urls = required(&fields, "urls", "the urls of the sentinels are missing", help)
        .and_then(|cursor| urls(&cursor, help));
    let help = "write master: and the name that the sentinels have for the primary, such as mymaster";
    let master = required(&fields, "master", "the name of the master is missing", help)
        .and_then(|cursor| cursor.text(help));
    Some(Sentinel {
        urls,
        master: master.map(|at| at.value),
        database: fields
            .get("database")
            .and_then(|cursor| cursor.integer(0, i32::MAX.into()))
            .map(|at| at.value),
        username: username(&fields),
        password_file: file_name(&fields, "password_file"),
    })
}

fn username(fields: &Fields<'_>) -> Option<String> {
    let cursor = fields.get("username")?;
    cursor.text("write the ACL user's name").map(|at| at.value)
}

/// A list of URLs. None: it is empty, or none, and the report says so.
fn urls(cursor: &Value<'_>, help: &str) -> Option<Vec<Spanned<String>>> {
    if matches!(cursor.node, Node::List(items) if items.is_empty()) {
        cursor.location.error(Fault::new("the list is empty", help));
    }
    Some(cursor.texts(help)).filter(|urls| !urls.is_empty())
}
