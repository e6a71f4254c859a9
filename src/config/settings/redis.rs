//! The Redis store's settings. Pure.

mod topology;
mod url;

use std::path::PathBuf;
use std::time::Duration;

use super::tls;
use crate::config::diagnostic::Fault;
use crate::config::report::{Location, Spanned};
use crate::config::yaml::Step;
use crate::config::{SecretSource, Secrets, schema, secret};
use crate::settings::{ClientTls, Credentials, RedisSettings, Secret};
use topology::Servers;

/// Enough to keep trips under way; more would only make each carry less.
const CONNECTIONS: u32 = 4;
/// Who starts while Redis is away knows nobody.
const INSTANCES: u32 = 1;

/// The environment variable with the password.
const PASSWORD_ENV: &str = "TIDEGATE_REDIS_PASSWORD";

pub(super) fn settings(
    file: &schema::Redis,
    location: &Location,
    flag: Option<Spanned<String>>,
    secrets: &Secrets<'_>,
) -> Option<RedisSettings> {
    let written = topology::written(file, secrets);
    let flagged = flag.as_ref().map(topology::standalone);
    if written.is_none() && flagged.is_none() {
        let help = format!("{}; or write sentinel: or cluster:, or give --redis", topology::URL_HELP);
        location.then(Step::Absent("url")).error(Fault::new("the url is missing", help));
    }
    let certificates = match &file.tls {
        Some(at) => tls::client(at, secrets),
        None => Some(ClientTls::default()),
    };
    if let Some(at) = &file.tls {
        let plain =
            |servers: Option<&Option<Servers>>| matches!(servers, Some(Some(servers)) if !servers.tls);
        let help = "write rediss:// for redis://";
        // Whoever writes `tls` means it: a scheme that leaves it out is a slip, and not a harmless one.
        if plain(written.as_ref().or(flagged.as_ref())) {
            let message = "tls is set, but the servers are reached without it";
            let fault = Fault::new(message, format!("{help}, or remove tls"));
            at.location.key().error(fault);
        } else if let (Some(flag), true) = (&flag, plain(flagged.as_ref())) {
            let message = "the server is reached without the TLS that the file asks for";
            flag.location.warn(message, help);
        }
    }
    let login =
        credentials(location, file.username.as_ref(), file.password_file.as_ref(), PASSWORD_ENV, secrets);
    let number = |written: Option<i64>| written.and_then(|number| u32::try_from(number).ok());
    let (servers, certificates, login) = (flagged.or(written)??, certificates?, login?);
    Some(RedisSettings {
        topology: servers.topology,
        credentials: Credentials {
            username: login.username.or(servers.credentials.username),
            password: login.password.or(servers.credentials.password),
        },
        tls: servers.tls.then_some(certificates),
        timeout: file.timeout.unwrap_or(Duration::from_millis(20)),
        key_prefix: file.key_prefix.clone().unwrap_or_else(|| "tidegate".to_owned()),
        connections: number(file.connections).unwrap_or(CONNECTIONS),
        instances: number(file.instances).unwrap_or(INSTANCES),
    })
}

/// A user, and the password in a file or else in the environment. None: something is wrong, and the report says what.
fn credentials(
    location: &Location,
    username: Option<&String>,
    password_file: Option<&Spanned<String>>,
    variable: &str,
    secrets: &Secrets<'_>,
) -> Option<Credentials> {
    let (source, location) = match password_file {
        Some(at) => (SecretSource::File(PathBuf::from(&at.value)), at.location.clone()),
        None => (SecretSource::Env(variable.to_owned()), location.flag(variable)),
    };
    let bytes = location.check(secret::read(&source, secrets))?;
    let text = bytes.map(String::from_utf8).transpose();
    let text = text.map_err(|_| Fault::new("the password is not UTF-8", "save it as UTF-8"));
    let password = location.check(text)?.map(Secret::new);
    Some(Credentials { username: username.cloned(), password })
}
