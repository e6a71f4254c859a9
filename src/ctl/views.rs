//! What responses look like at a terminal. Pure.
#![expect(clippy::indexing_slicing, reason = "a JSON value without the key is null: nothing panics")]

use serde_json::Value;

use super::changes;
use super::json::{limit, list, text};
use super::table::Table;
use super::text::{date, duration};

/// The characters of a hash that are shown: enough to compare.
const HASH: usize = 12;

fn hash(value: &Value) -> String {
    text(value).chars().take(HASH).collect()
}

fn at(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), date)
}

/// `GET /v1/status`.
pub(super) fn status(body: &Value) -> String {
    let mut table = Table::of_pairs();
    let commit = match body.get("commit") {
        Some(commit) => hash(commit),
        None => "unknown".to_owned(),
    };
    table.pair("version", format!("{} (commit {commit}, {})", text(&body["version"]), text(&body["target"])));
    table.pair("uptime", duration(body["uptime_seconds"].as_f64().unwrap_or_default()));
    configuration(&mut table, &body["configuration"]);
    table.pair("rules", text(&body["rules"]));
    let overrides = &body["overrides"];
    table.pair(
        "overrides",
        format!("{}, version {}", text(&overrides["in_force"]), text(&overrides["version"])),
    );
    let store = &body["store"];
    let mut summary = format!("{}, {}", text(&store["kind"]), text(&store["state"]));
    if let Some(instances) = store.get("instances") {
        summary.push_str(&format!(", {instances} instance{}", if *instances == 1 { "" } else { "s" }));
    }
    if store["settled"] == false {
        summary.push_str(", lacks requests that were admitted without it");
    }
    table.pair("store", summary);
    for server in list(&store["servers"]) {
        let since = at(&server["since"]);
        let reason = server["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
        table.pair(
            "server",
            format!("{} {} since {since}{reason}", text(&server["server"]), text(&server["state"])),
        );
    }
    table.written() + &changes::state(overrides)
}

fn configuration(table: &mut Table, configuration: &Value) {
    match configuration.get("file") {
        Some(file) => table.pair("file", text(file)),
        None => table.pair("file", "none: configured by flags"),
    }
    if let Some(value) = configuration.get("hash") {
        table.pair("hash", hash(value));
    }
    table.pair("read", at(&configuration["read_at"]));
    for (name, key) in [("last reload", "last_reload"), ("last failure", "last_failure")] {
        let reload = &configuration[key];
        if reload.is_null() {
            continue;
        }
        let result = reload["error"].as_str().unwrap_or("ok");
        table.pair(name, format!("{}, by {}: {result}", at(&reload["at"]), text(&reload["trigger"])));
        // Those of the last reload are those of the last failure, if it failed.
        for fault in list(&reload["faults"]).iter().filter(|_| key == "last_failure") {
            table.pair("", format!("{}: {}", text(&fault["location"]), text(&fault["message"])));
        }
    }
}

/// `GET /v1/rules`.
pub(super) fn rules(body: &Value) -> String {
    let mut table = Table::new(&["RULE", "MODE", "LIMITS", "KEY", "ON OUTAGE"]);
    for rule in list(&body["rules"]) {
        let global = if rule["kind"] == "global" { " (global)" } else { "" };
        table.row([
            format!("{}{global}", text(&rule["name"])),
            text(&rule["effective"]["mode"]),
            limits(&rule["effective"]["limits"]),
            key(rule),
            text(&rule["on_outage"]),
        ]);
    }
    table.written()
}

/// `GET /v1/rules/{rule}`.
pub(super) fn rule(body: &Value) -> String {
    let mut table = Table::of_pairs();
    table.pair("rule", text(&body["name"]));
    table.pair("kind", text(&body["kind"]));
    table.pair("key", key(body));
    table.pair("on missing", text(&body["on_missing"]));
    table.pair("on outage", text(&body["on_outage"]));
    if let Some(item) = body.get("override") {
        table.pair("override", format!("{}, ends {}", changes::change(item), changes::ends(item)));
    }
    for (name, behavior) in [("effective", &body["effective"]), ("configured", &body["configured"])] {
        table.pair(name, format!("{}: {}", text(&behavior["mode"]), limits(&behavior["limits"])));
    }
    if let Some(trial) = body.get("trial") {
        table.pair("trial", limit(trial));
    }
    for tier in list(&body["tiers"]) {
        table.pair("tier", format!("{}: {}", text(&tier["name"]), limits(&tier["limits"])));
    }
    table.written()
}

fn key(rule: &Value) -> String {
    match list(&rule["key"]) {
        [] => "shared by all".to_owned(),
        parts => parts.iter().map(text).collect::<Vec<_>>().join(", "),
    }
}

fn limits(limits: &Value) -> String {
    match list(limits) {
        [] => "no limit".to_owned(),
        limits => limits.iter().map(limit).collect::<Vec<_>>().join(" + "),
    }
}

/// `POST /v1/reload`.
pub(super) fn reloaded(body: &Value) -> String {
    format!("in force: {}, hash {}\n", super::text::clean(&text(&body["file"])), hash(&body["hash"]))
}

/// `GET /v1/instances`.
pub(super) fn instances(body: &Value) -> String {
    let mut table = Table::new(&["INSTANCE", "VERSION", "CONFIG", "OVERRIDES", "STORE"]);
    let known = list(&body["instances"]);
    for instance in known {
        let config = instance.get("config_hash").map_or_else(|| "-".to_owned(), hash);
        let own = if instance["own"] == true { " (this one)" } else { "" };
        table.row([
            format!("{}{own}", text(&instance["name"])),
            text(&instance["version"]),
            config,
            text(&instance["overrides"]),
            text(&instance["store"]),
        ]);
    }
    let alive = body["alive"].as_i64().unwrap_or_default();
    let others = alive - i64::try_from(known.len()).unwrap_or_default();
    let mut written = table.written();
    if others > 0 {
        written.push_str(&format!(
            "{alive} instances share the limits: {others} more than this one knows by name\n"
        ));
    }
    written
}
