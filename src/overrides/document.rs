//! The form in which instances share overrides: a revision, then JSON. Pure.
//!
//! What is read may be damaged, or of another version of tidegate: what has no meaning here is left out.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::change::{Effect, Override, Proposal, Rate, Subject};
use super::set::{Entry, OverrideSet, Reset};
use crate::policy::Mode;
use crate::store::REVISION;

/// Longer documents are not read.
const MAX_BYTES: usize = 4 << 20;

/// Writes a document.
pub(super) fn write(revision: &str, set: &OverrideSet) -> Vec<u8> {
    let entries: Vec<Value> =
        set.entries.iter().map(|(subject, entry)| entry_value(subject, entry)).collect();
    let resets = set.resets.iter().map(|Reset { rule, client, author, version }| {
        json!({ "rule": &**rule, "client": &**client, "author": author, "version": version })
    });
    let document = json!({ "floor": set.floor, "entries": entries, "resets": resets.collect::<Vec<_>>() });
    format!("{revision}{document}").into_bytes()
}

/// Reads a document: its revision, and what it holds.
pub(super) fn read(document: &[u8]) -> Result<(String, OverrideSet), &'static str> {
    if document.len() > MAX_BYTES {
        return Err("it is longer than 4 MiB");
    }
    let (revision, json) = document.split_at_checked(REVISION).ok_or("it has no revision")?;
    let revision = str::from_utf8(revision).map_err(|_| "it has no revision")?.to_owned();
    let Ok(Value::Object(document)) = serde_json::from_slice(json) else {
        return Err("it is not a JSON object");
    };
    let entries = items(&document, "entries").filter_map(read_entry).collect();
    let resets = items(&document, "resets").filter_map(read_reset).collect();
    let floor = document.get("floor").and_then(Value::as_u64).unwrap_or_default();
    Ok((revision, OverrideSet { entries, floor, resets }))
}

fn items<'v>(document: &'v Map<String, Value>, key: &str) -> impl Iterator<Item = &'v Value> {
    document.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn entry_value(subject: &Subject, entry: &Entry) -> Value {
    let mut value = Map::new();
    let mut put = |key: &str, field: Value| {
        if !field.is_null() {
            value.insert(key.to_owned(), field);
        }
    };
    put("rule", json!(subject.rule().map(|rule| &**rule)));
    put("client", json!(subject.client().map(|client| &**client)));
    put("version", json!(entry.version()));
    match entry {
        Entry::Removed { at_ms, by, .. } => {
            put("removed_ms", json!(at_ms));
            put("author", json!(by));
        }
        Entry::Set(item) => {
            put("set_ms", json!(item.set_ms));
            put("expires_ms", json!(item.expires_ms));
            put("author", json!(item.author));
            put("reason", json!(item.reason));
            let (rate, burst, mode) = match &item.effect {
                Effect::Rule { rate, burst, mode } => (*rate, *burst, mode.map(Mode::word)),
                Effect::ClientRate { rate, burst } => (Some(*rate), *burst, None),
                Effect::Unlimited => (None, None, Some("unlimited")),
                Effect::Blocked => (None, None, Some("blocked")),
            };
            put("quota", json!(rate.map(|rate| rate.quota)));
            put("window_ms", json!(rate.map(|rate| rate.window_ms)));
            put("burst", json!(burst));
            put("mode", json!(mode));
        }
    }
    Value::Object(value)
}

fn read_entry(value: &Value) -> Option<(Subject, Entry)> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let number = |key: &str| value.get(key).and_then(Value::as_i64);
    let version = value.get("version")?.as_u64()?;
    let subject = match (text("rule"), text("client")) {
        (None, None) => Subject::AllRules,
        (Some(rule), None) => Subject::Rule(rule.into()),
        (Some(rule), Some(client)) => Subject::Client { rule: rule.into(), client: client.into() },
        (None, Some(_)) => return None,
    };
    if let Some(at_ms) = number("removed_ms") {
        let by = text("author").map(str::to_owned);
        return Some((subject, Entry::Removed { version, at_ms, by }));
    }
    let rate = number("quota").zip(number("window_ms"));
    let (rate, burst) = (rate.map(|(quota, window_ms)| Rate { quota, window_ms }), number("burst"));
    let effect = match (text("mode"), subject.client(), rate) {
        (Some("unlimited"), Some(_), _) => Effect::Unlimited,
        (Some("blocked"), Some(_), _) => Effect::Blocked,
        (None, Some(_), Some(rate)) => Effect::ClientRate { rate, burst },
        (Some(word), None, _) => {
            let modes = [Mode::Enforce, Mode::Shadow, Mode::Off];
            let mode = modes.into_iter().find(|mode| mode.word() == word)?;
            Effect::Rule { rate, burst, mode: Some(mode) }
        }
        (None, None, _) => Effect::Rule { rate, burst, mode: None },
        (_, Some(_), _) => return None,
    };
    let (reason, author) = (text("reason").unwrap_or_default(), text("author").unwrap_or_default());
    let (reason, author) = (reason.to_owned(), author.to_owned());
    let proposal = Proposal { effect, reason, author, expires_in: None::<Duration> };
    proposal.check(&subject).ok()?;
    let Proposal { effect, reason, author, .. } = proposal;
    let (set_ms, expires_ms) = (number("set_ms").unwrap_or_default(), number("expires_ms"));
    let item = Override { subject: subject.clone(), effect, reason, author, set_ms, expires_ms, version };
    Some((subject, Entry::Set(item)))
}

fn read_reset(value: &Value) -> Option<Reset> {
    let text = |key: &str| value.get(key).and_then(Value::as_str);
    let (rule, client): (Arc<str>, Arc<str>) = (text("rule")?.into(), text("client")?.into());
    let author = text("author").unwrap_or_default().to_owned();
    Some(Reset { rule, client, author, version: value.get("version")?.as_u64()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: &str = "0123456789abcdef";

    fn full() -> OverrideSet {
        let client = |client: &str| Subject::Client { rule: "r".into(), client: client.into() };
        let rate = Rate { quota: 7, window_ms: 60_000 };
        let effects = [
            (Subject::AllRules, Effect::Rule { rate: None, burst: None, mode: Some(Mode::Shadow) }),
            (
                Subject::Rule("r".into()),
                Effect::Rule { rate: Some(rate), burst: Some(2), mode: Some(Mode::Off) },
            ),
            (Subject::Rule("s".into()), Effect::Rule { rate: None, burst: Some(2), mode: None }),
            (client("192.0.2.1"), Effect::ClientRate { rate, burst: None }),
            (client("2001:db8::/64,~0a"), Effect::Unlimited),
            (client("*"), Effect::Blocked),
        ];
        let mut set = OverrideSet { floor: 3, ..OverrideSet::default() };
        for ((subject, effect), version) in effects.into_iter().zip(1_700_000_000_000_000..) {
            let (reason, author) = ("a \"reason\"".to_owned(), "oncall".to_owned());
            let expires_ms = (version % 2 == 0).then_some(1_700_000_000_001);
            set.set(Override {
                subject,
                effect,
                reason,
                author,
                set_ms: 1_700_000_000_000,
                expires_ms,
                version,
            });
        }
        set.remove(Subject::Rule("gone".into()), "oncall", 1_700_000_000_000);
        set.reset("r".into(), "192.0.2.1".into(), "oncall", 1_700_000_000_000);
        let expired = Entry::Removed { version: 5, at_ms: 6, by: None };
        set.entries.insert(Subject::Rule("expired".into()), expired);
        set
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        assert_eq!(read(&write(REVISION, &full())), Ok((REVISION.to_owned(), full())));
    }

    #[test]
    fn what_has_no_meaning_is_left_out() {
        let document = r#"{"entries":[7,{"rule":"r"},{"rule":"r","version":1,"mode":"tarpit"},{"client":"c","version":1},
            {"rule":"r","client":"c","version":1,"mode":"tarpit"},{"rule":"ok","version":2,"burst":4,"tomorrow":true}],
            "resets":[{},{"rule":"r"}],"tomorrow":{}}"#;
        let (_, set) = read(format!("{REVISION}{document}").as_bytes()).unwrap();
        assert_eq!(set.entries.keys().collect::<Vec<_>>(), [&Subject::Rule("ok".into())]);
        assert_eq!(set.resets, []);
    }

    #[test]
    fn no_damaged_document_is_read() {
        for document in
            [&b""[..], b"0123456789", b"0123456789abcdef", b"0123456789abcdef[]", b"\xff123456789abcdef{}"]
        {
            assert!(read(document).is_err(), "{}", document.escape_ascii());
        }
    }
}
