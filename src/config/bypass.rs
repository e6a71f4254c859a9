//! Reads bypasses: requests that pass without a check. Pure.

mod pattern;

use std::path::PathBuf;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use super::diagnostic::{Fault, shown};
use super::key_table::Kind;
use super::name::{self, Names};
use super::network::{covers_all, networks};
use super::readable_header::{Purpose, readable};
use super::report::Spanned;
use super::rules::template;
use super::secret::{self, SecretSource, Secrets};
use super::section::{Hint, Section};
use super::value::Value;
use crate::policy::bypass::{Bypass, Condition};
use crate::policy::path::PathPolicy;
use crate::policy::template::Template;

const HINTS: &[Hint] = &[(
    &["secret"],
    "secrets do not belong in this file",
    "name a file in secret_file, or an environment variable in secret_env",
)];
const CONDITIONS: &str =
    "expected one of paths, clients, cidrs, client_san, or header with secret_file or secret_env";

/// Reads a bypass. None: there is a fault in it, which has been reported.
pub(super) fn read(
    value: &Value<'_>,
    reading: &PathPolicy,
    names: &mut Names,
    secrets: &Secrets<'_>,
) -> Option<Spanned<Bypass>> {
    value.section(HINTS, |section| {
        let name = name::read(section);
        let condition = condition(section, reading, secrets);
        let name = name.inspect(|name| names.enter(name))?;
        let bypass = Bypass { name: name.value.into(), on: condition? };
        Some(Spanned { value: bypass, location: value.location.clone() })
    })
}

fn condition(section: &mut Section<'_>, reading: &PathPolicy, secrets: &Secrets<'_>) -> Option<Condition> {
    let paths = section.texts("paths", "paths", "expected paths, such as /healthz or /static/*");
    let clients = section.value("clients", Kind::Texts("networks or addresses"), "");
    let clients = clients.map(|value| networks(&value));
    let cidrs = section.value("cidrs", Kind::Texts("networks or addresses"), "");
    let cidrs = cidrs.map(|value| networks(&value));
    let help = "expected names of certificates, such as spiffe://prod/ns/jobs/*";
    let client_san = section.texts("client_san", "names, or their starts", help);
    let header = section.text("header", "header", "expected the name of a header");
    let secret_file = section.text("secret_file", "file", secret::FILE_HELP);
    let help = "expected the name of an environment variable";
    let secret_env = section.text("secret_env", "environment variable", help);
    if let (None, Some(secret)) = (&header, secret_file.as_ref().or(secret_env.as_ref())) {
        let help = "name the header that holds it: header: X-Internal-Token";
        secret.location.key().error(Fault::new("the secret has no header", help));
    }
    let condition = match (paths, clients, cidrs, client_san, header) {
        (Some(texts), None, None, None, None) => Condition::Paths(self::paths(&texts, reading).into()),
        (None, Some(networks), None, None, None) => {
            Condition::Clients(addresses(networks).into_iter().collect())
        }
        (None, None, Some(networks), None, None) => Condition::Networks(addresses(networks)),
        (None, None, None, Some(texts), None) => Condition::Names(pattern::patterns(&texts)),
        (None, None, None, None, Some(header)) => {
            return by_secret(section, &header, secret_file, secret_env, secrets);
        }
        (None, None, None, None, None) => {
            // An invalid condition is reported already, and is not missing.
            if section.is_sound() {
                section.location.error(Fault::new("the bypass has no condition", CONDITIONS));
            }
            return None;
        }
        _ => {
            let help = format!("{CONDITIONS}; or two bypasses");
            section.location.error(Fault::new("the bypass has more than one condition", help));
            return None;
        }
    };
    let is_empty = match &condition {
        Condition::Paths(list) => list.templates().is_empty(),
        Condition::Clients(list) => list.is_empty(),
        Condition::Networks(list) => list.is_empty(),
        Condition::Names(list) => list.is_empty(),
        Condition::Secret { .. } => false,
    };
    if is_empty && section.is_sound() {
        let fault = Fault::new("the list of the bypass is empty", "add an item, or remove the bypass");
        section.location.error(fault);
    }
    Some(condition)
}

fn paths(texts: &[Spanned<String>], reading: &PathPolicy) -> Vec<Template> {
    let templates = texts.iter().filter_map(|at| {
        let template = at.check(|text| template(text, reading))?.value;
        if template.is_open() && template.segments().is_empty() {
            let message = "this lets every request through: no rule is ever checked";
            at.location.warn(message, "name the paths");
        }
        Some(template)
    });
    templates.collect()
}

fn addresses(networks: Vec<Spanned<IpNet>>) -> Vec<IpNet> {
    for at in networks.iter().filter(|at| covers_all(&at.value)) {
        at.location.warn("this lets every address through: no rule is ever checked", "name the networks");
    }
    networks.into_iter().map(|at| at.value).collect()
}

fn by_secret(
    section: &Section<'_>,
    header: &Spanned<String>,
    file: Option<Spanned<String>>,
    variable: Option<Spanned<String>>,
    secrets: &Secrets<'_>,
) -> Option<Condition> {
    let name = header.check(|text| header_name(text));
    let (source, location) = match (file, variable) {
        (Some(file), None) => (SecretSource::File(PathBuf::from(file.value)), file.location),
        (None, Some(variable)) => {
            let variable = variable.check(|name| variable_name(name))?;
            (SecretSource::Env(variable.value), variable.location)
        }
        (Some(_), Some(variable)) => {
            let fault = Fault::new("there are two secrets", "keep either secret_file or secret_env");
            variable.location.key().error(fault);
            return None;
        }
        (None, None) => {
            // It may be there, under a name that is not known.
            if section.is_sound() {
                let fault = Fault::new("the header has no secret", "give secret_file or secret_env");
                header.location.key().error(fault);
            }
            return None;
        }
    };
    let Some(secret) = location.check(secret::read(&source, secrets))? else {
        let message = "the environment variable is not set, or empty";
        location.error(Fault::new(message, "set it to the secret"));
        return None;
    };
    if HeaderValue::from_bytes(&secret).is_err() || secret.trim_ascii() != secret {
        let message =
            "the secret never matches: it has a line break, a control character, or a blank at an end";
        location.error(Fault::new(message, "put the secret on one line, and nothing else"));
        return None;
    }
    if secret.len() < 16 {
        let help = "use 32 random bytes in hexadecimal";
        location.warn("the secret is shorter than 16 bytes: it can be guessed", help);
    }
    name.map(|name| Condition::secret(name.value, &secret))
}

fn header_name(text: &str) -> Result<HeaderName, Fault> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        Fault::new(
            format!("invalid header name \'{}\'", shown(text)),
            "expected a name such as X-Internal-Token",
        )
    })?;
    readable(&name, Purpose::Secret).map(|()| name)
}

fn variable_name(name: &str) -> Result<String, Fault> {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let fits = plain && !name.starts_with(|c: char| c.is_ascii_digit());
    let fault = || {
        Fault::new(
            format!("invalid environment variable '{}'", shown(name)),
            "expected letters, digits and '_'",
        )
    };
    fits.then(|| name.to_owned()).ok_or_else(fault)
}
