//! The JSON Schema of the file, for editors. It is made of the table of keys, and so of what the readers ask for. It is
//! never stricter than they are: what only they can judge, such as a rate, is any text. Pure.

use serde_json::{Map, Value, json};

use super::key_table::{ANY_NAME, Key, Kind};

/// The version of JSON Schema that the editors know best.
const DIALECT: &str = "http://json-schema.org/draft-07/schema#";

/// One key, with those below it.
#[derive(Debug, Default)]
struct Entry<'k> {
    /// None: the root, or the item of a list.
    key: Option<&'k Key>,
    /// By name, in the order of the table.
    below: Vec<(&'k str, Entry<'k>)>,
    /// The items, if it is a list of mappings.
    item: Option<Box<Entry<'k>>>,
}

/// Returns the schema of the file that has these keys.
#[must_use]
pub(super) fn of(keys: &[Key]) -> Value {
    let mut root = Entry::default();
    for key in keys {
        root.insert(&key.path, key);
    }
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), DIALECT.into());
    schema.insert("title".to_owned(), "The configuration of tidegate".into());
    schema.extend(root.mapping());
    schema.insert("type".to_owned(), "object".into());
    Value::Object(schema)
}

impl<'k> Entry<'k> {
    /// Enters a key at its path below this entry.
    fn insert(&mut self, path: &'k str, key: &'k Key) {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let name = first.trim_end_matches("[0]");
        let index = self.below.iter().position(|(each, _)| *each == name).unwrap_or_else(|| {
            self.below.push((name, Self::default()));
            self.below.len() - 1
        });
        let Some((_, entry)) = self.below.get_mut(index) else { return };
        let entry = if first == name { entry } else { &mut **entry.item.get_or_insert_default() };
        match rest {
            Some(rest) => entry.insert(rest, key),
            None => entry.key = Some(key),
        }
    }

    /// Returns the schema of its value.
    fn schema(&self) -> Value {
        let Some(key) = self.key else { return Value::Object(self.mapping()) };
        let mut schema = match &key.kind {
            Kind::Mapping => Value::Object(self.mapping()),
            Kind::TextOrMapping(what) => json!({ "anyOf": [text(what), self.mapping()] }),
            Kind::WordOrMapping(word) => json!({ "anyOf": [{ "const": word }, self.mapping()] }),
            Kind::List => {
                let items = self.item.as_ref().map_or(json!({}), |item| item.schema());
                json!({ "type": ["array", "null"], "items": items })
            }
            Kind::TextsOrMappings(what) => {
                let mapping = self.item.as_ref().map_or_else(|| json!({}), |item| item.schema());
                let one = json!([text(what), mapping]);
                json!({ "anyOf": [text(what), mapping, { "type": "array", "items": { "anyOf": one } }] })
            }
            kind => value(kind, &key.default),
        };
        if let (Some(fields), Some(default)) = (schema.as_object_mut(), default(key)) {
            fields.insert("default".to_owned(), default);
        }
        schema
    }

    /// Returns the schema of a mapping with the keys below it. One without any takes any name, with a text.
    fn mapping(&self) -> Map<String, Value> {
        let mut schema = Map::new();
        // A section whose lines are all commented out is null.
        schema.insert("type".to_owned(), json!(["object", "null"]));
        let named = self.below.iter().find(|(name, _)| *name == ANY_NAME);
        let others = match named {
            Some((_, entry)) => entry.schema(),
            None if self.below.is_empty() => text("text"),
            None => false.into(),
        };
        let known = self.below.iter().filter(|(name, _)| *name != ANY_NAME);
        let required = known.clone().filter(|(_, entry)| entry.key.is_some_and(|key| key.is_required));
        let required: Vec<&str> = required.map(|(name, _)| *name).collect();
        let known: Map<String, Value> =
            known.map(|(name, entry)| ((*name).to_owned(), entry.schema())).collect();
        if !known.is_empty() {
            schema.insert("properties".to_owned(), known.into());
        }
        if !required.is_empty() {
            schema.insert("required".to_owned(), required.into());
        }
        schema.insert("additionalProperties".to_owned(), others);
        schema
    }
}

/// Returns the schema of a value without keys of its own.
fn value(kind: &Kind, default: &str) -> Value {
    let integer = |least: &i64, most: &i64| json!({ "type": "integer", "minimum": least, "maximum": most });
    let described = |mut schema: Value| {
        if let Some(fields) = schema.as_object_mut() {
            fields.insert("description".to_owned(), kind.to_string().into());
        }
        schema
    };
    match kind {
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Integer(least, most) => integer(least, most),
        Kind::WordOrInteger(word, least, most) => {
            json!({ "anyOf": [{ "const": word }, integer(least, most)] })
        }
        Kind::Size(..) => described(json!({ "type": ["integer", "string"] })),
        // A word such as `none` may be the default.
        Kind::Duration(..) if default.starts_with(|c: char| c.is_ascii_digit()) => {
            described(json!({ "type": "string", "pattern": "^ *([0-9]+ *[a-z]+ *)+$" }))
        }
        Kind::Duration(..) => described(json!({ "type": "string" })),
        Kind::Percentage(..) => described(json!({ "type": "string", "pattern": "^ *[0-9]+ *% *$" })),
        Kind::Number(least, most) => json!({ "type": "number", "minimum": least, "maximum": most }),
        Kind::Word(words) => {
            // Without quotes, `1.2` is a number to YAML.
            let numbers = words.iter().filter_map(|word| word.parse::<f64>().ok()).map(Value::from);
            let words = words.iter().map(|word| Value::from(*word));
            json!({ "enum": words.chain(numbers).collect::<Vec<_>>() })
        }
        Kind::Texts(what) => {
            json!({ "anyOf": [text(what), { "type": "array", "items": text(what) }] })
        }
        Kind::Text(what) => text(what),
        Kind::Mapping
        | Kind::List
        | Kind::TextOrMapping(_)
        | Kind::WordOrMapping(_)
        | Kind::TextsOrMappings(_) => json!({}),
    }
}

fn text(what: &str) -> Value {
    json!({ "type": "string", "minLength": 1, "description": what })
}

/// Returns the default, unless it is described in words.
fn default(key: &Key) -> Option<Value> {
    let text = &*key.default;
    if text.is_empty() || text.contains([' ', '`']) {
        return None;
    }
    let number = || text.parse::<i64>().ok().map(Value::from);
    match &key.kind {
        Kind::Boolean => text.parse::<bool>().ok().map(Value::from),
        Kind::Integer(..) | Kind::Number(..) => number(),
        Kind::WordOrInteger(..) | Kind::Size(..) => number().or_else(|| Some(text.into())),
        _ => Some(text.into()),
    }
}
