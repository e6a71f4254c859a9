//! The JSON Schema of the configuration.

use serde_json::{Value, json};
use tidegate::config::{Kind, keys};

use crate::harness::Tidegate;

const COMMITTED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/tidegate.schema.json"));

fn schema() -> Value {
    serde_json::from_str(COMMITTED).unwrap()
}

#[test]
fn the_committed_copy_is_what_schema_prints() {
    let printed = Tidegate::finished(&["schema"]);
    assert!(printed.status.success() && printed.stderr.is_empty(), "{}", printed.stderr);
    assert!(
        printed.stdout == COMMITTED,
        "write it anew: cargo run -- schema > configs/tidegate.schema.json, and review the difference"
    );
}

#[test]
fn the_shipped_file_names_the_schema_for_editors() {
    let shipped = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/rate_limits.yaml"));
    assert_eq!(shipped.lines().next(), Some("# yaml-language-server: $schema=tidegate.schema.json"));
}

/// The schema of a key, by its path in the table of keys.
fn at(path: &str) -> Option<Value> {
    // Some mappings may be a text or a word instead.
    let mapping = |schema: &Value| match schema["anyOf"].as_array() {
        Some(choices) => choices.iter().find(|choice| choice["additionalProperties"] != json!(null)).cloned(),
        None => Some(schema.clone()),
    };
    let mut schema = schema();
    for step in path.split('.') {
        let (name, is_item) = step.strip_suffix("[0]").map_or((step, false), |name| (name, true));
        let within = mapping(&schema)?;
        let properties =
            if name == "NAME" { &within["additionalProperties"] } else { &within["properties"][name] };
        schema = properties.clone();
        if is_item {
            let choices = schema["anyOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
            schema = choices.iter().find(|choice| choice["items"].is_object())?["items"].clone();
        }
    }
    schema.is_object().then_some(schema)
}

#[test]
fn every_key_has_a_schema() {
    let missing: Vec<String> =
        keys().into_iter().map(|key| key.path).filter(|path| at(path).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn another_key_is_refused() {
    for (path, taken) in [("bounds", false), ("rules[0]", false), ("rules[0].match", false)] {
        assert_eq!(at(path).unwrap()["additionalProperties"], json!(taken), "{path}");
    }
    assert_eq!(schema()["additionalProperties"], json!(false));
}

#[test]
fn words_and_ranges_are_those_of_the_readers() {
    for key in keys() {
        let schema = at(&key.path).unwrap();
        match key.kind {
            Kind::Integer(least, most) => {
                assert_eq!((&schema["minimum"], &schema["maximum"]), (&json!(least), &json!(most)));
            }
            Kind::Word(words) => {
                let listed = schema["enum"].as_array().unwrap();
                assert!(words.iter().all(|word| listed.contains(&json!(word))), "{}", key.path);
            }
            Kind::Boolean => assert_eq!(schema["type"], "boolean"),
            _ => {}
        }
    }
}

#[test]
fn only_what_is_always_missed_is_required() {
    assert_eq!(at("rules[0]").unwrap()["required"], json!(["name"]), "a rule may have limits, or be off");
    assert_eq!(at("rules[0].limits[0]").unwrap()["required"], json!(["rate"]));
    assert_eq!(at("tls").unwrap()["required"], json!(["cert_file", "key_file"]));
    for path in ["upstream.tls", "store.redis", "rules[0].tiers.NAME"] {
        assert_eq!(at(path).unwrap()["required"], json!(null), "{path}");
    }
}
