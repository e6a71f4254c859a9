//! Reads the Redis store. Pure.

mod topology;
mod url;

use std::path::PathBuf;
use std::time::Duration;

use super::diagnostic::{Fault, shown};
use super::key_table::Kind;
use super::name::is_name;
use super::report::Spanned;
use super::section::{Field, Hint, Section};
use super::value::Value;
use super::{SecretSource, Secrets, secret, tls};
use crate::settings::{ClientTls, Credentials, Redacted, RedisSettings};

const HINTS: &[Hint] = &[
    (
        &["password"],
        "passwords do not belong in this file",
        "name a file in password_file, or set TIDEGATE_REDIS_PASSWORD",
    ),
    (
        &["urls"],
        "the servers of a cluster belong in cluster",
        "expected cluster: and the list, or url: and one of them",
    ),
    (&["database"], "the database is part of the url", "expected url: redis://HOST:PORT/DATABASE"),
];

/// The environment variable with the password.
const PASSWORD_ENV: &str = "TIDEGATE_REDIS_PASSWORD";
const DEFAULT_PREFIX: &str = "tidegate";
const PREFIX: &str = "1 to 32 of `A-Z a-z 0-9 . _ -`";
const MAX_PREFIX: usize = 32;

/// Reads the store of the file, and the flag that takes the place of its servers.
pub(super) fn read(
    value: &Value<'_>,
    flag: Option<Spanned<String>>,
    secrets: &Secrets<'_>,
) -> Option<RedisSettings> {
    value.section(HINTS, |section| {
        let written = topology::read(section, secrets);
        let flagged = Field::read(flag, |at| topology::standalone(&at));
        if written.is_absent() && flagged.is_absent() {
            let help = format!("{}; or sentinel:, or cluster:, or --redis", topology::URL_HELP);
            section.require("url", "the url is missing", &help);
        }
        let login = credentials(section, PASSWORD_ENV, secrets);
        let tls = section.value("tls", Kind::Mapping, "");
        let certificates = match &tls {
            Some(tls) => tls::client(tls, secrets),
            None => Some(ClientTls::default()),
        };
        let help = "expected rediss:// instead of redis://";
        let is_plain = |servers: Option<&topology::Servers>| servers.is_some_and(|servers| !servers.tls);
        if let Some(tls) = tls {
            let (first, flagged) =
                (written.as_ref().or(flagged.as_ref()).present(), flagged.as_ref().present());
            // A scheme without TLS is a slip then, and not a harmless one.
            if is_plain(first) {
                let message = "tls is set, but the servers are reached without it";
                tls.location.key().error(Fault::new(message, format!("{help}, or remove tls")));
            } else if let Some(flag) = flagged.filter(|servers| is_plain(Some(servers))) {
                flag.location.warn("the server is reached without the TLS that the file asks for", help);
            }
        }
        let servers = flagged.or(written).present();
        Some(RedisSettings {
            timeout: section.duration("timeout", ("1ms", "10s"), Duration::from_millis(20)),
            key_prefix: prefix(section.value("key_prefix", Kind::Text(PREFIX), DEFAULT_PREFIX)),
            // Enough to keep round trips under way; more would only make each carry less.
            connections: section.integer("connections", 1..=256, 4),
            instances: section.integer("instances", 1..=10_000, 1),
            // Last, as every key is to be read, also where these are faulty.
            tls: servers.as_ref()?.tls.then_some(certificates?),
            credentials: login?.or(&servers.as_ref()?.credentials),
            sentinel_credentials: servers.as_ref()?.sentinel_credentials.clone(),
            database: servers.as_ref()?.database,
            topology: servers?.topology,
        })
    })
}

fn prefix(value: Option<Value<'_>>) -> String {
    let help = "expected 1 to 32 letters, digits, '.', '_' or '-'";
    let prefix = value.and_then(|value| {
        value.parsed("a prefix", help, |text| {
            let fits = is_name(text, MAX_PREFIX).then(|| text.to_owned());
            fits.ok_or_else(|| Fault::new(format!("invalid prefix '{}'", shown(text)), help))
        })
    });
    prefix.map_or_else(|| DEFAULT_PREFIX.to_owned(), |at| at.value)
}

/// Reads a user, and the password in a file or else in the environment.
fn credentials(section: &mut Section<'_>, variable: &str, secrets: &Secrets<'_>) -> Option<Credentials> {
    let username = section.text("username", "text", "expected the name of an ACL user");
    let value = section.value("password_file", Kind::Text("file"), "");
    let (source, location) = match value {
        Some(value) => {
            let file = value.text(secret::FILE_HELP)?;
            (SecretSource::File(PathBuf::from(file.value)), file.location)
        }
        None => (SecretSource::Env(variable.to_owned()), section.location.flag(variable)),
    };
    let bytes = location.check(secret::read(&source, secrets))?;
    let text = bytes.map(String::from_utf8).transpose();
    let text = text.map_err(|_| Fault::new("the password is not UTF-8", "save it as UTF-8"));
    let password = location.check(text)?.map(Redacted::new);
    Some(Credentials { username: username.map(|at| at.value), password })
}
