//! Names of rules, of bypasses, and of what the keys in Redis start with. Pure.

use std::collections::HashMap;

use super::diagnostic::{Fault, shown};
use super::key_table::Kind;
use super::report::{Location, Spanned};
use super::section::Section;

/// The most characters of the name of a rule or a bypass.
pub(super) const MAX_NAME: usize = 64;

/// The names of all rules and bypasses so far: each is unique, as counters and metrics go by it.
#[derive(Default)]
pub(super) struct Names(HashMap<String, Location>);

impl Names {
    /// Enters a name, and reports it if another rule or bypass has it.
    pub(super) fn enter(&mut self, Spanned { value: name, location }: &Spanned<String>) {
        let Some(first) = self.0.get(name) else {
            self.0.insert(name.clone(), location.clone());
            return;
        };
        let help = match location.is_flag() {
            true => "add ,name=NAME to one of the limits: the name identifies counters and metrics",
            false => "expected another name: it identifies counters and metrics",
        };
        location.collision(Fault::new(format!("duplicate name '{name}'"), help), first);
    }
}

/// Reads the name of a rule or a bypass.
pub(super) fn read(section: &mut Section<'_>) -> Option<Spanned<String>> {
    let help = "expected a name of 1 to 64 letters, digits, '.', '_' or '-'; a number takes quotes";
    let value = section.value("name", Kind::Text("1 to 64 of `A-Z a-z 0-9 . _ -`"), "");
    section.require("name", "the name is missing", help);
    value?.parsed("a name", help, |text| {
        let fits = is_name(text, MAX_NAME).then(|| text.to_owned());
        fits.ok_or_else(|| Fault::new(format!("invalid name '{}'", shown(text)), help))
    })
}

/// Returns whether a text can be part of keys, headers and metrics without escapes.
pub(super) fn is_name(text: &str, most: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=most).contains(&text.len()) && text.bytes().all(plain)
}
