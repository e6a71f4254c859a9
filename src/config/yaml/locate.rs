//! From a location in the tree back to line and column.
//!
//! The library reports positions only in its errors. So the text is deserialised once more, along the way to the
//! location, and fails there on purpose. That costs a pass per diagnostic, and nothing as long as there is none.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One step down the tree. Entries and items go by their position, which also distinguishes duplicates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Step {
    /// An entry of a mapping, and its key.
    Entry(usize, String),
    /// An item of a list.
    Item(usize),
    /// A missing key. It is located where its mapping is.
    Absent(&'static str),
}

/// Line and column of a location, or of its key.
pub(in crate::config) fn locate(text: &str, steps: &[Step], on_key: bool) -> Option<(usize, usize)> {
    let first = serde_yaml::Deserializer::from_str(text).next()?;
    // Deserialising stops with an error at the location, and the library knows where it was.
    let error = Seek { steps, on_key }.deserialize(first).err()?;
    error.location().map(|mark| (mark.line(), mark.column()))
}

/// Follows the steps, and fails where they end.
#[derive(Clone, Copy)]
struct Seek<'s> {
    steps: &'s [Step],
    on_key: bool,
}

impl<'de> DeserializeSeed<'de> for Seek<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.steps.first() {
            None | Some(Step::Absent(_)) => deserializer.deserialize_any(Stop),
            Some(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Seek<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the way to a diagnostic")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((Step::Entry(index, _), rest)) = self.steps.split_first() else {
            return Err(A::Error::custom("not a mapping"));
        };
        for _ in 0..*index {
            map.next_entry::<IgnoredAny, IgnoredAny>()?;
        }
        if rest.is_empty() && self.on_key {
            map.next_key_seed(Seek { steps: &[], on_key: false })?;
        }
        map.next_key::<IgnoredAny>()?;
        map.next_value_seed(Seek { steps: rest, on_key: self.on_key })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((Step::Item(index), rest)) = self.steps.split_first() else {
            return Err(A::Error::custom("not a list"));
        };
        for _ in 0..*index {
            seq.next_element::<IgnoredAny>()?;
        }
        seq.next_element_seed(Seek { steps: rest, on_key: self.on_key })?;
        Ok(())
    }
}

/// Fails on any value: none of the visits is implemented.
pub(super) struct Stop;

impl Visitor<'_> for Stop {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the location of a diagnostic")
    }
}
