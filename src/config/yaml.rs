//! YAML text into a tree of plain nodes, and from a location in the tree back to line and column.
//!
//! A tree of our own instead of the library's `Value`: it keeps duplicate keys, so that they can be reported
//! along with everything else, and it is bounded, so that aliases of aliases cannot fill the memory. Pure.

mod locate;

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::diagnostic::{Fault, shown};
use locate::Stop;
pub(super) use locate::{Step, locate};

/// The largest file, in bytes: as much as Kubernetes lets a `ConfigMap` hold.
pub const MAX_BYTES: usize = 1 << 20;
/// The most values a file may hold once its aliases are followed; 64 bytes of text count as one.
const MAX_NODES: usize = 250_000;
/// The most brackets open at once. The library stops at 128 levels, but takes quadratic time to get there.
const MAX_OPEN: usize = 1000;

/// A YAML value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file, with duplicates.
    Map(Vec<(String, Node)>),
    /// Anything with a local tag (`!name`), which no key of ours takes.
    Tagged,
}

impl Node {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn map(entries: Vec<(&str, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect())
    }

    /// The value in the words of a message.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(value) => format!("the boolean {value}"),
            Self::Int(value) => format!("the number {value}"),
            Self::Float(value) => format!("the number {value:?}"),
            // A URL in the wrong place may hold a password.
            Self::Text(text) if text.contains("://") || text.contains('@') => "a text".to_owned(),
            Self::Text(text) => format!("the text '{}'", shown(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
            Self::Tagged => "a value with a tag".to_owned(),
        }
    }

    /// The value as the name of a key: YAML lets anything be one.
    fn into_key(self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => format!("{value:?}"),
            Self::Text(text) => text,
            Self::List(_) => "[...]".to_owned(),
            Self::Map(_) => "{...}".to_owned(),
            Self::Tagged => "!...".to_owned(),
        }
    }
}

/// A fault that leaves no tree to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    /// Line and column, from 1.
    pub(super) at: Option<(usize, usize)>,
    pub(super) fault: Fault,
}

/// The file's text without a byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, SyntaxError> {
    let fail = |at, message: &str, help: &str| Err(SyntaxError { at, fault: Fault::new(message, help) });
    if bytes.len() > MAX_BYTES {
        return fail(
            None,
            "the file is larger than 1 MiB",
            "keep it smaller: a thousand rules take about 200 KiB",
        );
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return fail(Some((1, 1)), "the file is UTF-16", "save it as UTF-8");
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let (text, bad) = match std::str::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            (std::str::from_utf8(valid).unwrap_or_default(), Some("a byte that is not UTF-8"))
        }
    };
    let control = |c: char| (c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r')) || c == '\u{feff}';
    if let Some(at) = text.find(control) {
        let before = text.get(..at).unwrap_or_default();
        return fail(
            Some(end_of(before)),
            "the file holds a control character",
            "this file is not YAML, or damaged",
        );
    }
    if let Some(message) = bad {
        return fail(
            Some(end_of(text)),
            &format!("the file holds {message}"),
            "save it as UTF-8; is it a text file?",
        );
    }
    Ok(text)
}

/// Line and column of what follows `text`.
fn end_of(text: &str) -> (usize, usize) {
    let last = text.rsplit('\n').next().unwrap_or_default();
    (text.matches('\n').count() + 1, last.chars().count() + 1)
}

/// The tree of the only document in `text`.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    if let Some(at) = too_many_open(text) {
        let fault = Fault::new(
            "the brackets are nested too deeply",
            "no key of this file needs more than five levels",
        );
        return Err(SyntaxError { at: Some(at), fault });
    }
    let budget = Cell::new(MAX_NODES);
    let mut documents = serde_yaml::Deserializer::from_str(text);
    let Some(first) = documents.next() else { return Ok(Node::Null) };
    let node = Grow(&budget).deserialize(first).map_err(|error| syntax_error(&error, text))?;
    match documents.next() {
        None => Ok(node),
        Some(second) => {
            let error = second.deserialize_any(Stop).err();
            let at = error.and_then(|error| error.location()).map(|mark| (mark.line(), mark.column()));
            let fault = Fault::new(
                "a second YAML document starts here",
                "keep one document: remove the line '---' above",
            );
            Err(SyntaxError { at, fault })
        }
    }
}

/// Where more brackets than any sane file opens are open. Blind to quotes and comments, so the limit is wide.
fn too_many_open(text: &str) -> Option<(usize, usize)> {
    let mut open = 0_usize;
    let at = text.bytes().position(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > MAX_OPEN
    })?;
    text.get(..at).map(end_of)
}

const TOO_MANY: &str = "the file expands to too many values";

/// Translates the library's errors into the terms of an operator who edits the file.
fn syntax_error(error: &serde_yaml::Error, text: &str) -> SyntaxError {
    let at = error.location().map(|mark| (mark.line(), mark.column()));
    let said = error.to_string();
    let line = at.and_then(|(line, _)| text.lines().nth(line.saturating_sub(1))).unwrap_or_default();
    let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
    let says = |part: &str| said.contains(part);
    let too_many = says(TOO_MANY) || says("repetition limit");
    let help = if indent.contains('\t') {
        "indent with spaces: YAML takes no tabs"
    } else if too_many {
        "use fewer aliases, and write the values out"
    } else if says("recursion limit") {
        "no key of this file needs more than five levels"
    } else if says("scanning an alias") || says("unknown anchor") {
        "put a text that starts with '*' in quotes"
    } else if says("scanning an anchor") {
        "put a text that starts with '&' in quotes"
    } else if says("mapping values are not allowed") {
        "put a text that holds ': ' in quotes, or fix the indentation"
    } else if says("cannot start any token") {
        "put a text that starts with '@', '`' or '%' in quotes"
    } else if says("quoted scalar") && says("end of stream") {
        "close the quotes"
    } else if says("flow ") {
        "close the bracket, put commas between the items, and a text that holds ':' in quotes"
    } else {
        "fix the indentation: keys of one mapping, and items of one list, start in the same column"
    };
    let message =
        if too_many { TOO_MANY.to_owned() } else { format!("this is not YAML: {}", shown_error(&said)) };
    SyntaxError { at, fault: Fault::new(message, help) }
}

/// The library's words, without the position it ends or interrupts them with.
fn shown_error(said: &str) -> &str {
    said.split(" at line ").next().unwrap_or(said).split(", while").next().unwrap_or(said)
}

/// Grows a tree, within a budget of nodes.
struct Grow<'b>(&'b Cell<usize>);

impl<'de> DeserializeSeed<'de> for Grow<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        self.spend(1)?;
        deserializer.deserialize_any(self)
    }
}

impl Grow<'_> {
    fn spend<E: Error>(&self, cost: usize) -> Result<(), E> {
        self.0.set(self.0.get().checked_sub(cost).ok_or_else(|| E::custom(TOO_MANY))?);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Grow<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Int(value.into()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Node, E> {
        Ok(Node::Int(value))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Node, E> {
        // Whatever is beyond is too large for every key alike.
        Ok(Node::Int(i128::try_from(value).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Node, E> {
        self.spend(value.len() / 64)?;
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Grow(self.0))? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(Grow(self.0))? {
            entries.push((key.into_key(), map.next_value_seed(Grow(self.0))?));
        }
        Ok(Node::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Node, A::Error> {
        let (_tag, content) = data.variant::<IgnoredAny>()?;
        content.newtype_variant::<IgnoredAny>()?;
        Ok(Node::Tagged)
    }
}
