//! Sizes as they are written: `65536`, `64KiB`, `1MiB`. Pure.

use super::diagnostic::{Fault, shown};

const SIZE_HELP: &str = "expected a number of bytes, or a number with KiB or MiB, such as 64KiB";

/// Reads a size in bytes. One that exceeds an i64 becomes the largest i64, which is out of every range.
pub(super) fn size(text: &str) -> Result<i64, Fault> {
    let fault = || Fault::new(format!("invalid size \'{}\'", shown(text)), SIZE_HELP);
    let text = text.trim();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let bytes = match unit.trim() {
        "" | "B" | "bytes" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return Err(fault()),
    };
    if digits.is_empty() {
        return Err(fault());
    }
    Ok(digits.parse().unwrap_or(i64::MAX).saturating_mul(bytes))
}

/// A size as it would be written.
pub(super) fn written(bytes: i64) -> String {
    match bytes {
        _ if bytes > 0 && bytes % (1 << 20) == 0 => format!("{}MiB", bytes >> 20),
        _ if bytes > 0 && bytes % (1 << 10) == 0 => format!("{}KiB", bytes >> 10),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{size, written};

    #[test]
    fn sizes_in_every_spelling() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("512B", 512),
            ("512 bytes", 512),
            ("64KiB", 65_536),
            (" 2 MiB ", 2 << 20),
            ("99999999999999999999", i64::MAX),
            ("99999999999999MiB", i64::MAX),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "64KB", "64k", "64kib", "1.5MiB", "-1", "1GiB", "1KiB1", "0x10"] {
            assert!(size(text).is_err_and(|fault| fault.help.contains("64KiB")), "{text}");
        }
    }

    #[test]
    fn sizes_are_written_as_people_write_them() {
        let texts = [0, 64, 1000, 1024, 65_536, 1 << 20].map(written);
        assert_eq!(texts, ["0", "64", "1000", "1KiB", "64KiB", "1MiB"]);
    }
}
