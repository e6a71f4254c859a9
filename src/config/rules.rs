//! Compiles one rule: match, key, limits. Pure.

mod matching;
mod refusal;

use std::sync::Arc;

use http::HeaderName;

use super::diagnostic::{Fault, nearest, shown};
use super::header::{Purpose, readable};
use super::rate;
use super::report::{Location, Spanned};
use super::schema;
use crate::policy::key::{KeyPart, KeySpec};
use crate::policy::path::PathPolicy;
use crate::policy::template::Template;
use crate::policy::{NamedLimit, OnOutage, Rule};
use crate::window::{Limit, LimitError};
pub(super) use matching::template;

/// A compiled rule and where it stands.
pub(super) struct Compiled {
    pub(super) rule: Rule,
    /// The location of its name.
    pub(super) location: Location,
}

/// What a rule does that does not say so.
#[derive(Clone, Copy)]
pub(super) struct Defaults<'d> {
    pub(super) key: &'d [KeyPart],
    pub(super) on_outage: OnOutage,
    /// How requests' paths are read, and so those of rules.
    pub(super) path: &'d PathPolicy,
}

/// Compiles a rule. None: something is wrong with it, and the report says what.
pub(super) fn compile(rule: &schema::Rule, defaults: Defaults<'_>) -> Option<Compiled> {
    let before = rule.location.errors();
    let matches = matching::compile(&rule.matches, &rule.location, defaults.path);
    let path = matches.as_ref().map_or_else(Template::any, |matches| matches.path.clone());
    let parts = match &rule.key {
        None => defaults.key.to_vec(),
        // A path that could not be read has no parameters, and one fault is enough.
        Some(parts) => key(parts, matches.as_ref().map(|_| &path)),
    };
    let limits = limits(rule);
    let name = rule.name.as_ref()?;
    let rule = Rule {
        name: name.value.as_str().into(),
        matches: matches?,
        key: KeySpec { parts, on_missing: rule.on_missing.unwrap_or_default() },
        limits,
        mode: rule.mode,
        on_outage: rule.on_outage.unwrap_or(defaults.on_outage),
        refusal: refusal::compile(&rule.refusal),
    };
    let sound = name.location.errors() == before && !rule.limits.is_empty();
    sound.then(|| Compiled { rule, location: name.location.clone() })
}

fn key(texts: &[Spanned<String>], path: Option<&Template>) -> Vec<KeyPart> {
    let mut parts: Vec<KeyPart> = Vec::with_capacity(texts.len());
    for Spanned { value: text, location } in texts {
        let Some(part) = location.check(key_part(text, path)) else { continue };
        if parts.contains(&part) {
            let fault =
                Fault::new(format!("'{}' stands twice in the key", shown(text)), "keep one of the two");
            location.error(fault);
        } else {
            parts.push(part);
        }
    }
    parts
}

fn key_part(text: &str, path: Option<&Template>) -> Result<KeyPart, Fault> {
    const KINDS: [&str; 8] =
        ["client_ip", "host", "method", "header:", "cookie:", "query:", "path:", "tls:san"];
    const HELP: &str =
        "write client_ip, host, method, header:NAME, cookie:NAME, query:NAME, path:NAME or tls:san";
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    let fault = |message: String| Err(Fault::new(message, HELP));
    match (kind, name) {
        ("client_ip", None) => Ok(KeyPart::ClientIp),
        ("host", None) => Ok(KeyPart::Host),
        ("method", None) => Ok(KeyPart::Method),
        ("tls", Some("san")) => Ok(KeyPart::TlsSan),
        ("tls", _) => {
            let message = format!("'{}' is nothing of a certificate that can be a key", shown(text));
            Err(Fault::new(message, "write tls:san, the first verified name in the client's certificate"))
        }
        ("jwt", _) => fault(format!("the key '{}' is not built yet", shown(text))),
        ("header", Some(name)) => {
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                return fault(format!("'{}' is no header name", shown(name)));
            };
            readable(&header, Purpose::Key).map(|()| KeyPart::Header(header))
        }
        ("cookie", Some(name)) if is_token(name) => Ok(KeyPart::Cookie(name.into())),
        ("cookie", Some(name)) => fault(format!("'{}' is no cookie name", shown(name))),
        ("query", Some(name)) if !name.is_empty() => Ok(KeyPart::Query(name.into())),
        ("path", Some(name)) if path.is_none_or(|path| path.has_param(name)) => {
            Ok(KeyPart::Path(name.into()))
        }
        ("path", Some(name)) => {
            let message = format!("the rule's path has no parameter '{}'", shown(name));
            Err(Fault::new(message, format!("write it in the path, such as /tasks/{{{}}}", shown(name))))
        }
        _ => {
            let guess =
                nearest(text, &KINDS).map(|meant| format!("did you mean '{meant}'? ")).unwrap_or_default();
            Err(Fault::new(format!("'{}' is no part of a key", shown(text)), format!("{guess}{HELP}")))
        }
    }
}

/// A token of RFC 9110, as names of cookies are.
fn is_token(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(plain)
}

fn limits(rule: &schema::Rule) -> Vec<NamedLimit> {
    let name = rule.name.as_ref().map_or("", |name| &name.value);
    let mut seen: Vec<(i64, &Location)> = Vec::new();
    let mut limits = Vec::with_capacity(rule.limits.len());
    for limit in &rule.limits {
        let Some(compiled) = compile_limit(limit) else { continue };
        let window_ms = compiled.window_ms();
        if let Some((_, first)) = seen.iter().find(|(window, _)| *window == window_ms) {
            let message = format!("the rule has two limits of the same window, {}", rate::label(window_ms));
            limit
                .rate
                .location
                .collision(Fault::new(message, "keep the smaller one: the other is never reached"), first);
            continue;
        }
        seen.push((window_ms, &limit.rate.location));
        let name: Arc<str> = match rule.limits.len() {
            1 => name.into(),
            _ => format!("{name}:{}", rate::label(window_ms)).into(),
        };
        limits.push(NamedLimit { name, limit: compiled });
    }
    limits
}

fn compile_limit(limit: &schema::Limit) -> Option<Limit> {
    let rate = limit.rate.value;
    let burst = limit.burst.as_ref().map_or(0, |at| at.value);
    // A window of fewer milliseconds than the default has slices gets one slice for each.
    let default = Limit::DEFAULT_SLICES.min(rate.window_ms.max(1));
    let slices = limit.slices.as_ref().map_or(default, |at| at.value);
    Limit::new(rate.quota, burst, rate.window_ms, slices)
        .map_err(|error| {
            let at = &limit.rate.location;
            let (location, help) = match error {
                LimitError::NoQuota => (at, "write 1 or more; mode: off switches the rule off"),
                LimitError::NegativeBurst => {
                    (limit.burst.as_ref().map_or(at, |at| &at.location), "write 0 or more")
                }
                LimitError::Window => (at, "write a window from 1ms to 366d"),
                LimitError::Slices => (
                    limit.slices.as_ref().map_or(at, |at| &at.location),
                    "write fewer slices, or leave the key out",
                ),
                LimitError::Count => (at, "write a lower rate, or a lower burst"),
                LimitError::Precision => {
                    (at, "write the same rate over a shorter window: 1000000/s instead of 86400000000/day")
                }
            };
            location.error(Fault::new(error.to_string(), help));
        })
        .ok()
}
