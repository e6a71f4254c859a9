//! The id of a request, by which the logs of all that handle it are found: `X-Request-Id`, and the trace of `traceparent`.

use std::cell::RefCell;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::headers::seldom_repeated;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

const MAX_LENGTH: usize = 128;
/// The hexadecimal digits of an id that tidegate makes: as random as a trace id.
const DIGITS: usize = 32;
/// How many ids share memory. A request that takes long keeps that of all.
const IDS_AT_ONCE: usize = 16;

/// Returns the id that the request has, if `keep` and if it is a valid one, or a new id.
pub(super) fn of(headers: &HeaderMap, keep: bool) -> HeaderValue {
    let given = if keep { single(headers, &X_REQUEST_ID).filter(|id| is_valid(id)) } else { None };
    given.cloned().unwrap_or_else(random)
}

fn single<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    // Most requests have none, and then this is all.
    let first = headers.get(name)?;
    headers.get_all(name).iter().nth(1).is_none().then_some(first)
}

/// Returns whether an id is short, and of characters that mean nothing to logs, shells and queries.
fn is_valid(id: &HeaderValue) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=@".contains(byte);
    (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(plain)
}

fn random() -> HeaderValue {
    thread_local! {
        /// The digits of the next ids: each is a part of shared memory, which costs less than memory of its own.
        static NEXT: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
    }
    let digits = NEXT.with_borrow_mut(|next| {
        if next.is_empty() {
            *next = random_digits();
        }
        next.split_to(DIGITS)
    });
    // Digits are a valid value.
    let mut id = HeaderValue::from_maybe_shared(digits).unwrap_or(HeaderValue::from_static("0"));
    seldom_repeated(&mut id);
    id
}

/// Returns the digits of several ids.
fn random_digits() -> Bytes {
    let mut digits = [0; IDS_AT_ONCE * DIGITS];
    for eight in digits.as_chunks_mut().0 {
        *eight = hexadecimal(fastrand::u32(..)).to_ne_bytes();
    }
    Bytes::copy_from_slice(&digits)
}

/// Returns the eight digits of a number, each in a byte. It makes all of them at once, as each request needs four of these.
fn hexadecimal(number: u32) -> u64 {
    // A byte for each four bits: each step moves the upper half of each group.
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    let spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    let spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    // 1 in each byte above 9: 6 more carries into the bit of 16.
    let letters = (spread + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    spread + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'9' - 1)
}

/// Returns the trace that the request belongs to (W3C Trace Context, section 3.2), if it names a valid one.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let mut parts = single(headers, &TRACEPARENT)?.to_str().ok()?.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let any = |text: &str| text.bytes().any(|b| b != b'0');
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && any(trace)
        && is_hex(parent, 16)
        && any(parent)
        && is_hex(flags, 2)
        // Later versions may have more parts.
        && (version != "00" || parts.next().is_none());
    is_valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn a_valid_id_is_kept() {
        for id in ["7", "0af7651916cd43dd8448eb211c80319c", "a-b_c.d:e+f/g=h@i", &"x".repeat(128)] {
            assert_eq!(of(&headers(X_REQUEST_ID, &[id]), true), id);
        }
    }

    #[test]
    fn an_id_that_is_not_valid_is_replaced() {
        for id in ["", "a b", "a\"b", "a,b", "a\tb", &"x".repeat(129)] {
            assert_ne!(of(&headers(X_REQUEST_ID, &[id]), true), id);
        }
        let two = of(&headers(X_REQUEST_ID, &["a", "b"]), true);
        assert_eq!(two.len(), DIGITS);
    }

    #[test]
    fn an_id_that_is_not_to_be_kept_is_replaced() {
        assert_ne!(of(&headers(X_REQUEST_ID, &["a"]), false), "a");
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 0x0123_4567, 0x89AB_CDEF, u32::MAX] {
            let digits = hexadecimal(number).to_be_bytes();
            assert_eq!(String::from_utf8_lossy(&digits), format!("{number:08x}"));
        }
    }

    #[test]
    fn new_ids_differ() {
        let ids: HashSet<HeaderValue> = (0..100).map(|_| random()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.as_bytes().iter().all(u8::is_ascii_hexdigit) && id.len() == DIGITS));
    }

    fn trace(traceparent: &str) -> Option<String> {
        trace_id(&headers(TRACEPARENT, &[traceparent])).map(str::to_owned)
    }

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn the_trace_is_that_of_the_standard_s_example() {
        assert_eq!(trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").as_deref(), Some(TRACE));
        assert_eq!(trace(&format!("cc-{TRACE}-b7ad6b7169203331-01-what")).as_deref(), Some(TRACE));
    }

    #[test]
    fn a_traceparent_that_is_not_valid_names_no_trace() {
        for traceparent in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace(traceparent), None, "{traceparent}");
        }
    }
}
