//! A counter as `take.lua` packs it.

use crate::window::{Bucket, Counter};

const HEAD: usize = 13;
const BUCKET: usize = 14;

/// Reads a counter. What the script did not write counts as nothing, here as there.
pub(super) fn decode(raw: &[u8]) -> Counter {
    let Some((head, rest)) = raw.split_at_checked(HEAD) else { return Counter::default() };
    let (last_ms, debt) = head.split_at(6);
    let (last_ms, debt) = (integer(last_ms), integer(debt));
    let records = rest.chunks_exact(BUCKET);
    let bucket = |record: &[u8]| {
        let (count, times) = record.split_at(4);
        let (age, span) = times.split_at(5);
        let (count, age, span) = (integer(count), integer(age), integer(span));
        let first_ms = last_ms - age;
        let sound = count >= 1 && span <= age && i128::from(span) * i128::from(count) < 1 << 53;
        sound.then_some(Bucket { count, first_ms, last_ms: first_ms + span })
    };
    let whole = records.remainder().is_empty();
    let buckets: Option<Vec<Bucket>> = records.map(bucket).collect();
    buckets.filter(|_| whole).map(|buckets| Counter::from_parts(buckets, debt, last_ms)).unwrap_or_default()
}

/// A little-endian unsigned integer of at most 7 bytes.
fn integer(bytes: &[u8]) -> i64 {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | i64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::window::{Bucket, Counter};

    #[test]
    fn reads_what_the_script_packs() {
        let mut raw = vec![0, 0x10, 0, 0, 0, 0]; // last_ms 4096
        raw.extend([7, 0, 0, 0, 0, 0, 0]); // debt
        raw.extend([3, 0, 0, 0, 96, 0, 0, 0, 0, 5, 0, 0, 0, 0]); // 3 units, from 4000 (96 before) to 4005
        let bucket = Bucket { count: 3, first_ms: 4000, last_ms: 4005 };
        assert_eq!(decode(&raw), Counter::from_parts(vec![bucket], 7, 4096));
    }

    #[test]
    fn anything_else_is_an_empty_counter() {
        let longer = [b'a'; 13 + 14];
        for raw in
            [&b""[..], b"x", &[0; 12], &[0; 14], &[0; 27], &longer, b"somebody else's value, of some length"]
        {
            assert_eq!(decode(raw), Counter::default());
        }
    }
}
