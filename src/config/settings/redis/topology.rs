//! Where the servers are: one of them, those that Sentinel names, or a cluster. Pure.

use super::credentials;
use super::url::{self, RedisUrl};
use crate::config::diagnostic::Fault;
use crate::config::report::{Location, Spanned};
use crate::config::{Secrets, schema};
use crate::settings::{Credentials, RedisAddress, RedisTopology, Secret};

/// A topology, and what the URLs say beside it.
pub(super) struct Servers {
    pub(super) topology: RedisTopology,
    pub(super) tls: bool,
    /// Those in the URL of a single server.
    pub(super) credentials: Credentials,
}

pub(super) const URL_HELP: &str = "write redis://HOST:PORT/DATABASE, such as redis://127.0.0.1:6379/0";
const SENTINEL_PASSWORD_ENV: &str = "TIDEGATE_REDIS_SENTINEL_PASSWORD";

/// What the file says. The outer None: nothing; the inner one: it is wrong, and the report says why.
pub(super) fn written(file: &schema::Redis, secrets: &Secrets<'_>) -> Option<Option<Servers>> {
    let ways = [
        file.url.as_ref().map(|at| &at.location),
        file.sentinel.as_ref().map(|at| &at.location),
        file.cluster.as_ref().map(|at| &at.location),
    ];
    let mut ways = ways.into_iter().flatten();
    let first = ways.next();
    for other in ways {
        let fault = Fault::new("Redis is reached in two ways", "keep one of url, sentinel and cluster");
        other.key().collision(fault, &first.unwrap_or(other).key());
    }
    // Each must be right, also where there are too many.
    let url = file.url.as_ref().map(|at| {
        let text = at.value.clone()?;
        standalone(&Spanned { value: text, location: at.location.clone() })
    });
    let sentinel = file.sentinel.as_ref().map(|at| sentinel(at.value.as_ref()?, &at.location, secrets));
    let cluster = file.cluster.as_ref().map(|at| cluster(at.value.as_ref()?));
    url.or(sentinel).or(cluster)
}

/// A single server.
pub(super) fn standalone(at: &Spanned<String>) -> Option<Servers> {
    let parsed = url::parse(&at.value, 6379).map_err(|message| Fault::new(message, URL_HELP));
    let RedisUrl { tls, server, database, username, password } = at.location.check(parsed)?;
    if password.is_some() {
        let env = super::PASSWORD_ENV;
        let help = format!("name a file in password_file, or set {env}, and change the password");
        at.location.warn("the password stands in the URL, where others can read it", help);
    }
    let credentials = Credentials { username, password: password.map(Secret::new) };
    let topology = RedisTopology::Standalone { server, database: database.unwrap_or_default() };
    Some(Servers { topology, tls, credentials })
}

fn sentinel(shape: &schema::Sentinel, location: &Location, secrets: &Secrets<'_>) -> Option<Servers> {
    let found = shape.urls.as_ref().and_then(|urls| addresses(urls, &SENTINEL));
    let login = credentials(
        location,
        shape.username.as_ref(),
        shape.password_file.as_ref(),
        SENTINEL_PASSWORD_ENV,
        secrets,
    );
    let (sentinels, tls) = found?;
    let topology = RedisTopology::Sentinel {
        sentinels,
        primary: shape.master.clone()?,
        database: shape.database.unwrap_or_default(),
        credentials: login?,
    };
    Some(Servers { topology, tls, credentials: Credentials::default() })
}

fn cluster(urls: &[Spanned<String>]) -> Option<Servers> {
    let (seeds, tls) = addresses(urls, &CLUSTER)?;
    let topology = RedisTopology::Cluster { seeds };
    Some(Servers { topology, tls, credentials: Credentials::default() })
}

/// What the URLs of a list may say.
struct Kind {
    port: u16,
    help: &'static str,
    /// The one database that they may name, if any.
    database: Option<i64>,
    // What is said of other databases, of users and passwords, and of two schemes.
    no_database: (&'static str, &'static str),
    no_credentials: (&'static str, &'static str),
    mixed: &'static str,
}

const SENTINEL: Kind = Kind {
    port: 26379,
    help: "write redis://HOST:PORT, such as redis://10.0.0.1:26379",
    database: None,
    no_database: ("the URL of a sentinel takes no database", "write database: NUMBER beside urls"),
    no_credentials: (
        "the URL of a sentinel takes no user or password",
        "write username and password_file beside urls",
    ),
    mixed: "some of the sentinels are reached by TLS, and others are not",
};
const CLUSTER: Kind = Kind {
    port: 6379,
    help: "write redis://HOST:PORT, such as redis://10.0.0.1:6379",
    database: Some(0),
    no_database: ("a cluster has only database 0", "leave the number out"),
    no_credentials: (
        "the URL of a server of a cluster takes no user or password",
        "write username and password_file beside cluster",
    ),
    mixed: "some of the servers are reached by TLS, and others are not",
};

/// The addresses of a list, and whether TLS leads there.
fn addresses(urls: &[Spanned<String>], kind: &Kind) -> Option<(Vec<RedisAddress>, bool)> {
    let location = &urls.first()?.location;
    let before = location.errors();
    let mut servers = Vec::new();
    let mut first = None;
    for at in urls {
        let Some(url) = at.location.check(bare(&at.value, kind)) else { continue };
        if url.tls != *first.get_or_insert(url.tls) {
            let help = "write redis:// in all of the URLs, or rediss:// in all of them";
            at.location.error(Fault::new(kind.mixed, help));
        }
        servers.push(url.server);
    }
    (location.errors() == before).then_some((servers, first?))
}

fn bare(text: &str, kind: &Kind) -> Result<RedisUrl, Fault> {
    let url = url::parse(text, kind.port).map_err(|message| Fault::new(message, kind.help))?;
    let (message, help) = if url.username.is_some() || url.password.is_some() {
        kind.no_credentials
    } else if url.database.is_some() && url.database != kind.database {
        kind.no_database
    } else {
        return Ok(url);
    };
    Err(Fault::new(message, help))
}
