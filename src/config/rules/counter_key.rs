//! Reads the parts of a counter's key. Pure.

use http::HeaderName;

use crate::config::diagnostic::{Fault, did_you_mean, shown};
use crate::config::key_table::Kind;
use crate::config::readable_header::{Purpose, readable};
use crate::config::report::Spanned;
use crate::config::section::Section;
use crate::config::value::Value;
use crate::config::yaml::Node;
use crate::policy::counter_key::KeyPart;
use crate::policy::matcher::Match;
use crate::policy::paths::Paths;

const LIST_HELP: &str = "expected a list of client_ip, host, method, header:NAME, cookie:NAME, query:NAME, path:NAME, \
                         tls:san, { first_of: [PART, PART] }; [] is one bucket for all";
const FIRST_OF_HELP: &str =
    "expected { first_of: [PART, PART] }, such as { first_of: [header:X-Api-Key, client_ip] }";

/// Reads the key. A path that could not be read has no parameters, and one fault is enough.
pub(super) fn read(section: &mut Section<'_>, matches: Option<&Match>) -> Option<Vec<KeyPart>> {
    let value = section.value("key", Kind::TextsOrMappings("parts"), "")?;
    let paths = matches.map(|matches| &matches.path);
    let parts = value.texts_or_mappings(LIST_HELP).into_iter().filter_map(|value| match value.node {
        Node::Map(_) => first_of(&value, paths),
        _ => text(&value, paths, LIST_HELP),
    });
    Some(distinct(parts))
}

/// Reads the parts of which the first that a request has counts.
fn first_of(value: &Value<'_>, paths: Option<&Paths>) -> Option<Spanned<KeyPart>> {
    let parts = value.section(&[], |section| {
        let parts = section.value("first_of", Kind::Texts("parts"), "");
        section.require("first_of", "the part has no key 'first_of'", FIRST_OF_HELP);
        let items = parts?.items(FIRST_OF_HELP);
        let parts: Vec<_> = items.iter().filter_map(|value| text(value, paths, FIRST_OF_HELP)).collect();
        if let Some([certain, unused, ..]) =
            parts.windows(2).find(|pair| pair.first().is_some_and(|part| is_never_missing(&part.value)))
        {
            let (unused_part, certain) = (unused.value.to_string(), certain.value.to_string());
            let message =
                format!("'{}' is never used: no request lacks '{}'", shown(&unused_part), shown(&certain));
            unused.location.error(Fault::new(message, "move it up, or remove it"));
        }
        if section.is_empty("first_of") || items.len() == 1 {
            section.located("first_of").error(Fault::new("first_of has fewer than two parts", FIRST_OF_HELP));
        }
        Some(distinct(parts.into_iter()))
    })?;
    Some(Spanned { value: KeyPart::FirstOf(parts.into()), location: value.location.clone() })
}

/// Whether every request that the rule matches has the part.
fn is_never_missing(part: &KeyPart) -> bool {
    matches!(part, KeyPart::ClientIp | KeyPart::Method | KeyPart::Path(_))
}

fn text(value: &Value<'_>, paths: Option<&Paths>, help: &str) -> Option<Spanned<KeyPart>> {
    value.text(help)?.check(|text| key_part(text, paths))
}

/// Reports parts that are given twice.
fn distinct(parts: impl Iterator<Item = Spanned<KeyPart>>) -> Vec<KeyPart> {
    let mut kept: Vec<KeyPart> = Vec::new();
    for Spanned { value, location } in parts {
        if kept.contains(&value) {
            let message = format!("duplicate key part '{}'", shown(&value.to_string()));
            location.error(Fault::new(message, "keep one of the two"));
        } else {
            kept.push(value);
        }
    }
    kept
}

fn key_part(text: &str, paths: Option<&Paths>) -> Result<KeyPart, Fault> {
    const KINDS: [&str; 8] =
        ["client_ip", "host", "method", "header:", "cookie:", "query:", "path:", "tls:san"];
    const HELP: &str =
        "expected client_ip, host, method, header:NAME, cookie:NAME, query:NAME, path:NAME or tls:san";
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    let fault = |message: String| Err(Fault::new(message, HELP));
    match (kind, name) {
        ("client_ip", None) => Ok(KeyPart::ClientIp),
        ("host", None) => Ok(KeyPart::Host),
        ("method", None) => Ok(KeyPart::Method),
        ("tls", Some("san")) => Ok(KeyPart::TlsSan),
        ("tls", _) => {
            let message =
                format!("invalid key part '{}': only names of a certificate can be a key", shown(text));
            Err(Fault::new(message, "expected tls:san, the first verified name in the client's certificate"))
        }
        ("jwt", _) => fault(format!("the key '{}' is not built yet", shown(text))),
        ("header", Some(name)) => {
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                return fault(format!("invalid header name \'{}\'", shown(name)));
            };
            readable(&header, Purpose::Key).map(|()| KeyPart::Header(header))
        }
        ("cookie", Some(name)) if is_token(name) => Ok(KeyPart::Cookie(name.into())),
        ("cookie", Some(name)) => fault(format!("invalid cookie name \'{}\'", shown(name))),
        ("query", Some(name)) if !name.is_empty() => Ok(KeyPart::Query(name.into())),
        ("path", Some(name)) if paths.is_none_or(|paths| paths.have_param(name)) => {
            Ok(KeyPart::Path(name.into()))
        }
        ("path", Some(name)) => {
            let name = shown(name);
            let (whose, place) = match paths.map_or(1, |paths| paths.templates().len()) {
                1 => ("the rule's path has no", "the path"),
                _ => ("not each of the rule's paths has the", "each path"),
            };
            let message = format!("{whose} parameter '{name}'");
            Err(Fault::new(message, format!("expected it in {place}, such as /tasks/{{{name}}}")))
        }
        _ => {
            let guess = did_you_mean(text, &KINDS);
            Err(Fault::new(format!("invalid key part '{}'", shown(text)), format!("{guess}{HELP}")))
        }
    }
}

/// A token of RFC 9110, as names of cookies are.
fn is_token(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(plain)
}
