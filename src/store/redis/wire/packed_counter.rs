//! Packs and unpacks counters as `take.lua` does, and packs the arguments of the scripts.

use super::resp::Command;
use crate::window::{Bucket, Charge, Counter, Limit};

/// Returns the width in bytes of a gap or span, which are below two windows: see `take.lua`.
fn width(window_ms: i64) -> usize {
    if window_ms < 1 << 22 {
        3
    } else if window_ms < 1 << 30 {
        4
    } else {
        5
    }
}

const LAST: usize = 6;
const DEBT: usize = 7;
const COUNT: usize = 4;
/// More than any limit admits, and than any counter counts.
const MOST_COST: i64 = (1 << 40) - 1;

/// Unpacks the counter of a window of that length at `now_ms`. A value that the script did not write is an empty counter,
/// here as there: the script looks only at buckets that have not expired, and so must this.
pub(crate) fn decode(raw: &[u8], window_ms: i64, now_ms: i64) -> Counter {
    let width = width(window_ms);
    let Some((head, older)) = raw.split_at_checked(LAST + DEBT + COUNT + width) else {
        return Counter::default();
    };
    let size = 2 * width + COUNT;
    if !older.len().is_multiple_of(size) || older.len() / size >= Counter::MAX_BUCKETS {
        return Counter::default();
    }
    let mut head = Reader(head);
    let (last_ms, debt) = (head.integer(LAST), head.integer(DEBT));
    let (mut count, mut span) = (head.integer(COUNT), head.integer(width));
    let ahead = last_ms - now_ms;
    let shift = if ahead >= window_ms { ahead - ahead % window_ms } else { 0 };
    let cut = now_ms.max(last_ms - shift) - window_ms + shift;

    let mut buckets = Vec::with_capacity(1 + older.len() / size);
    let mut stop = last_ms;
    let mut older = older.chunks_exact(size);
    loop {
        if count < 1 || i128::from(span) * i128::from(count) >= 1 << 53 {
            if cut < stop {
                return Counter::default();
            }
            break;
        }
        buckets.push(Bucket { count, first_ms: stop - span, last_ms: stop });
        let Some(record) = older.next() else { break };
        let mut record = Reader(record);
        let gap = record.integer(width);
        stop -= span + gap;
        (span, count) = (record.integer(width), record.integer(COUNT));
    }
    buckets.reverse();
    Counter::from_parts(buckets, debt, last_ms)
}

/// Packs a counter as `take.lua` does. Empty for a counter without buckets.
pub(crate) fn encode(counter: &Counter, window_ms: i64) -> Vec<u8> {
    let width = width(window_ms);
    let mut packed = Vec::new();
    let mut newer: Option<&Bucket> = None;
    for bucket in counter.buckets().iter().rev() {
        let span = bucket.last_ms - bucket.first_ms;
        if let Some(newer) = newer {
            put(&mut packed, newer.first_ms - bucket.last_ms, width);
            put(&mut packed, span, width);
            put(&mut packed, bucket.count, COUNT);
        } else {
            put(&mut packed, counter.last_ms(), LAST);
            put(&mut packed, counter.debt(), DEBT);
            put(&mut packed, bucket.count, COUNT);
            put(&mut packed, span, width);
        }
        newer = Some(bucket);
    }
    packed
}

/// Appends a charge for `take.lua` to a command. Its counter expires after `ttl_ms`.
pub(super) fn put_charge(command: &mut Command, charge: &Charge, ttl_ms: i64) {
    let Charge { limit, cost, group } = charge;
    let wide = |number: i64| u128::from(number.unsigned_abs());
    let limit = wide(limit.quota())
        | wide(limit.burst()) << 32
        | wide(limit.window_ms()) << 64
        | wide(limit.slices()) << 104;
    let rest = wide((*cost).min(MOST_COST)) | u128::from(*group) << 40;
    command.word(&[&lowest::<14>(limit), &lowest::<9>(rest), itoa::Buffer::new().format(ttl_ms).as_bytes()]);
}

/// Packs a limit for `settle.lua`.
pub(crate) fn shape(limit: &Limit) -> Vec<u8> {
    let mut packed = Vec::with_capacity(10);
    put(&mut packed, limit.window_ms(), 5);
    put(&mut packed, limit.slices(), 1);
    put(&mut packed, limit.burst(), 4);
    packed
}

/// Packs for `give_back.lua` a charge made at `at_ms`, for which the burst allowance lent `lent` units.
pub(crate) fn returned(charge: &Charge, lent: i64, at_ms: i64) -> Vec<u8> {
    let mut packed = Vec::with_capacity(24);
    put(&mut packed, charge.limit.window_ms(), 5);
    put(&mut packed, charge.limit.burst(), 4);
    put(&mut packed, charge.cost.min(MOST_COST), 5);
    put(&mut packed, lent, 4);
    put(&mut packed, at_ms, 6);
    packed
}

/// Returns the lowest bytes of a number, little-endian.
fn lowest<const WIDTH: usize>(number: u128) -> [u8; WIDTH] {
    number.to_le_bytes().first_chunk().copied().unwrap_or([0; WIDTH])
}

/// Appends the lowest `width` bytes of a number, little-endian.
fn put(packed: &mut Vec<u8>, number: i64, width: usize) {
    packed.extend(number.to_le_bytes().into_iter().take(width));
}

/// Reads unsigned little-endian numbers of at most 7 bytes from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn integer(&mut self, width: usize) -> i64 {
        let (bytes, rest) = self.0.split_at_checked(width).unwrap_or_default();
        self.0 = rest;
        bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | i64::from(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};
    use crate::window::{Bucket, Counter};

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 86_400_000;

    fn counter() -> Counter {
        let old = Bucket { count: 2, first_ms: 100_000, last_ms: 100_000 };
        let new = Bucket { count: 3, first_ms: 118_000, last_ms: 120_005 };
        Counter::from_parts(vec![old, new], 7, 120_005)
    }

    #[test]
    fn reads_what_the_script_packs() {
        let mut raw = vec![0xc5, 0xd4, 1, 0, 0, 0]; // last_ms 120,005
        raw.extend([7, 0, 0, 0, 0, 0, 0]); // debt
        raw.extend([3, 0, 0, 0, 0xd5, 7, 0]); // 3 units over 2,005 ms
        raw.extend([0x50, 0x46, 0, 0, 0, 0, 2, 0, 0, 0]); // 18,000 ms before them 2 units at once
        assert_eq!(decode(&raw, MINUTE, 120_010), counter());
        assert_eq!(encode(&counter(), MINUTE), raw);
    }

    #[test]
    fn long_windows_have_wider_times() {
        for (window, length) in [(MINUTE, 20 + 10), (DAY, 21 + 12), (366 * DAY, 22 + 14)] {
            let raw = encode(&counter(), window);
            assert_eq!(raw.len(), length);
            assert_eq!(decode(&raw, window, 120_010), counter());
        }
    }

    #[test]
    fn anything_else_is_an_empty_counter() {
        for raw in [&b""[..], b"x", &[0; 19], &[0; 21], &[b'a'; 30], &[0; 20 + 66 * 10]] {
            assert_eq!(decode(raw, MINUTE, 0), Counter::default());
        }
    }
}
