//! Names of rules, of bypasses, and of what the keys in Redis start with. Pure.

/// The most characters of the name of a rule or a bypass.
pub(super) const MAX_NAME: usize = 64;

/// Whether a text can stand in keys, headers and metrics without escapes.
pub(super) fn is_name(text: &str, most: usize) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=most).contains(&text.len()) && text.bytes().all(plain)
}
