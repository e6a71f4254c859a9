//! What responses about overrides, clients and requests look like at a terminal. Pure.

use serde_json::Value;

use super::json::{limit, list, text};
use super::table::Table;
use super::text::duration;

/// `GET /v1/overrides`.
pub(super) fn overrides(body: &Value) -> String {
    let overrides = list(&body["overrides"]);
    let mut written = String::new();
    if overrides.is_empty() {
        written.push_str("no overrides\n");
    } else {
        let mut table = Table::new(&["RULE", "CLIENT", "CHANGE", "ENDS", "AUTHOR", "REASON"]);
        for item in overrides {
            let idle = item["idle"].as_str().map(|why| format!(" (no effect: {why})")).unwrap_or_default();
            table.row([
                subject(item),
                item.get("client").map_or_else(String::new, text),
                format!("{}{idle}", change(item)),
                ends(item),
                text(&item["author"]),
                text(&item["reason"]),
            ]);
        }
        written.push_str(&table.written());
    }
    written + &state(&body["state"])
}

/// What stands in the way of sharing overrides, one line for each.
pub(super) fn state(state: &Value) -> String {
    let mut notes = Table::of_pairs();
    if state["shared"] == false {
        notes.pair("note:", "they are in the memory of this instance, and end with it");
    }
    for (key, what) in [
        ("not_read", "overrides of other instances are not read here"),
        ("not_subscribed", "changes act here a moment later, as Redis sends no messages"),
        ("not_published", "changes that are made here act elsewhere a moment later"),
    ] {
        if let Some(reason) = state[key].as_str() {
            notes.pair("note:", format!("{what}: {reason}"));
        }
    }
    let rights: Vec<String> = list(&state["missing_rights"]).iter().map(text).collect();
    if !rights.is_empty() {
        notes.pair("help:", format!("on each server of Redis: ACL SETUSER NAME {}", rights.join(" ")));
    }
    notes.written()
}

fn subject(item: &Value) -> String {
    item.get("rule").map_or_else(|| "(all rules)".to_owned(), text)
}

/// `rate 100/min, burst 5, mode shadow`.
pub(super) fn change(item: &Value) -> String {
    let named = ["rate", "burst", "mode"].into_iter();
    let named = named.filter_map(|key| item.get(key).map(|value| format!("{key} {}", text(value))));
    let flags = ["unlimited", "blocked"].into_iter().filter(|key| item[*key] == true).map(str::to_owned);
    named.chain(flags).collect::<Vec<_>>().join(", ")
}

/// `in 30m`.
pub(super) fn ends(item: &Value) -> String {
    item["expires_in_seconds"]
        .as_f64()
        .map_or_else(|| "-".to_owned(), |left| format!("in {}", duration(left)))
}

/// The response to a PUT of an override.
pub(super) fn set(body: &Value) -> String {
    let client = body.get("client").map(|client| format!(", client {}", text(client))).unwrap_or_default();
    let ends = match body["expires_in_seconds"].as_f64() {
        Some(left) => format!("for {}", duration(left)),
        None => "until it is unset".to_owned(),
    };
    let place =
        if body["shared"] == true { "on all instances" } else { "on this instance, which shares no store" };
    let mut table = Table::of_pairs();
    table.pair("in force:", format!("{}{client}: {} {ends}, {place}", subject(body), change(body)));
    table.written()
}

/// The response to a DELETE of an override.
pub(super) fn unset(_: &Value) -> String {
    "no override any more\n".to_owned()
}

/// The response to a DELETE of a client.
pub(super) fn reset(_: &Value) -> String {
    "reset: it is admitted at once\n".to_owned()
}

/// `GET /v1/rules/{rule}/clients/{id}`.
pub(super) fn client(body: &Value) -> String {
    let mut table = Table::of_pairs();
    table.pair("rule", text(&body["rule"]));
    table.pair("client", text(&body["id"]));
    table.pair("mode", text(&body["mode"]));
    if let Some(item) = body.get("override") {
        let reason = item["reason"].as_str().filter(|reason| !reason.is_empty());
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let by = text(&item["author"]);
        table.pair("override", format!("{}, ends {}, by {by}{reason}", change(item), ends(item)));
    }
    let mut written = table.written();
    let mut usage = Table::new(&["LIMIT", "RATE", "USED", "REMAINING", "BURST LEFT", "ADMITTED"]);
    for used in list(&body["limits"]) {
        let wait = match used["retry_after_ms"].as_f64() {
            Some(ms) if ms > 0.0 => format!("in {}", duration((ms / 1000.0).ceil())),
            _ => "now".to_owned(),
        };
        let numbers = ["used", "remaining", "burst_left"].map(|key| text(&used[key]));
        usage.row([text(&used["name"]), limit(used)].into_iter().chain(numbers).chain([wait]));
    }
    written.push_str(&usage.written());
    written
}

/// `POST /v1/explain`.
pub(super) fn explained(body: &Value) -> String {
    let mut table = Table::of_pairs();
    table.pair("request", format!("{} {}", text(&body["method"]), text(&body["url"])));
    let seen = &body["seen"];
    if !seen.is_null() {
        for key in ["host", "path", "client"] {
            table.pair(key, text(&seen[key]));
        }
    }
    let decision = match (body["bypass"].as_str(), body["status"].as_u64(), body["reason"].as_str()) {
        (Some(bypass), ..) => format!("bypassed by {bypass}"),
        (_, Some(status), Some(reason)) => format!("{} with {status}: {reason}", text(&body["decision"])),
        _ => text(&body["decision"]),
    };
    table.pair("decision", decision);
    for check in list(&body["checks"]) {
        let limits: Vec<String> = list(&check["limits"]).iter().map(limit).collect();
        let tier = check["tier"].as_str().map(|tier| format!(", tier {tier}")).unwrap_or_default();
        table.pair(
            if check["global"] == true { "global rule" } else { "rule" },
            format!("{}: {} {}{tier}", text(&check["rule"]), text(&check["mode"]), limits.join(" + ")),
        );
        table.pair("  counter", text(&check["counter"]));
    }
    for other in list(&body["others"]) {
        let (kind, name) = (text(&other["kind"]), text(&other["name"]));
        table.pair("not matched", format!("{kind} {name}: {}", text(&other["why"])));
    }
    table.written()
}
