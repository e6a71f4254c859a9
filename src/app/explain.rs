//! `tidegate explain`: what would become of a request, as text or as JSON.

mod text;

use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use serde_json::{Value, json};

use crate::cli::Format;
use crate::config::Config;
use crate::policy::{Mode, OnOutage};
use crate::proxy::explain::{Checked, Decision, Explanation, Kind, Other, Seen, explain};

/// The request that is explained, as a client sends it over HTTP/1.1.
#[derive(Debug)]
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its URL, or its path and query.
    pub url: Uri,
    /// Its fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The other end of the connection.
    pub peer: IpAddr,
}

/// Returns the explanation, with a line break at its end.
pub(super) fn explained(config: &Config, question: &Question, format: Format) -> anyhow::Result<String> {
    let request = request(question)?;
    let explanation = explain(&config.policy, &config.settings.bounds, request, question.peer);
    Ok(match format {
        Format::Text => text::written(question, &explanation),
        Format::Json => format!("{:#}\n", json(question, &explanation)),
    })
}

/// Returns the request in the form in which a client sends it to its proxy.
fn request(question: &Question) -> anyhow::Result<Request<()>> {
    let target = question.url.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::builder().method(question.method.clone()).uri(target).body(())?;
    let headers = request.headers_mut();
    for (name, value) in &question.headers {
        headers.append(name, value.clone());
    }
    // As with curl, a Host field takes the place of the host of the URL.
    if !headers.contains_key(header::HOST) {
        let host = question.url.authority().map_or("localhost", |authority| authority.as_str());
        headers.insert(header::HOST, HeaderValue::try_from(host)?);
    }
    Ok(request)
}

fn json(question: &Question, explanation: &Explanation<'_>) -> Value {
    let Explanation { seen, decision, checks, others } = explanation;
    let (mut bypass, mut status, mut reason) = (None, None, None);
    match decision {
        Decision::Bypassed { bypass: name } => bypass = Some(name),
        Decision::Refused { status: code, reason: text } => (status, reason) = (Some(code), Some(text)),
        Decision::Checked | Decision::Unlimited => {}
    }
    json!({
        "method": question.method.as_str(),
        "url": question.url.to_string(),
        "peer": question.peer.to_string(),
        "seen": seen.as_ref().map(seen_json),
        "decision": label(decision),
        "bypass": bypass,
        "status": status,
        "reason": reason,
        "checks": checks.iter().map(check_json).collect::<Vec<_>>(),
        "others": others.iter().map(other_json).collect::<Vec<_>>(),
    })
}

fn seen_json(seen: &Seen) -> Value {
    let Seen { host, path, forwarded, websocket, client, .. } = seen;
    json!({
        "host": host,
        "path": path,
        "forwarded": forwarded,
        "websocket": websocket,
        "client": client.address.to_string(),
    })
}

fn check_json(check: &Checked<'_>) -> Value {
    let limit = |named: &crate::policy::NamedLimit| {
        let limit = &named.limit;
        json!({
            "name": &*named.name,
            "quota": limit.quota(),
            "window_ms": limit.window_ms(),
            "burst": limit.burst(),
        })
    };
    json!({
        "rule": &*check.rule.name,
        "global": check.is_global,
        "mode": mode(check.rule.mode),
        "on_outage": on_outage(check.rule.on_outage),
        "key": check.rule.key.parts.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "counter": check.client,
        "tier": check.tier,
        "limits": check.rule.limits.iter().map(limit).collect::<Vec<_>>(),
        "trial": check.rule.trial.as_deref().map(limit),
        "in_one_reading": check.in_one_reading,
    })
}

fn other_json(other: &Other<'_>) -> Value {
    json!({ "kind": kind(other.kind), "name": other.name, "why": other.why })
}

/// The decision as outcomes are labelled in metrics, where the limiter has no part in it.
fn label(decision: &Decision<'_>) -> &'static str {
    match decision {
        Decision::Bypassed { .. } => "bypassed",
        Decision::Refused { .. } => "rejected",
        Decision::Checked => "checked",
        Decision::Unlimited => "unlimited",
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Bypass => "bypass",
        Kind::Rule => "rule",
        Kind::Global => "global",
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
        Mode::Off => "off",
    }
}

fn on_outage(on_outage: OnOutage) -> &'static str {
    match on_outage {
        OnOutage::Local => "local",
        OnOutage::Open => "open",
        OnOutage::Closed => "closed",
    }
}
