//! Reads where the admin API is served, and who may use it. Pure.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::diagnostic::{Fault, shown};
use super::key_table::Kind;
use super::name::{MAX_NAME, is_name};
use super::report::{Location, Spanned};
use super::section::{Hint, Section};
use super::value::Value;
use super::{Overrides, SecretSource, Secrets, listen, secret};
use crate::settings::{AdminListen, AdminSettings, AdminToken, Redacted, Role};

const HINTS: &[Hint] = &[
    (&["token"], "tokens are a list", "expected tokens: [{ name: NAME, file: FILE, role: write }]"),
    (
        &["tls"],
        "the admin API has no TLS of its own",
        "let it listen on 127.0.0.1, and reach it by kubectl port-forward, ssh -L or a proxy with TLS",
    ),
];
const TOKEN_HINTS: &[Hint] = &[(
    &["token", "value", "secret"],
    "tokens do not belong in this file",
    "name a file that holds the token in file",
)];
const ROLES: &[(&str, Role)] = &[("read", Role::Read), ("write", Role::Write)];
/// Whoever can guess a token can do everything.
const SHORT: usize = 16;

/// Reads the section. `others` are the addresses of the other listeners, each with its key.
pub(super) fn read(
    file: &mut Section<'_>,
    overrides: &Overrides,
    others: &[(&str, SocketAddr)],
    secrets: &Secrets<'_>,
) -> Option<AdminSettings> {
    let flag = overrides.spanned("--admin-listen", overrides.admin_listen.as_ref(), &file.location);
    let mut written = None;
    let mut settings = AdminSettings::default();
    if let Some(value) = file.mapping("admin") {
        settings = value.section(HINTS, |section| {
            let text = section.value("listen", Kind::Text("`IP:PORT`, or `off`"), AdminListen::DEFAULT);
            written = text.and_then(|value| value.parsed("an address", listen::ADMIN_HELP, listen::admin));
            let hosts = section.texts("hosts", "names", HOSTS_HELP).unwrap_or_default();
            let hosts = hosts.iter().filter_map(|at| at.check(|text| host(text))).map(|at| at.value);
            let hosts = hosts.collect();
            let help = "expected a list of tokens, each starting with '- name:'";
            let mut seen = Seen::default();
            let tokens = section.items("tokens", help);
            let tokens = tokens.iter().filter_map(|value| token(value, &mut seen, secrets)).collect();
            Some(AdminSettings { listen: AdminListen::Default, hosts, tokens })
        })?;
    }
    if let Some(Spanned { value: listen, location }) = flag.or(written) {
        settings.listen = listen;
        check_address(&settings, others, &location)?;
    }
    Some(settings)
}

/// Reports an address that the listener cannot have, or must not have. (The default one is checked when it is opened.)
fn check_address(settings: &AdminSettings, others: &[(&str, SocketAddr)], location: &Location) -> Option<()> {
    let address = settings.listen.address();
    let Some(address) = address else { return Some(()) };
    if let Some((key, _)) = others.iter().find(|(_, other)| listen::overlap(*other, address)) {
        let message = format!("{address} is the address of {key}");
        location.error(Fault::new(message, "expected a port of its own for the admin API"));
        return None;
    }
    if settings.tokens.is_empty() && !address.ip().to_canonical().is_loopback() {
        let message =
            format!("other machines can reach {address}, and requests to the admin API need no token");
        let help = "add admin.tokens: [{ name: NAME, file: FILE, role: write }], or listen on 127.0.0.1";
        location.error(Fault::new(message, help));
        return None;
    }
    Some(())
}

/// The names of tokens so far, and the hashes of the tokens.
#[derive(Default)]
struct Seen {
    names: HashMap<String, Location>,
    hashes: HashMap<[u8; 32], (String, Location)>,
}

/// Reads a token. None: there is a fault in it, which has been reported.
fn token(value: &Value<'_>, seen: &mut Seen, secrets: &Secrets<'_>) -> Option<AdminToken> {
    value.section(TOKEN_HINTS, |section| {
        let name = name(section, seen);
        let file = section.text("file", "file", secret::FILE_HELP);
        section.require("file", "the file of the token is missing", secret::FILE_HELP);
        let role = section.word("role", ROLES, Role::default());
        let file = file?;
        let token =
            file.location.check(secret::read(&SecretSource::File(PathBuf::from(file.value)), secrets))??;
        if !token.iter().all(u8::is_ascii_graphic) {
            let message = "the token cannot be sent: it has a blank, or a character that is not ASCII";
            file.location.error(Fault::new(message, "put the token on one line, and nothing else"));
            return None;
        }
        if token.len() < SHORT {
            let help = "use 32 random bytes in hexadecimal: openssl rand -hex 32";
            file.location.warn("the token is shorter than 16 bytes: it can be guessed", help);
        }
        let name = name?.value;
        let hash: [u8; 32] = blake3::hash(&token).into();
        if let Some((other, location)) = seen.hashes.get(&hash) {
            let message = format!("the tokens '{other}' and '{name}' are the same");
            let help = "expected a token of its own for each name, which the log shows as the author";
            file.location.collision(Fault::new(message, help), location);
            return None;
        }
        seen.hashes.insert(hash, (name.clone(), file.location));
        Some(AdminToken { name, role, hash: Redacted::new(hash) })
    })
}

fn name(section: &mut Section<'_>, seen: &mut Seen) -> Option<Spanned<String>> {
    let help = "expected a name of 1 to 64 letters, digits, '.', '_' or '-'";
    let value = section.value("name", Kind::Text("1 to 64 of `A-Z a-z 0-9 . _ -`"), "");
    section.require("name", "the name is missing", help);
    let name = value?.parsed("a name", help, |text| {
        let fits = is_name(text, MAX_NAME).then(|| text.to_owned());
        fits.ok_or_else(|| Fault::new(format!("invalid name '{}'", shown(text)), help))
    })?;
    if let Some(first) = seen.names.get(&name.value) {
        let message = format!("duplicate name '{}'", name.value);
        name.location.collision(Fault::new(message, "expected another name: the log shows it"), first);
        return None;
    }
    seen.names.insert(name.value.clone(), name.location.clone());
    Some(name)
}

const HOSTS_HELP: &str = "expected names without a port, such as tidegate-admin.prod.svc";

/// Reads a name that `Host` may have.
fn host(text: &str) -> Result<String, Fault> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let fits = (1..=253).contains(&text.len()) && text.bytes().all(plain);
    let fault = || Fault::new(format!("invalid name '{}'", shown(text)), HOSTS_HELP);
    fits.then(|| text.to_ascii_lowercase()).ok_or_else(fault)
}
