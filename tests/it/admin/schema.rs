//! Whether a value is one that a schema of an OpenAPI document describes: as much of JSON Schema as the document uses.

use serde_json::Value;

/// Every way in which the value is not as the schema says. A keyword that is not known here is a fault of the test.
pub(super) fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    const KNOWN: [&str; 17] = [
        "$ref",
        "type",
        "properties",
        "required",
        "items",
        "enum",
        "oneOf",
        "allOf",
        "format",
        "description",
        "additionalProperties",
        "maxItems",
        "minimum",
        "default",
        "example",
        "maxLength",
        "propertyNames",
    ];
    let Some(schema) = schema.as_object() else { return Vec::new() };
    let mut found: Vec<String> = schema
        .keys()
        .filter(|key| !KNOWN.contains(&key.as_str()))
        .map(|key| format!("{at}: the test does not know the keyword {key}"))
        .collect();
    if let Some(reference) = schema.get("$ref") {
        let target = document.pointer(reference.as_str().unwrap().trim_start_matches('#'));
        let target = target.unwrap_or_else(|| panic!("{at}: {reference} leads nowhere"));
        found.extend(faults(document, target, value, at));
    }
    if let Some(types) = schema.get("type")
        && !names(types).iter().any(|name| is(value, name))
    {
        found.push(format!("{at}: {value} is not of type {types}"));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array)
        && !values.contains(value)
    {
        found.push(format!("{at}: {value} is not one of {values:?}"));
    }
    for every in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        found.extend(faults(document, every, value, at));
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let wrong: Vec<Vec<String>> =
            choices.iter().map(|choice| faults(document, choice, value, at)).collect();
        let right = wrong.iter().filter(|wrong| wrong.is_empty()).count();
        if right != 1 {
            found.push(format!("{at}: {right} of the choices describe {value}: {wrong:?}"));
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (index, value) in values.iter().enumerate() {
            found.extend(faults(document, items, value, &format!("{at}[{index}]")));
        }
    }
    let Some(entries) = value.as_object() else { return found };
    for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        if !entries.contains_key(name.as_str().unwrap()) {
            found.push(format!("{at}: {name} is missing"));
        }
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return found };
    for (name, value) in entries {
        match properties.get(name) {
            Some(schema) => found.extend(faults(document, schema, value, &format!("{at}.{name}"))),
            // A response with a part that the document does not have is a fault, though JSON Schema permits it.
            None => found.push(format!("{at}: {name} is not described")),
        }
    }
    found
}

fn names(types: &Value) -> Vec<&str> {
    match types {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn what_is_not_described_is_found() {
    let document = serde_json::json!({ "components": { "schemas": { "Name": { "type": "string" } } } });
    let schema = serde_json::json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "$ref": "#/components/schemas/Name" },
            "count": { "type": ["integer", "null"] },
            "mode": { "type": "string", "enum": ["on", "off"] },
        },
    });
    let wrong = |value: Value| !faults(&document, &schema, &value, "").is_empty();
    assert!(!wrong(serde_json::json!({ "name": "x", "count": null, "mode": "on" })));
    for value in [
        serde_json::json!({}),
        serde_json::json!({ "name": 1 }),
        serde_json::json!({ "name": "x", "count": "1" }),
        serde_json::json!({ "name": "x", "mode": "maybe" }),
        serde_json::json!({ "name": "x", "other": 1 }),
        serde_json::json!([]),
    ] {
        assert!(wrong(value.clone()), "{value}");
    }
}
