//! The table of all keys, for the reference page. No file lists them: each reader enters a key when it asks for it, and an
//! unknown key is reported in `section.rs`. Pure.

use std::fmt;

/// Stands in a path for a key that may have any name.
pub(super) const ANY_NAME: &str = "NAME";

/// A key of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its path, such as `bounds.streams`; the items of a list are `[0]`.
    pub path: String,
    /// The values that it takes.
    pub kind: Kind,
    /// What holds without the key, as an operator would write it. Empty if that cannot be written.
    pub default: String,
    /// Whether its mapping must have it.
    pub is_required: bool,
}

/// The values that a key takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number in this range.
    Integer(i64, i64),
    /// This word, or a whole number in this range.
    WordOrInteger(&'static str, i64, i64),
    /// A number of bytes in this range.
    Size(String, String),
    /// A duration in this range.
    Duration(&'static str, &'static str),
    /// A whole number of percent in this range, with its sign: `10%`.
    Percentage(u8, u8),
    /// A number in this range, which may have a fraction.
    Number(u8, u8),
    /// One of these words.
    Word(Vec<&'static str>),
    /// A text of its own grammar.
    Text(&'static str),
    /// Several of them, or a single one.
    Texts(&'static str),
    /// Several of them, each a text or keys of its own, or a single one.
    TextsOrMappings(&'static str),
    /// Keys of its own, or a text of its own grammar.
    TextOrMapping(&'static str),
    /// Keys of its own, or this word.
    WordOrMapping(&'static str),
    /// Keys of its own; any name with a text, if the table has none.
    Mapping,
    /// Items with keys of their own.
    List,
}

/// As the reference page writes it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Integer(least, most) => write!(f, "{} to {}", grouped(*least), grouped(*most)),
            Self::WordOrInteger(word, least, most) => {
                write!(f, "`{word}`, or {} to {}", grouped(*least), grouped(*most))
            }
            Self::Size(least, most) => write!(f, "{least} to {most}"),
            Self::Duration(least, most) => write!(f, "{least} to {most}"),
            Self::Percentage(least, most) => write!(f, "{least}% to {most}%"),
            Self::Number(least, most) => write!(f, "a number from {least} to {most}"),
            Self::Word(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                f.write_str(&words.join(", "))
            }
            Self::Text(what) => f.write_str(what),
            Self::Texts(what) | Self::TextsOrMappings(what) => write!(f, "list of {what}"),
            Self::TextOrMapping(what) => write!(f, "{what}, or mapping"),
            Self::WordOrMapping(word) => write!(f, "`{word}`, or mapping"),
            Self::Mapping => f.write_str("mapping"),
            Self::List => f.write_str("list"),
        }
    }
}

/// With a comma before each three digits, from five digits on.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
