//! The keys of one mapping. A reader asks for each key in one row, with its name, type, range and default. The keys that
//! it has asked for are the keys that the mapping may have. Pure.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostic::{Fault, nearest, shown};
use super::key_table::Kind;
use super::report::{Location, Spanned};
use super::value::Value;
use super::yaml::{Node, Step};
use super::{rate, size};

/// Keys that a mapping does not have but that operators will try, with the message and the help for them.
pub(super) type Hint = (&'static [&'static str], &'static str, &'static str);

/// A key that may be there.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    /// It is not there.
    Absent,
    /// It is there, and its fault has been reported.
    Faulty,
    /// It is there and valid.
    Present(T),
}

impl<T> Field<T> {
    /// Reads a value that may be there.
    pub(super) fn read<V>(value: Option<V>, read: impl FnOnce(V) -> Option<T>) -> Self {
        match value.map(read) {
            None => Self::Absent,
            Some(None) => Self::Faulty,
            Some(Some(value)) => Self::Present(value),
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns the other field if this one is absent.
    pub(super) fn or(self, other: Self) -> Self {
        if self.is_absent() { other } else { self }
    }

    pub(super) fn present(self) -> Option<T> {
        match self {
            Self::Present(value) => Some(value),
            Self::Absent | Self::Faulty => None,
        }
    }

    pub(super) fn as_ref(&self) -> Field<&T> {
        match self {
            Self::Absent => Field::Absent,
            Self::Faulty => Field::Faulty,
            Self::Present(value) => Field::Present(value),
        }
    }
}

/// The keys of one mapping, as far as they have been asked for.
pub(super) struct Section<'n> {
    entries: &'n [(String, Node)],
    pub(super) location: Location,
    known: Vec<&'static str>,
    /// Errors before it.
    before: usize,
    /// Whether the value is a mapping. Of another value no key is reported as missing.
    readable: bool,
}

impl<'n> Value<'n> {
    /// Reads a mapping. None: there is a fault in it, which has been reported.
    pub(super) fn section<T>(
        &self,
        hints: &[Hint],
        read: impl FnOnce(&mut Section<'n>) -> Option<T>,
    ) -> Option<T> {
        let before = self.location.errors();
        let entries = self.mapping();
        let mut section = Section {
            entries: entries.unwrap_or_default(),
            location: self.location.clone(),
            known: Vec::new(),
            before,
            readable: entries.is_some(),
        };
        let value = read(&mut section);
        if matches!(self.node, Node::Map(_)) {
            section.report_unknown(hints);
        } else {
            self.expected("a mapping", &format!("expected keys and values; {}", section.keys()));
        }
        value.filter(|_| self.location.errors() == before)
    }
}

impl<'n> Section<'n> {
    /// Returns whether it has no fault. To be called when all keys have been asked for: any other is unknown.
    pub(super) fn is_sound(&self) -> bool {
        let known = |(name, _): &(String, Node)| self.known.contains(&&**name);
        self.readable && self.location.errors() == self.before && self.entries.iter().all(known)
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, _)| name == key)
    }

    /// Whether the value of a key is a list without items, or a mapping without keys.
    pub(super) fn is_empty(&self, key: &str) -> bool {
        let value = self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node);
        match value {
            Some(Node::List(items)) => items.is_empty(),
            Some(Node::Map(entries)) => entries.is_empty(),
            _ => false,
        }
    }

    /// Returns the value of a key, and enters the key in the table of keys. Of a duplicate key the first value counts.
    pub(super) fn value(
        &mut self,
        key: &'static str,
        kind: Kind,
        default: impl Display,
    ) -> Option<Value<'n>> {
        self.known.push(key);
        if self.location.is_for_keys() {
            let location = self.absent(key);
            let has_keys = matches!(
                kind,
                Kind::Mapping | Kind::TextOrMapping(_) | Kind::List | Kind::TextsOrMappings(_)
            );
            location.enter_key(kind, default.to_string());
            return has_keys.then(|| Value::empty(location));
        }
        let (_, node) = self.entries.iter().find(|(name, _)| name == key)?;
        Some(Value { node, location: self.located(key) })
    }

    /// Returns the location of the value of a key.
    pub(super) fn located(&self, key: &'static str) -> Location {
        match self.entries.iter().position(|(name, _)| name == key) {
            Some(index) => self.location.then(Step::Entry(index, key.to_owned())),
            None => self.absent(key),
        }
    }

    /// Returns the location of a missing key.
    pub(super) fn absent(&self, key: &'static str) -> Location {
        self.location.then(Step::Absent(key))
    }

    /// Reports the key if it is missing. To be called for a key that the reader has read.
    pub(super) fn require(&self, key: &'static str, message: &str, help: &str) {
        self.absent(key).require_key();
        if self.readable && !self.has(key) {
            self.absent(key).error(Fault::new(message, help));
        }
    }

    pub(super) fn boolean(&mut self, key: &'static str, default: bool) -> bool {
        self.value(key, Kind::Boolean, default).and_then(|value| value.boolean()).unwrap_or(default)
    }

    pub(super) fn integer<N: Copy + Display + TryFrom<i64>>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
        default: N,
    ) -> N {
        let at = self.number(key, range, default);
        at.and_then(|at| N::try_from(at.value).ok()).unwrap_or(default)
    }

    /// Reads a whole number with its location; `default` is shown as what holds without it.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
        default: impl Display,
    ) -> Option<Spanned<i64>> {
        let (least, most) = range.into_inner();
        self.value(key, Kind::Integer(least, most), default)?.integer(least, most)
    }

    /// Reads a number of bytes.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i64>,
        default: usize,
    ) -> Option<Spanned<usize>> {
        let (least, most) = range.into_inner();
        let kind = Kind::Size(size::written(least), size::written(most));
        let default = i64::try_from(default).map(size::written).unwrap_or_default();
        let Spanned { value, location } = self.value(key, kind, default)?.size(least, most)?;
        usize::try_from(value).ok().map(|value| Spanned { value, location })
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        (least, most): (&'static str, &'static str),
        default: Duration,
    ) -> Duration {
        let value = self.value(key, Kind::Duration(least, most), rate::written(default));
        value.and_then(|value| value.duration(least, most)).map_or(default, |at| at.value)
    }

    /// Reads one word of a closed set.
    pub(super) fn word<T: Copy + PartialEq>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        default: T,
    ) -> T {
        let name = words.iter().find(|(_, value)| *value == default).map_or("", |(name, _)| *name);
        self.optional_word(key, words, name).map_or(default, |at| at.value)
    }

    /// Reads one word with its location; `default` is shown as what holds without it.
    pub(super) fn optional_word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        default: &str,
    ) -> Option<Spanned<T>> {
        let kind = Kind::Word(words.iter().map(|(name, _)| *name).collect());
        self.value(key, kind, default)?.word(key, words)
    }

    /// Reads a text that is not empty; `what` is its grammar.
    pub(super) fn text(
        &mut self,
        key: &'static str,
        what: &'static str,
        help: &str,
    ) -> Option<Spanned<String>> {
        self.value(key, Kind::Text(what), "")?.text(help)
    }

    /// Reads a list of texts, or a single one. None: the key is absent.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
        what: &'static str,
        help: &str,
    ) -> Option<Vec<Spanned<String>>> {
        self.value(key, Kind::Texts(what), "").map(|value| value.texts(help))
    }

    /// Returns a value with keys of its own. An empty one, whose lines may all be commented out, counts as absent.
    pub(super) fn mapping(&mut self, key: &'static str) -> Option<Value<'n>> {
        self.value(key, Kind::Mapping, "").filter(|value| !matches!(value.node, Node::Null))
    }

    /// Returns the items of a list. An empty value counts as absent.
    pub(super) fn items(&mut self, key: &'static str, help: &str) -> Vec<Value<'n>> {
        let list = self.value(key, Kind::List, "").filter(|value| !matches!(value.node, Node::Null));
        list.map(|list| list.items(help)).unwrap_or_default()
    }

    fn keys(&self) -> String {
        format!("the keys are {}", self.known.join(", "))
    }

    fn report_unknown(&self, hints: &[Hint]) {
        for (index, (name, _)) in self.entries.iter().enumerate() {
            if self.known.contains(&&**name) {
                continue;
            }
            let hint = hints.iter().find(|(hinted, ..)| hinted.contains(&&**name));
            let unknown = format!("unknown key '{}'", shown(name));
            let fault = match (hint, nearest(name, &self.known)) {
                (Some((_, message, help)), _) => Fault::new(*message, *help),
                (None, Some(meant)) => {
                    let keys = self.keys().replacen('t', "T", 1);
                    Fault::new(unknown, format!("did you mean '{meant}'? {keys}"))
                }
                (None, None) => {
                    let elsewhere = self
                        .location
                        .sections_with(name)
                        .map(|sections| format!("{} is a key of {sections}; here ", shown(name)));
                    Fault::new(unknown, elsewhere.unwrap_or_default() + &self.keys())
                }
            };
            self.location.then(Step::Entry(index, name.clone())).key().error(fault);
        }
    }
}
