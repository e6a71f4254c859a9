//! The shape of the upstream: its URL alone, or a mapping. Pure.

use std::time::Duration;

use super::tls::{self, Tls};
use crate::config::report::Spanned;
use crate::config::value::{Fields, Keys, Value};
use crate::config::yaml::Node;

const UPSTREAM: Keys = Keys {
    known: &[
        "url",
        "tls",
        "connect_timeout",
        "response_timeout",
        "idle_timeout",
        "connections",
        "pending",
        "retry",
    ],
    hints: &[
        (
            "timeout",
            "there are several timeouts",
            "write connect_timeout for the connection, response_timeout for the head of the answer",
        ),
        (
            "read_timeout",
            "how long a body may pause stands in bounds",
            "write response_timeout for the head of the answer, bounds.body_idle_timeout for the rest",
        ),
        ("keepalive_timeout", "connections that wait have another key", "write idle_timeout"),
        ("max_connections", "this bound has another name", "write connections"),
        ("max_pending", "this bound has another name", "write pending"),
        ("retries", "a request is sent once more, or it is not", "write retry: true or retry: false"),
        ("ca_file", "certificates stand under tls", "write tls: { ca_file: FILE }"),
        (
            "protocol",
            "the protocol stands in the url",
            "write url: h2c://HOST:PORT, https://HOST:PORT and so on",
        ),
        ("urls", "there is one application behind one tidegate", "write url: and one URL"),
    ],
};

/// The application. What is missing or wrong is None.
#[derive(Debug, Default)]
pub(in crate::config) struct Upstream {
    /// Outer None: not there. Inner None: there, but wrong.
    pub(in crate::config) url: Option<Option<Spanned<String>>>,
    pub(in crate::config) tls: Option<Spanned<Tls>>,
    pub(in crate::config) connect_timeout: Option<Duration>,
    pub(in crate::config) response_timeout: Option<Duration>,
    pub(in crate::config) idle_timeout: Option<Duration>,
    pub(in crate::config) connections: Option<i64>,
    pub(in crate::config) pending: Option<i64>,
    pub(in crate::config) retry: Option<bool>,
}

pub(super) fn upstream(cursor: &Value<'_>) -> Upstream {
    let help = "write http://HOST:PORT";
    if !matches!(cursor.node, Node::Map(_)) {
        return Upstream { url: Some(cursor.text(help)), ..Upstream::default() };
    }
    // One that cannot be read holds no fault of its own: that the URL is missing would be one.
    let fault = Upstream { url: Some(None), ..Upstream::default() };
    let Some(fields) = cursor.fields(&UPSTREAM) else { return fault };
    Upstream {
        url: fields.get("url").map(|cursor| cursor.text(help)),
        tls: fields
            .get("tls")
            .map(|cursor| Spanned { value: tls::client(&cursor), location: cursor.location }),
        connect_timeout: duration(&fields, "connect_timeout", ("1ms", "1m")),
        response_timeout: duration(&fields, "response_timeout", ("1ms", "1h")),
        idle_timeout: duration(&fields, "idle_timeout", ("0s", "1h")),
        connections: integer(&fields, "connections", (1, 65_536)),
        pending: integer(&fields, "pending", (0, 65_536)),
        retry: fields.get("retry").and_then(|cursor| cursor.boolean()),
    }
}

fn duration(fields: &Fields<'_>, key: &str, range: (&str, &str)) -> Option<Duration> {
    let cursor = fields.get(key)?;
    cursor.duration(range.0, range.1).map(|at| at.value)
}

fn integer(fields: &Fields<'_>, key: &str, range: (i64, i64)) -> Option<i64> {
    let cursor = fields.get(key)?;
    cursor.integer(range.0, range.1).map(|at| at.value)
}
