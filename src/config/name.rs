//! Names of rules, of bypasses, of tiers, and of what the keys in Redis start with. Pure.

use std::collections::HashMap;

use super::diagnostic::{Fault, shown};
use super::key_table::Kind;
use super::report::{Location, Spanned};
use super::section::Section;

/// The most characters of the name of a rule or a bypass.
pub(super) const MAX_NAME: usize = 64;

/// The names of one kind of things so far. Each is unique.
pub(super) struct Names {
    named: HashMap<String, Location>,
    /// Why each is unique.
    reason: &'static str,
}

impl Names {
    /// No names of rules and bypasses yet.
    pub(super) fn of_rules() -> Self {
        Self { named: HashMap::new(), reason: "it identifies counters and metrics" }
    }

    /// No names of tiers yet.
    pub(super) fn of_tiers() -> Self {
        Self { named: HashMap::new(), reason: "rules refer to the tier by it" }
    }

    /// Enters a name, and reports it if another one is the same.
    pub(super) fn enter(&mut self, Spanned { value: name, location }: &Spanned<String>) {
        let Some(first) = self.named.get(name) else {
            self.named.insert(name.clone(), location.clone());
            return;
        };
        let help = match location.is_flag() {
            true => {
                "add ,name=NAME to one of the limits: the name identifies counters and metrics".to_owned()
            }
            false => format!("expected another name: {}", self.reason),
        };
        location.collision(Fault::new(format!("duplicate name '{name}'"), help), first);
    }
}

/// Reads the name of a rule, a bypass or a tier.
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
