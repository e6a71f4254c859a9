//! Compiles who is let through, and whom a request comes from. Pure.

mod names;

use std::path::PathBuf;

use http::{HeaderName, HeaderValue};

use super::diagnostic::{Fault, shown};
use super::header::{Purpose, readable};
use super::network::covers_all;
use super::report::Spanned;
use super::rules::template;
use super::schema;
use super::secret::{self, SecretSource, Secrets};
use crate::policy::bypass::{Bypass, Condition};
use crate::policy::client::ClientIdentity;
use crate::policy::key::HashKey;
use crate::policy::path::PathPolicy;

/// Compiles a bypass. None: something is wrong with it, and the report says what.
pub(super) fn compile(shape: &schema::Bypass, reading: &PathPolicy, secrets: &Secrets<'_>) -> Option<Bypass> {
    const HELP: &str = "give one of paths, cidrs, client_san, or header with secret_file or secret_env";
    let before = shape.location.errors();
    let secret = shape.secret_file.as_ref().or(shape.secret_env.as_ref());
    let on = match (&shape.paths, &shape.cidrs, &shape.client_san, &shape.header) {
        (Some(texts), None, None, None) => Some(paths(texts, reading)),
        (None, Some(networks), None, None) => Some(self::networks(networks)),
        (None, None, Some(texts), None) => Some(Condition::Names(names::patterns(texts))),
        (None, None, None, Some(header)) => by_secret(header, shape, secrets),
        // What is there could not be read, and the report says so.
        (None, None, None, None) if !shape.sound => None,
        (None, None, None, None) => {
            shape.location.error(Fault::new("the bypass has no condition", HELP));
            None
        }
        _ => {
            shape.location.error(Fault::new(
                "the bypass has more than one condition",
                format!("{HELP}; write two bypasses"),
            ));
            None
        }
    };
    if let (None, Some(secret)) = (&shape.header, secret) {
        let fault =
            Fault::new("the secret has no header", "name the header that holds it: header: X-Internal-Token");
        secret.location.key().error(fault);
    }
    let empty = match &on {
        Some(Condition::Paths(list)) => list.is_empty(),
        Some(Condition::Networks(list)) => list.is_empty(),
        Some(Condition::Names(list)) => list.is_empty(),
        _ => false,
    };
    if empty && shape.sound && shape.location.errors() == before {
        shape
            .location
            .error(Fault::new("the list of the bypass is empty", "add an item, or remove the bypass"));
    }
    let (on, name) = (on?, shape.name.as_ref()?);
    (shape.location.errors() == before).then(|| Bypass { name: name.value.as_str().into(), on })
}

fn paths(texts: &[Spanned<String>], reading: &PathPolicy) -> Condition {
    let mut templates = Vec::with_capacity(texts.len());
    for at in texts {
        let Some(template) = at.location.check(template(&at.value, reading)) else { continue };
        if template.is_open() && template.segments().is_empty() {
            at.location.warn("this lets every request through: no rule is ever asked", "name the paths");
        }
        templates.push(template);
    }
    Condition::Paths(templates)
}

fn networks(networks: &[Spanned<ipnet::IpNet>]) -> Condition {
    for at in networks.iter().filter(|at| covers_all(&at.value)) {
        at.location.warn("this lets every address through: no rule is ever asked", "name the networks");
    }
    Condition::Networks(networks.iter().map(|at| at.value).collect())
}

fn by_secret(header: &Spanned<String>, shape: &schema::Bypass, secrets: &Secrets<'_>) -> Option<Condition> {
    let name = HeaderName::from_bytes(header.value.as_bytes()).map_err(|_| {
        Fault::new(
            format!("'{}' is no header name", shown(&header.value)),
            "write a name such as X-Internal-Token",
        )
    });
    let name = name.and_then(|name| readable(&name, Purpose::Secret).map(|()| name));
    let name = header.location.check(name);
    let (source, location) = match (&shape.secret_file, &shape.secret_env) {
        (Some(file), None) => (SecretSource::File(PathBuf::from(&file.value)), &file.location),
        (None, Some(variable)) => {
            (SecretSource::Env(variable.location.check(variable_name(&variable.value))?), &variable.location)
        }
        (Some(_), Some(variable)) => {
            let fault = Fault::new("there are two secrets", "keep either secret_file or secret_env");
            variable.location.key().error(fault);
            return None;
        }
        // It may be there, under a name that is not known.
        (None, None) if !shape.sound => return None,
        (None, None) => {
            header
                .location
                .key()
                .error(Fault::new("the header has no secret", "give secret_file or secret_env"));
            return None;
        }
    };
    let secret = location.check(secret::read(&source, secrets))?;
    let Some(secret) = secret else {
        location.error(Fault::new("the environment variable is not set, or empty", "set it to the secret"));
        return None;
    };
    if HeaderValue::from_bytes(&secret).is_err() || secret.trim_ascii() != secret {
        let message =
            "the secret can never arrive: it holds a line break, a control character, or a blank at an end";
        location.error(Fault::new(message, "put the secret on one line, and nothing else"));
        return None;
    }
    if secret.len() < 16 {
        location.warn(
            "the secret is shorter than 16 bytes: it can be guessed",
            "use 32 random bytes in hexadecimal",
        );
    }
    name.map(|name| Condition::secret(name, &secret))
}

fn variable_name(name: &str) -> Result<String, Fault> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let fits = plain && !name.starts_with(|c: char| c.is_ascii_digit());
    let fault = || {
        Fault::new(format!("'{}' is no environment variable", shown(name)), "write letters, digits and '_'")
    };
    fits.then(|| name.to_owned()).ok_or_else(fault)
}

/// Compiles how clients are told apart.
pub(super) fn client(shape: &schema::Client, secrets: &Secrets<'_>) -> (ClientIdentity, HashKey) {
    for at in shape.trusted_proxies.iter().filter(|at| covers_all(&at.value)) {
        at.location.warn(
            "every client is a trusted proxy, and may claim any address: a limit per client_ip holds nobody",
            "list the networks of your own proxies only",
        );
    }
    let default = ClientIdentity::default();
    let prefix = shape.ipv6_prefix.and_then(|prefix| u8::try_from(prefix).ok());
    let identity = ClientIdentity {
        trusted_proxies: shape.trusted_proxies.iter().map(|at| at.value).collect(),
        header: shape.header.unwrap_or_default(),
        ipv6_prefix: prefix.unwrap_or(default.ipv6_prefix),
    };
    let secret = shape.hash_secret_file.as_ref().and_then(|at| {
        let source = SecretSource::File(PathBuf::from(&at.value));
        at.location.check(secret::read(&source, secrets)).flatten()
    });
    (identity, secret.map(|secret| HashKey::new(&secret)).unwrap_or_default())
}
