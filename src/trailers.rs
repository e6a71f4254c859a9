//! Which fields must not come in a trailer section. Pure.

use http::{HeaderMap, HeaderName};

/// Fields for framing, routing, one hop, credentials or the request's origin, and the mark that only tidegate may set. All
/// of that has been decided when the trailer section arrives: an upstream that merges it into the header would decide
/// again, and differently (RFC 9110, section 6.5.1).
const FORBIDDEN: [&str; 23] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-ratelimit-exceeded",
    "x-real-ip",
];
const FORBIDDEN_PREFIX: &str = "x-forwarded-";

/// The number of bytes of a name that decide: one more than the longest forbidden name has.
pub(crate) const DECISIVE: usize = 21;

/// Returns whether a field may only come in a header. `name` is in lower case; a longer one may be cut to [`DECISIVE`]
/// bytes. Each character but letters and digits counts as a dash, as CGI and its successors read `Content_Length` as
/// `Content-Length`.
pub(crate) fn is_forbidden(name: &[u8]) -> bool {
    let prefix = FORBIDDEN_PREFIX.as_bytes();
    name.get(..prefix.len()).is_some_and(|begin| spells(begin, prefix))
        || FORBIDDEN.iter().any(|field| spells(name, field.as_bytes()))
}

fn spells(name: &[u8], field: &[u8]) -> bool {
    let folded = |byte: &u8| if byte.is_ascii_alphanumeric() { *byte } else { b'-' };
    name.len() == field.len() && name.iter().map(folded).eq(field.iter().map(folded))
}

/// Removes the fields that may only come in a header, and `more` fields that tidegate reads in headers alone.
pub(crate) fn strip(trailers: &mut HeaderMap, more: &[HeaderName]) {
    let forbidden = |name: &&HeaderName| {
        let name = name.as_str().as_bytes();
        is_forbidden(name) || more.iter().any(|field| spells(name, field.as_str().as_bytes()))
    };
    let found: Vec<HeaderName> = trailers.keys().filter(forbidden).cloned().collect();
    for name in found {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_decisive_bytes_tell_each_forbidden_name_from_longer_ones() {
        let longest = FORBIDDEN.iter().map(|name| name.len()).max().unwrap();
        assert_eq!(DECISIVE, longest + 1);
        assert!(FORBIDDEN_PREFIX.len() <= DECISIVE);
    }

    #[test]
    fn names_are_compared_whole_but_for_the_prefix() {
        for name in FORBIDDEN.iter().chain(&["x-forwarded-for", "x-forwarded-client-cert", "x-forwarded-"]) {
            assert!(is_forbidden(name.as_bytes()), "{name}");
        }
        for name in ["", "hosts", "hos", "x-forwarded", "grpc-status", "x-checksum", "expires", "vary"] {
            assert!(!is_forbidden(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn other_spellings_of_a_forbidden_name_are_forbidden() {
        for name in [
            "content_length",
            "x_forwarded_for",
            "x-forwarded_for",
            "x.real.ip",
            "transfer_encoding",
            "set_cookie",
        ] {
            assert!(is_forbidden(name.as_bytes()), "{name}");
        }
        for name in ["contentlength", "x_sum", "content_lengths", "x_forwarded", "_te"] {
            assert!(!is_forbidden(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn strip_leaves_all_other_fields() {
        let mut trailers = HeaderMap::new();
        for name in ["set-cookie", "grpc-status", "x-forwarded-for", "x-sum"] {
            trailers.append(name, "a".parse().unwrap());
            trailers.append(name, "b".parse().unwrap());
        }
        strip(&mut trailers, &[]);
        let mut left: Vec<&str> = trailers.iter().map(|(name, _)| name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "grpc-status", "x-sum", "x-sum"]);
    }
}
