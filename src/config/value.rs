//! A value of the file, and what it can be read as. A fault is reported, and the walk goes on. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::diagnostic::{Fault, did_you_mean, shown};
use super::rate;
use super::report::{Location, Spanned};
use super::size;
use super::yaml::{Node, Step};

/// The most entries of a list or a mapping: ten thousand rules, or all the networks of a cloud.
const MAX_ITEMS: usize = 10_000;

static EMPTY: Node = Node::Map(Vec::new());

/// A node and its location.
#[derive(Clone, Debug)]
pub(super) struct Value<'n> {
    pub(super) node: &'n Node,
    pub(super) location: Location,
}

impl<'n> Value<'n> {
    /// Reports that the value is of another type than `wanted`.
    pub(super) fn expected(&self, wanted: &str, help: &str) {
        self.location.error(Fault::new(format!("expected {wanted}, found {}", self.node.describe()), help));
    }

    /// A mapping without keys, at this location.
    pub(super) fn empty(location: Location) -> Self {
        Self { node: &EMPTY, location }
    }

    /// The value; one that is not written is a mapping without keys.
    pub(super) fn or_empty(self) -> Self {
        if matches!(self.node, Node::Null) { Self::empty(self.location) } else { self }
    }

    /// The entries, if it is a mapping that is not too large. A key that is given twice is reported.
    pub(super) fn mapping(&self) -> Option<&'n [(String, Node)]> {
        let Node::Map(entries) = self.node else { return None };
        if !self.bounded(entries.len()) {
            return None;
        }
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, (name, _)) in entries.iter().enumerate() {
            let first = *seen.entry(name).or_insert(index);
            if first != index {
                let key = |index| self.location.then(Step::Entry(index, name.clone())).key();
                let fault = Fault::new(format!("duplicate key '{}'", shown(name)), "keep one of the two");
                key(index).collision(fault, &key(first));
            }
        }
        Some(entries)
    }

    /// The entries of a mapping with any keys; each key once.
    pub(super) fn entries(&self, help: &str) -> Option<Vec<(&'n str, Self)>> {
        if !matches!(self.node, Node::Map(_)) {
            self.expected("a mapping", help);
        }
        let entry = |(index, (name, node)): (usize, &'n (String, Node))| {
            let location = self.location.then(Step::Entry(index, name.clone()));
            (&**name, Value { node, location })
        };
        Some(self.mapping()?.iter().enumerate().map(entry).collect())
    }

    /// The items of a list.
    pub(super) fn items(&self, help: &str) -> Vec<Self> {
        if self.location.is_for_keys() {
            return vec![Self::empty(self.location.then(Step::Item(0)))];
        }
        let Node::List(items) = self.node else {
            self.expected("a list", help);
            return Vec::new();
        };
        if !self.bounded(items.len()) {
            return Vec::new();
        }
        let item = |(index, node)| Value { node, location: self.location.then(Step::Item(index)) };
        items.iter().enumerate().map(item).collect()
    }

    /// Whether there are few enough of them to compare each with all others.
    fn bounded(&self, count: usize) -> bool {
        if count > MAX_ITEMS {
            let message = format!("too many entries: {count}");
            self.location.error(Fault::new(message, format!("expected at most {MAX_ITEMS}")));
        }
        count <= MAX_ITEMS
    }

    /// Texts or mappings: a list of them, or a single one.
    pub(super) fn texts_or_mappings(&self, help: &str) -> Vec<Self> {
        match self.node {
            Node::Text(_) => vec![self.clone()],
            Node::Map(_) if !self.location.is_for_keys() => vec![self.clone()],
            _ => self.items(help),
        }
    }

    /// Texts: a list of them, or a single one.
    pub(super) fn texts(&self, help: &str) -> Vec<Spanned<String>> {
        if let Node::Text(_) = self.node {
            return self.text(help).into_iter().collect();
        }
        self.items(help).iter().filter_map(|item| item.text(help)).collect()
    }

    /// A text that is not empty.
    pub(super) fn text(&self, help: &str) -> Option<Spanned<String>> {
        self.text_of("a text", help)
    }

    /// The same of a text with a grammar, which the message calls `kind`.
    fn text_of(&self, kind: &str, help: &str) -> Option<Spanned<String>> {
        match self.node {
            Node::Text(text) if text.is_empty() => {
                self.location.error(Fault::new("the text is empty", help));
                None
            }
            Node::Text(text) => Some(Spanned { value: text.clone(), location: self.location.clone() }),
            _ => {
                self.expected(kind, help);
                None
            }
        }
    }

    /// A text that `parse` understands, and that a message calls `kind`.
    pub(super) fn parsed<T>(
        &self,
        kind: &str,
        help: &str,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<Spanned<T>> {
        let text = self.text_of(kind, help)?;
        let value = text.location.check(parse(&text.value))?;
        Some(Spanned { value, location: text.location })
    }

    /// A boolean.
    pub(super) fn boolean(&self) -> Option<bool> {
        if let Node::Bool(value) = self.node {
            return Some(*value);
        }
        self.expected("a boolean", "expected true or false");
        None
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, least: i64, most: i64) -> Option<Spanned<i64>> {
        self.integer_in((least, most), None)
    }

    /// The same where this word is valid as well, which the caller has looked for.
    pub(super) fn integer_or(&self, range: (i64, i64), word: &str) -> Option<Spanned<i64>> {
        self.integer_in(range, Some(word))
    }

    fn integer_in(&self, (least, most): (i64, i64), word: Option<&str>) -> Option<Spanned<i64>> {
        let kind = or_word("a whole number", " or ", word);
        let help = or_word(&format!("expected a whole number from {least} to {most}"), ", or ", word);
        let Node::Int(value) = self.node else {
            self.expected(&kind, &format!("{}{help}", self.guess(word)));
            return None;
        };
        match i64::try_from(*value) {
            Ok(value) if (least..=most).contains(&value) => {
                Some(Spanned { value, location: self.location.clone() })
            }
            _ => {
                self.location.error(Fault::new(format!("{value} is out of range"), help));
                None
            }
        }
    }

    /// A size in bytes, within bounds.
    pub(super) fn size(&self, least: i64, most: i64) -> Option<Spanned<i64>> {
        let help = format!("expected a size from {} to {}", size::written(least), size::written(most));
        let (bytes, written) = match self.node {
            Node::Int(bytes) => (i64::try_from(*bytes).unwrap_or(i64::MAX), format!("{bytes} bytes are")),
            _ => {
                let read = |text: &str| Ok((size::size(text)?, format!("{} is", shown(text.trim()))));
                self.parsed("a size", &help, read)?.value
            }
        };
        if !(least..=most).contains(&bytes) {
            self.location.error(Fault::new(format!("{written} out of range"), help));
            return None;
        }
        Some(Spanned { value: bytes, location: self.location.clone() })
    }

    /// A whole number of percent, within bounds of at most 100: `10%`.
    pub(super) fn percentage(&self, least: u8, most: u8) -> Option<u8> {
        let help = format!("expected a whole number of percent from {least}% to {most}%");
        let at = self.parsed("a percentage", &help, |text| {
            let digits = text.strip_suffix('%').map(str::trim_end).unwrap_or_default();
            let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let number = is_number.then(|| digits.parse().unwrap_or(u8::MAX));
            let number =
                number.ok_or_else(|| Fault::new(format!("invalid percentage '{}'", shown(text)), &*help))?;
            let fault = || Fault::new(format!("{} is out of range", shown(text.trim())), &*help);
            (least..=most).contains(&number).then_some(number).ok_or_else(fault)
        })?;
        Some(at.value)
    }

    /// A duration within bounds.
    pub(super) fn duration(&self, least: &str, most: &str) -> Option<Spanned<Duration>> {
        self.duration_in((least, most), None)
    }

    /// The same where this word is valid as well, which the caller has looked for.
    pub(super) fn duration_or(&self, range: (&str, &str), word: &str) -> Option<Spanned<Duration>> {
        self.duration_in(range, Some(word))
    }

    fn duration_in(&self, (least, most): (&str, &str), word: Option<&str>) -> Option<Spanned<Duration>> {
        let kind = or_word("a duration", " or ", word);
        let help = format!("expected a duration from {least} to {most}, with its unit");
        let help = or_word(&help, ", or ", word);
        self.parsed(&kind, &help, |text| {
            let duration = rate::duration(text).map_err(|Fault { message, help }| {
                Fault::new(message, self.guess(word) + &or_word(&help, ", or ", word))
            })?;
            let within = rate::duration(least).is_ok_and(|least| duration >= least)
                && rate::duration(most).is_ok_and(|most| duration <= most);
            // As it is written: the operator searches the file for it.
            let fault = || Fault::new(format!("{} is out of range", shown(text.trim())), &*help);
            within.then_some(duration).ok_or_else(fault)
        })
    }

    /// Returns the start of a help if this text was probably meant to be the word.
    fn guess(&self, word: Option<&str>) -> String {
        match (self.node, word) {
            (Node::Text(text), Some(word)) => did_you_mean(text, &[word]),
            _ => String::new(),
        }
    }

    /// One word of a closed set; `what` is the name of the set.
    pub(super) fn word<T: Copy>(&self, what: &str, words: &[(&str, T)]) -> Option<Spanned<T>> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let help = format!("expected one of {}", names.join(", "));
        self.parsed("a word", &help, |text| {
            let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
            found.ok_or_else(|| {
                let guess = did_you_mean(text, &names);
                Fault::new(format!("invalid {what} '{}'", shown(text)), format!("{guess}{help}"))
            })
        })
    }
}

/// Appends the word that a key takes as well.
fn or_word(expected: &str, or: &str, word: Option<&str>) -> String {
    word.map_or_else(|| expected.to_owned(), |word| format!("{expected}{or}{word}"))
}
