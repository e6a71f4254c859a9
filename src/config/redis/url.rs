//! One Redis URL, taken apart. Pure.

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::settings::ServerAddress;

/// The parts of a URL.
pub(super) struct RedisUrl {
    pub(super) tls: bool,
    pub(super) server: ServerAddress,
    /// None: there is no path.
    pub(super) database: Option<i64>,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// The largest number of a database that Redis reads: SELECT takes an `int`.
pub(super) const MAX_DATABASE: i64 = i32::MAX as i64;
const NO_URL: &str = "invalid Redis URL";
const NO_HOST: &str = "the Redis URL has no valid host";
const NO_PORT: &str = "the Redis URL has no valid port";

/// Splits a URL into its parts, or returns what is wrong. The URL is never shown: it may hold a password.
pub(super) fn parse(text: &str, default_port: u16) -> Result<RedisUrl, String> {
    let tls = match text.split_once("://") {
        Some(("redis" | "valkey", _)) => false,
        Some(("rediss" | "valkeys", _)) => true,
        _ => return Err(NO_URL.to_owned()),
    };
    if text.contains(['?', '#']) {
        return Err("a Redis URL takes no '?' and no '#' here".to_owned());
    }
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::InvalidPort => NO_PORT,
        url::ParseError::InvalidIpv6Address | url::ParseError::InvalidDomainCharacter => NO_HOST,
        url::ParseError::EmptyHost => "the Redis URL has no host",
        _ => NO_URL,
    })?;
    let port = url.port().unwrap_or(default_port);
    if port == 0 {
        return Err(NO_PORT.to_owned());
    }
    let database = match url.path().trim_matches('/') {
        "" => None,
        path => Some(database(path)?),
    };
    Ok(RedisUrl {
        tls,
        server: ServerAddress { host: host(&url)?, port },
        database,
        username: decoded(url.username())?,
        password: decoded(url.password().unwrap_or_default())?,
    })
}

fn database(text: &str) -> Result<i64, String> {
    // Parsing alone would take a sign.
    let number = text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let database = number.filter(|number| *number <= MAX_DATABASE);
    database.ok_or_else(|| format!("the database in the Redis URL is not a number from 0 to {MAX_DATABASE}"))
}

fn host(url: &Url) -> Result<String, &'static str> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_string(),
        None => return Err("the Redis URL has no host"),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    match &*host {
        "0.0.0.0" | "::" => Err("0.0.0.0 and :: are addresses to listen on, not to connect to"),
        "" => Err("the Redis URL has no host"),
        // What is left of a name outside ASCII, which no resolver knows.
        host if !host.bytes().all(plain) => Err(NO_HOST),
        _ => Ok(host),
    }
}

fn decoded(text: &str) -> Result<Option<String>, &'static str> {
    let text = percent_decode_str(text).decode_utf8();
    let text = text.map_err(|_| "the user or password in the Redis URL is not UTF-8")?;
    Ok(Some(text.into_owned()).filter(|text| !text.is_empty()))
}
