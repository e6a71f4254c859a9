//! Reads where the servers are: one of them, those that Sentinel names, or a cluster. Pure.

use super::credentials;
use super::url::{self, RedisUrl};
use crate::config::Secrets;
use crate::config::diagnostic::Fault;
use crate::config::key_table::Kind;
use crate::config::report::{Location, Spanned};
use crate::config::section::{Field, Hint, Section};
use crate::config::value::Value;
use crate::config::yaml::Node;
use crate::settings::{Credentials, Redacted, RedisTopology, ServerAddress};

/// A topology, and what else is in its URLs.
pub(super) struct Servers {
    pub(super) topology: RedisTopology,
    pub(super) database: i64,
    pub(super) tls: bool,
    /// Those in the URL of a single server.
    pub(super) credentials: Credentials,
    pub(super) sentinel_credentials: Credentials,
    pub(super) location: Location,
}

pub(super) const URL_HELP: &str = "expected redis://HOST:PORT/DATABASE, such as redis://127.0.0.1:6379/0";
const SENTINEL_PASSWORD_ENV: &str = "TIDEGATE_REDIS_SENTINEL_PASSWORD";
const SENTINEL_HINTS: &[Hint] = &[
    (
        &["password"],
        "passwords do not belong in this file",
        "name a file in password_file, or set TIDEGATE_REDIS_SENTINEL_PASSWORD",
    ),
    (&["primary"], "the sentinels know the primary by a name", "expected master: NAME"),
];

/// Reads the servers of the file. Each of the three keys must be valid, also where there is more than one.
pub(super) fn read(section: &mut Section<'_>, secrets: &Secrets<'_>) -> Field<Servers> {
    let url = section.value("url", Kind::Text("`redis://HOST:PORT/DATABASE`"), "");
    let sentinel = section.value("sentinel", Kind::Mapping, "");
    let cluster = section.value("cluster", Kind::Texts("URLs"), "");
    let ways = [&url, &sentinel, &cluster].map(|way| way.as_ref().map(|value| value.location.clone()));
    let mut ways = ways.into_iter().flatten();
    let first = ways.next();
    for (other, first) in ways.zip(first.iter().cycle()) {
        let fault = Fault::new("url, sentinel and cluster exclude each other", "expected one of them");
        other.key().collision(fault, &first.key());
    }
    let url = Field::read(url, |value| standalone(&value.text("expected redis://HOST:PORT/DATABASE")?));
    let sentinel = Field::read(sentinel, |value| self::sentinel(&value, secrets));
    url.or(sentinel).or(Field::read(cluster, |value| self::cluster(&value)))
}

/// A single server.
pub(super) fn standalone(at: &Spanned<String>) -> Option<Servers> {
    let parsed = at.check(|text| url::parse(text, 6379).map_err(|message| Fault::new(message, URL_HELP)))?;
    let RedisUrl { tls, server, database, username, password } = parsed.value;
    if password.is_some() {
        let env = super::PASSWORD_ENV;
        let help = format!("name a file in password_file, or set {env}, and change the password");
        at.location.warn("the password is in the URL, where others can read it", help);
    }
    Some(Servers {
        topology: RedisTopology::Standalone(server),
        database: database.unwrap_or_default(),
        tls,
        credentials: Credentials { username, password: password.map(Redacted::new) },
        sentinel_credentials: Credentials::default(),
        location: at.location.clone(),
    })
}

fn sentinel(value: &Value<'_>, secrets: &Secrets<'_>) -> Option<Servers> {
    value.section(SENTINEL_HINTS, |section| {
        let help = "expected the URLs of the sentinels, such as [redis://a:26379, redis://b:26379]";
        let urls = section.value("urls", Kind::Texts("URLs"), "");
        section.require("urls", "the urls of the sentinels are missing", help);
        let sentinels = urls.and_then(|value| addresses(&value, help, &SENTINEL));
        let help = "expected master: and the sentinels' name of the primary, such as mymaster";
        let primary = section.text("master", "text", help);
        section.require("master", "the name of the master is missing", help);
        let database = section.integer("database", 0..=url::MAX_DATABASE, 0);
        let sentinel_credentials = credentials(section, SENTINEL_PASSWORD_ENV, secrets)?;
        let (sentinels, tls) = sentinels?;
        Some(Servers {
            topology: RedisTopology::Sentinel { sentinels, primary: primary?.value },
            database,
            tls,
            credentials: Credentials::default(),
            sentinel_credentials,
            location: section.location.clone(),
        })
    })
}

fn cluster(value: &Value<'_>) -> Option<Servers> {
    let help = "expected the URLs of some servers, such as [redis://a:6379, redis://b:6379]";
    let (seeds, tls) = addresses(value, help, &CLUSTER)?;
    Some(Servers {
        topology: RedisTopology::Cluster(seeds),
        database: 0,
        tls,
        credentials: Credentials::default(),
        sentinel_credentials: Credentials::default(),
        location: value.location.clone(),
    })
}

/// What the URLs of a list may contain.
struct ServerUrls {
    port: u16,
    help: &'static str,
    /// The only database that they may name, if any.
    database: Option<i64>,
    // The messages about other databases, about users and passwords, and about two schemes.
    no_database: (&'static str, &'static str),
    no_credentials: (&'static str, &'static str),
    mixed: &'static str,
}

const SENTINEL: ServerUrls = ServerUrls {
    port: 26379,
    help: "expected redis://HOST:PORT, such as redis://10.0.0.1:26379",
    database: None,
    no_database: ("the URL of a sentinel takes no database", "expected database: NUMBER beside urls"),
    no_credentials: (
        "the URL of a sentinel takes no user or password",
        "expected username and password_file beside urls",
    ),
    mixed: "some of the sentinels are reached by TLS, and others are not",
};
const CLUSTER: ServerUrls = ServerUrls {
    port: 6379,
    help: "expected redis://HOST:PORT, such as redis://10.0.0.1:6379",
    database: Some(0),
    no_database: ("a cluster has only database 0", "leave the number out"),
    no_credentials: (
        "the URL of a server of a cluster takes no user or password",
        "expected username and password_file beside cluster",
    ),
    mixed: "some of the servers are reached by TLS, and others are not",
};

/// The addresses of a list, and whether TLS leads there.
fn addresses(value: &Value<'_>, help: &str, urls: &ServerUrls) -> Option<(Vec<ServerAddress>, bool)> {
    let before = value.location.errors();
    if matches!(value.node, Node::List(items) if items.is_empty()) {
        value.location.error(Fault::new("the list is empty", help));
    }
    let mut servers = Vec::new();
    let mut first = None;
    for at in value.texts(help) {
        let Some(Spanned { value: url, location }) = at.check(|text| bare(text, urls)) else { continue };
        if url.tls != *first.get_or_insert(url.tls) {
            let help = "expected redis:// in all of the URLs, or rediss:// in all of them";
            location.error(Fault::new(urls.mixed, help));
        }
        servers.push(url.server);
    }
    (value.location.errors() == before).then_some((servers, first?))
}

fn bare(text: &str, urls: &ServerUrls) -> Result<RedisUrl, Fault> {
    let url = url::parse(text, urls.port).map_err(|message| Fault::new(message, urls.help))?;
    let (message, help) = if url.username.is_some() || url.password.is_some() {
        urls.no_credentials
    } else if url.database.is_some() && url.database != urls.database {
        urls.no_database
    } else {
        return Ok(url);
    };
    Err(Fault::new(message, help))
}
