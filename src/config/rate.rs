//! Rates and durations as they are written: `30/min`, `100/90s`, `20ms`. Pure.

use std::time::Duration;

use super::diagnostic::{Fault, shown};

/// A quota and its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) quota: i64,
    /// The length of the window in milliseconds.
    pub(crate) window_ms: i64,
}

const RATE_HELP: &str = "expected N/s, N/min, N/h, N/day or N/DURATION, such as 30/min or 100/90s";
const DURATION_HELP: &str = "expected numbers with units, such as 20ms, 3s, 5m, 1h30m or 2d";

/// Reads a rate.
pub(crate) fn rate(text: &str) -> Result<Rate, Fault> {
    let fault = |message: String| Fault::new(message, RATE_HELP);
    let no_rate = || fault(format!("invalid rate \'{}\'", shown(text)));
    let (count, window) = text.split_once('/').ok_or_else(no_rate)?;
    let (count, window) = (count.trim(), window.trim());
    let quota = match whole(count) {
        Some(quota) => quota,
        None if count.parse::<f64>().is_ok() => {
            let message = format!(
                "invalid rate \'{}\': the count must be a whole number, not '{}'",
                shown(text),
                shown(count)
            );
            return Err(Fault::new(
                message,
                "expected a longer window instead: half a request per second is 1/2s",
            ));
        }
        None => return Err(no_rate()),
    };
    let with_number = window.starts_with(|c: char| c.is_ascii_digit());
    let window_ms = if with_number { milliseconds(window) } else { unit(window) };
    window_ms.map(|window_ms| Rate { quota, window_ms }).ok_or_else(no_rate)
}

/// Reads a duration.
pub(crate) fn duration(text: &str) -> Result<Duration, Fault> {
    let millis = milliseconds(text.trim()).and_then(|millis| u64::try_from(millis).ok());
    let fault = || Fault::new(format!("invalid duration \'{}\'", shown(text)), DURATION_HELP);
    millis.map(Duration::from_millis).ok_or_else(fault)
}

/// Returns a duration as an operator would write it.
pub(super) fn written(duration: Duration) -> String {
    match duration.as_millis() {
        0 => "0s".to_owned(),
        millis if millis % 3_600_000 == 0 => format!("{}h", millis / 3_600_000),
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

/// Returns the length of a window for the name of a limit: in seconds where that is exact.
pub(super) fn label(window_ms: i64) -> String {
    if window_ms % 1000 == 0 { format!("{}s", window_ms / 1000) } else { format!("{window_ms}ms") }
}

/// Reads digits only. A number that exceeds an i64 becomes the largest i64, which is out of every range.
fn whole(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(i64::MAX))
}

/// One or more numbers with their units: `90s`, `1h30m`.
fn milliseconds(text: &str) -> Option<i64> {
    let mut total = 0_i64;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (name, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        total = total.saturating_add(whole(digits)?.saturating_mul(unit(name.trim())?));
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

/// `m` is a minute: there are no months.
fn unit(name: &str) -> Option<i64> {
    Some(match name {
        "ms" => 1,
        "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 24 * 3_600_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Rate, duration, label, rate};

    #[test]
    fn rates_in_every_spelling() {
        for (text, quota, window_ms) in [
            ("5/s", 5, 1000),
            ("100/min", 100, 60_000),
            ("100/m", 100, 60_000),
            ("7/h", 7, 3_600_000),
            ("50/day", 50, 86_400_000),
            ("100/90s", 100, 90_000),
            ("5/10m", 5, 600_000),
            ("1/250ms", 1, 250),
            ("1/1h30m", 1, 5_400_000),
            (" 10 / min ", 10, 60_000),
            ("0/min", 0, 60_000),
            ("1/0s", 1, 0),
            ("99999999999999999999/s", i64::MAX, 1000),
            ("1/99999999999999999999d", 1, i64::MAX),
        ] {
            assert_eq!(rate(text), Ok(Rate { quota, window_ms }), "{text}");
        }
    }

    #[test]
    fn what_is_no_rate() {
        for text in [
            "",
            "/",
            "10",
            "10/",
            "/min",
            "10/fortnight",
            "10/week",
            "10/1M",
            "-1/s",
            "+1/s",
            "1/-5s",
            "1/5",
            "1/1.5s",
            "ten/s",
            "1/s/s",
            "1e3/s",
            "0x10/s",
            "1_000/s",
            "1/s5",
            "１/s",
            "1/",
        ] {
            assert!(rate(text).is_err(), "{text}");
        }
        let half = rate("0.5/s").map_err(|fault| fault.help);
        assert!(half.is_err_and(|help| help.contains("1/2s")));
    }

    #[test]
    fn durations() {
        for (text, millis) in
            [("20ms", 20), ("3s", 3000), ("1m30s", 90_000), ("0s", 0), ("2d", 172_800_000), ("5 s", 5000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1.5s", "-1s", "5 fortnights", "ms5"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn labels() {
        assert_eq!(
            (label(60_000), label(250), label(1500)),
            ("60s".to_owned(), "250ms".to_owned(), "1500ms".to_owned())
        );
    }
}
