//! The lists in `X-Forwarded-For` and `Forwarded`: empty elements and blanks name no client (RFC 9110, section 5.6.1.2).

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use proptest::sample::select;
use tidegate::policy::client::{ClientIdentity, ForwardedHeader};

/// Trusted proxies, clients, and entries that cannot be read.
const ADDRESSES: &[&str] = &[
    "10.1.1.1",
    "10.2.2.2:80",
    "198.51.100.7",
    "203.0.113.9:4711",
    "2001:db8::1",
    "[2001:db8::1]:443",
    "unknown",
    "-",
];

const FORWARDED: &[&str] = &[
    "for=10.1.1.1",
    "for=\"10.2.2.2:80\";proto=https",
    "for=198.51.100.7",
    "by=10.1.1.1;For=203.0.113.9",
    "for=\"[2001:db8::1]:443\";host=\"a,b;c\"",
    "for=_hidden",
    "proto=https",
    "for=\"198.51.100.7",
];

const BLANKS: &[&str] = &["", "", " ", "\t", "  ", " \t "];

/// What may stand between two elements, before the first and behind the last: blanks, with empty elements or not.
fn gap() -> impl Strategy<Value = String> {
    proptest::collection::vec(select(BLANKS), 1..4).prop_map(|blanks| blanks.join(","))
}

/// The same lines, each element with a gap on either side. A line of no elements may be added.
fn padded(lines: &[Vec<&str>], gaps: &[String]) -> Vec<String> {
    let mut gaps = gaps.iter().cycle();
    let mut gap = || gaps.next().cloned().unwrap_or_default();
    let mut padded: Vec<String> = Vec::new();
    for line in lines {
        let elements = line.iter().map(|element| format!("{}{element}{}", blank(&gap()), blank(&gap())));
        let elements: Vec<String> = elements.collect();
        let joined = elements.into_iter().reduce(|line, element| format!("{line},{},{element}", gap()));
        padded.push(format!("{},{},{}", gap(), joined.unwrap_or_default(), gap()));
        padded.push(gap());
    }
    padded
}

/// A gap without its commas: what may stand beside an element itself.
fn blank(gap: &str) -> String {
    gap.replace(',', "")
}

fn client(header: ForwardedHeader, lines: &[String]) -> IpAddr {
    let identity = ClientIdentity {
        trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
        header,
        ..ClientIdentity::default()
    };
    let name = HeaderName::from_static(match header {
        ForwardedHeader::XForwardedFor => "x-forwarded-for",
        ForwardedHeader::Forwarded => "forwarded",
    });
    let lines = lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap()));
    identity.address(IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)), &lines.collect::<HeaderMap>())
}

fn lines_of(elements: &'static [&'static str]) -> impl Strategy<Value = Vec<Vec<&'static str>>> {
    proptest::collection::vec(proptest::collection::vec(select(elements), 1..4), 1..4)
}

fn assert_one_client(header: ForwardedHeader, lines: &[Vec<&str>], gaps: &[String]) {
    let plain: Vec<String> = lines.iter().map(|line| line.join(", ")).collect();
    let padded = padded(lines, gaps);
    assert_eq!(client(header, &padded), client(header, &plain), "{padded:?} for {plain:?}");
}

/// Each pair of an element of `Forwarded` may be empty (RFC 7239, section 4), and so all of them.
#[test]
fn an_element_of_forwarded_without_a_pair_is_empty() {
    for empty in [";", " ; ", ";;", "\t;; ;"] {
        for line in
            [format!("for=198.51.100.7,{empty}"), format!("for=198.51.100.7, for=10.1.1.1,{empty}, {empty}")]
        {
            let client = client(ForwardedHeader::Forwarded, std::slice::from_ref(&line));
            assert_eq!(client, IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)), "{line}");
        }
    }
}

/// `X-Forwarded-For` has no pairs.
#[test]
fn a_semicolon_in_x_forwarded_for_is_no_empty_element() {
    let client = client(ForwardedHeader::XForwardedFor, &["198.51.100.7,;".to_owned()]);
    assert_eq!(client, IpAddr::V4(Ipv4Addr::new(10, 9, 9, 9)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn empty_elements_of_x_forwarded_for_change_no_identity(
        lines in lines_of(ADDRESSES),
        gaps in proptest::collection::vec(gap(), 1..12),
    ) {
        assert_one_client(ForwardedHeader::XForwardedFor, &lines, &gaps);
    }

    #[test]
    fn empty_elements_of_forwarded_change_no_identity(
        lines in lines_of(FORWARDED),
        gaps in proptest::collection::vec(gap(), 1..12),
    ) {
        assert_one_client(ForwardedHeader::Forwarded, &lines, &gaps);
    }
}
