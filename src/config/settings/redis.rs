//! The Redis store's settings. Pure.

use std::path::PathBuf;
use std::time::Duration;

use bb8_redis::redis::{ConnectionAddr, ConnectionInfo};

use super::Secret;
use crate::config::problem::Wrong;
use crate::config::report::{At, Place, Report};
use crate::config::yaml::Step;
use crate::config::{SecretSource, Secrets, schema, secret};

/// How Redis is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisSettings {
    /// `redis://HOST:PORT/DATABASE`, without user and password: fit to be logged.
    pub url: String,
    /// The ACL user. None: the default user.
    pub username: Option<String>,
    /// The password, from the password file, else `TIDEGATE_REDIS_PASSWORD`, else the URL.
    pub password: Option<Secret>,
    /// How long a check may take before the outage policy decides.
    pub timeout: Duration,
    /// What the keys in Redis start with.
    pub key_prefix: String,
    /// The most connections of the pool, each for one round trip under way.
    pub connections: u32,
}

/// Enough to keep trips under way; more would only make each carry less.
const CONNECTIONS: u32 = 4;

/// The environment variable with the password.
const PASSWORD_ENV: &str = "TIDEGATE_REDIS_PASSWORD";
const URL_REMEDY: &str = "write redis://HOST:PORT/DATABASE, such as redis://127.0.0.1:6379/0";

struct Address {
    url: String,
    username: Option<String>,
    password: Option<String>,
}

pub(super) fn settings(
    file: &schema::Redis,
    place: &Place,
    flag: Option<At<String>>,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<RedisSettings> {
    // The file's own must be right even where the flag wins.
    let written = file.url.as_ref().map(|at| address(at.as_ref()?, report));
    let address = match (&flag, written) {
        (Some(at), _) => address(at, report),
        (None, Some(address)) => address,
        (None, None) => {
            let wrong = Wrong::new("the url is missing", format!("{URL_REMEDY}, or give --redis"));
            report.error(&place.then(Step::Absent("url")), wrong);
            None
        }
    };
    let from_file = match &file.password_file {
        Some(at) => {
            Some(password(&SecretSource::File(PathBuf::from(&at.value)), &at.place, secrets, report)?)
        }
        None => None,
    };
    let place = Place::Flag(PASSWORD_ENV.to_owned());
    let password = match from_file {
        Some(password) => password,
        None => password(&SecretSource::Env(PASSWORD_ENV.to_owned()), &place, secrets, report)?,
    };
    let address = address?;
    Some(RedisSettings {
        url: address.url,
        username: file.username.clone().or(address.username),
        password: password.or(address.password.map(Secret::new)),
        timeout: file.timeout.unwrap_or(Duration::from_millis(20)),
        key_prefix: file.key_prefix.clone().unwrap_or_else(|| "tidegate".to_owned()),
        connections: file.connections.and_then(|number| u32::try_from(number).ok()).unwrap_or(CONNECTIONS),
    })
}

/// The password of one source. The outer None: it is wrong, and the report says why.
fn password(
    source: &SecretSource,
    place: &Place,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<Option<Secret>> {
    let Some(bytes) = report.take(place, secret::read(source, secrets))? else { return Some(None) };
    let text =
        String::from_utf8(bytes).map_err(|_| Wrong::new("the password is not UTF-8", "save it as UTF-8"));
    report.take(place, text).map(|text| Some(Secret::new(text)))
}

/// Takes a URL apart. It is never shown in a message: it may hold a password.
fn address(at: &At<String>, report: &mut Report) -> Option<Address> {
    let wrong = |message: &str| Err(Wrong::new(message, URL_REMEDY));
    let parsed = match at.value.split_once("://") {
        Some(("redis", _)) if at.value.contains(['?', '#']) => {
            wrong("a Redis URL takes no '?' and no '#' here")
        }
        Some(("redis", _)) => parse(&at.value),
        Some(("rediss" | "valkeys", _)) => wrong("TLS to Redis is not built yet"),
        _ => wrong("this is no Redis URL"),
    };
    let address = report.take(&at.place, parsed)?;
    if address.password.is_some() {
        let remedy = format!("name a file in password_file, or set {PASSWORD_ENV}, and change the password");
        report.warn(&at.place, "the password stands in the URL, where others can read it", remedy);
    }
    Some(address)
}

fn parse(url: &str) -> Result<Address, Wrong> {
    // The client's own words name the fault, and hold nothing of the URL.
    let info: ConnectionInfo = url.parse().map_err(|error: bb8_redis::redis::RedisError| {
        let part = match error.to_string() {
            said if said.contains("database") => "the database in the Redis URL is not a number",
            said if said.contains("wildcard") => {
                "0.0.0.0 and :: are addresses to listen on, not to connect to"
            }
            said if said.contains("hostname") => "the Redis URL has no host",
            _ => "this is no Redis URL",
        };
        Wrong::new(part, URL_REMEDY)
    })?;
    let redis = info.redis_settings();
    let url = match info.addr() {
        ConnectionAddr::Tcp(host, port) if host.contains(':') => {
            format!("redis://[{host}]:{port}/{}", redis.db())
        }
        ConnectionAddr::Tcp(host, port) if !host.is_empty() => {
            format!("redis://{host}:{port}/{}", redis.db())
        }
        _ => return Err(Wrong::new("the Redis URL has no host", URL_REMEDY)),
    };
    if redis.db() < 0 {
        return Err(Wrong::new("the database in the Redis URL is negative", URL_REMEDY));
    }
    let owned = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Address { url, username: owned(redis.username()), password: owned(redis.password()) })
}
