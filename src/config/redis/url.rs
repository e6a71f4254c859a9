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

const NO_URL: &str = "invalid Redis URL";
const NO_HOST: &str = "the Redis URL has no valid host";
const NO_PORT: &str = "the Redis URL has no valid port";

/// Splits a URL into its parts, or returns what is wrong. The URL is never shown: it may hold a password.
pub(super) fn parse(text: &str, default_port: u16) -> Result<RedisUrl, &'static str> {
    let tls = match text.split_once("://") {
        Some(("redis" | "valkey", _)) => false,
        Some(("rediss" | "valkeys", _)) => true,
        _ => return Err(NO_URL),
    };
    if text.contains(['?', '#']) {
        return Err("a Redis URL takes no '?' and no '#' here");
    }
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::InvalidPort => NO_PORT,
        url::ParseError::InvalidIpv6Address | url::ParseError::InvalidDomainCharacter => NO_HOST,
        url::ParseError::EmptyHost => "the Redis URL has no host",
        _ => NO_URL,
    })?;
    let port = url.port().unwrap_or(default_port);
    if port == 0 {
        return Err(NO_PORT);
    }
    let database = match url.path().trim_matches('/') {
        "" => None,
        path => Some(path.parse().map_err(|_| "the database in the Redis URL is not a number")?),
    };
    if database.is_some_and(|database: i64| database < 0) {
        return Err("the database in the Redis URL is negative");
    }
    Ok(RedisUrl {
        tls,
        server: ServerAddress { host: host(&url)?, port },
        database,
        username: decoded(url.username())?,
        password: decoded(url.password().unwrap_or_default())?,
    })
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
