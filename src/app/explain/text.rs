//! The explanation for a terminal, in at most 80 columns where names allow it.

use std::fmt::Write as _;

use super::Question;
use crate::app::guarantees::time;
use crate::policy::NamedLimit;
use crate::proxy::explain::{Checked, Decision, Explanation, Kind, Other, Seen};

const COLUMNS: usize = 80;

/// Returns the explanation, with a line break at its end.
pub(super) fn written(question: &Question, explanation: &Explanation<'_>) -> String {
    let Explanation { seen, decision, checks, others } = explanation;
    let mut text = String::new();
    row(&mut text, "request", &format!("{} {}", question.method, question.url));
    if let Some(seen) = seen {
        about_request(&mut text, question, seen);
    }
    row(&mut text, "decision", &decided(decision, checks.len()));
    for check in checks {
        text.push('\n');
        about_check(&mut text, check);
    }
    if !others.is_empty() {
        text.push_str("\nnot matched\n");
    }
    for other in others {
        about_other(&mut text, other);
    }
    text
}

fn about_request(text: &mut String, question: &Question, seen: &Seen) {
    row(text, "host", &seen.host);
    row(text, "path", &seen.path);
    if seen.forwarded != question.url.path_and_query().map_or("/", |target| target.as_str()) {
        row(text, "forwarded", &seen.forwarded);
    }
    if seen.websocket {
        row(text, "websocket", "an upgrade to WebSocket");
    }
    let (address, peer) = (seen.client.address, seen.client.peer);
    let client = match (seen.client.direct, seen.trusted_peer) {
        (true, true) => format!("{address}, the trusted proxy itself: it names no client"),
        (true, false) => format!("{address}, the peer"),
        (false, _) if address == peer => {
            format!("{address}, the trusted proxy: the client's address cannot be read")
        }
        (false, _) => format!("{address}, named by the trusted proxy {peer}"),
    };
    row(text, "client", &client);
}

fn decided(decision: &Decision<'_>, checks: usize) -> String {
    match decision {
        Decision::Bypassed { bypass } => format!("forwarded unchecked: the bypass {bypass} lets it through"),
        Decision::Refused { status, reason } => format!("refused with {status}: {reason}"),
        Decision::Unlimited => "forwarded: no rule has anything to check".to_owned(),
        Decision::Checked if checks == 1 => "counts against one rule".to_owned(),
        Decision::Checked => format!("counts against {checks} rules, all or none"),
    }
}

fn about_check(text: &mut String, check: &Checked<'_>) {
    let Checked { rule, is_global, tier, client, in_one_reading } = check;
    let kind = if *is_global { "global rule" } else { "rule" };
    row(
        text,
        kind,
        &format!("{} (mode: {}, on_outage: {})", rule.name, rule.mode.word(), rule.on_outage.word()),
    );
    if *in_one_reading {
        let why = "upstreams may read the request in several ways; it matches in some of them";
        row(text, "  because", why);
    }
    let parts: Vec<String> = rule.key.parts.iter().map(ToString::to_string).collect();
    let key = if parts.is_empty() { "[]: one bucket for all".to_owned() } else { parts.join(", ") };
    row(text, "  key", &key);
    row(text, "  counter", client);
    if let Some(tier) = tier {
        row(text, "  tier", tier);
    }
    for named in &rule.limits {
        let limit = limited(named);
        row(
            text,
            "  limit",
            &if named.name == rule.name { limit } else { format!("{limit} ({})", named.name) },
        );
    }
    if let Some(trial) = &rule.trial {
        row(text, "  trial", &limited(trial));
    }
}

fn limited(NamedLimit { limit, .. }: &NamedLimit) -> String {
    let burst = if limit.burst() > 0 { format!(", burst {}", limit.burst()) } else { String::new() };
    format!("{} per {}{burst}", limit.quota(), time(limit.window_ms()))
}

fn about_other(text: &mut String, other: &Other<'_>) {
    let kind = match other.kind {
        Kind::Bypass => "bypass",
        Kind::Rule => "rule",
        Kind::Global => "global",
    };
    wrapped(text, "  ", &format!("{} ({kind}): {}", other.name, other.why), "      ");
}

/// Writes a line with a label before it.
fn row(text: &mut String, label: &str, value: &str) {
    const INDENT: &str = "             ";
    wrapped(text, &format!("{label:<12} "), value, INDENT);
}

/// Writes words to lines of at most 80 columns. A longer word has a line of its own.
fn wrapped(text: &mut String, first: &str, words: &str, next: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in words.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", line.trim_end());
            line = next.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.extend(word.chars().flat_map(shown));
        is_empty = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

/// Control characters as escapes: what a header or a query holds must not reach a terminal.
fn shown(character: char) -> impl Iterator<Item = char> {
    let (plain, escaped) = match character.is_control() {
        true => (None, Some(character.escape_unicode())),
        false => (Some(character), None),
    };
    plain.into_iter().chain(escaped.into_iter().flatten())
}
