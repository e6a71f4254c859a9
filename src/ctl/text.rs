//! Texts for a terminal. Pure.

use std::net::Ipv6Addr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use time::OffsetDateTime;

/// What stands as it is in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one segment of a path.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Whether a text is the id of a client rather than a clear value: it has a mark that ids have for what is hashed, missing, cut
/// to a network or a further choice.
pub(super) fn is_id(text: &str) -> bool {
    let hashed = |rest: &str| rest.len() == 24 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_network = || text.split_once('/').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    let is_choice = || {
        let index = text.split_once('=').map(|(index, _)| index);
        index.is_some_and(|index| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()))
    };
    matches!(text, "!" | "*")
        || text.strip_prefix('~').is_some_and(hashed)
        || text
            .strip_prefix('@')
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_hexdigit() || first == ':'))
        || is_network()
        || is_choice()
}

/// A text from outside without what a terminal would act on.
pub(super) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            // Marks that turn the direction of text, and blanks that are not seen.
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
                clean.extend(character.escape_unicode());
            }
            _ if character.is_control() => clean.extend(character.escape_unicode()),
            _ => clean.push(character),
        }
    }
    clean
}

/// A time in seconds of Unix time: `2026-11-28 06:36:11 UTC`.
pub(super) fn date(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "a time that does not fit is none")]
    let date = OffsetDateTime::from_unix_timestamp(seconds as i64);
    let Ok(date) = date else { return "unknown".to_owned() };
    let (hour, minute, second) = date.time().as_hms();
    format!("{} {hour:02}:{minute:02}:{second:02} UTC", date.date())
}

/// A duration in its two largest units: `3h 12m`.
pub(super) fn duration(seconds: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let seconds = seconds.max(0.0).round() as u64;
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        let number = left / size;
        left %= size;
        if number > 0 || !parts.is_empty() {
            parts.push(format!("{number}{unit}"));
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(date(1_795_847_771.9), "2026-11-28 06:36:11 UTC");
        let durations = [0.0, 59.0, 60.0, 3_725.0, 90_000.0, -1.0].map(duration);
        assert_eq!(durations, ["0s", "59s", "1m 0s", "1h 2m", "1d 1h", "0s"]);
    }

    #[test]
    fn ids_are_told_from_clear_values() {
        for id in ["*", "!", "~5d41402abc4b2a76b9719d91", "@192.0.2.1", "2001:db8::/64", "1=acme"] {
            assert!(is_id(id), "{id}");
        }
        for value in ["192.0.2.1", "2001:db8::1", "hunter2", "~hunter2", "key/with/slashes", "a=b", "@home"] {
            assert!(!is_id(value), "{value}");
        }
    }

    #[test]
    fn a_segment_keeps_no_separator() {
        assert_eq!(encoded("2001:db8::/64,~5d"), "2001%3Adb8%3A%3A%2F64%2C~5d");
    }
}
