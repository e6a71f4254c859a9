use proptest::prelude::*;

use super::Framing;
use crate::bounds::Bounds;
use crate::policy::Policy;
use crate::policy::live::Live;
use crate::server::http1::head::HeadBounds;
use crate::server::http1::malformed::Malformed;

const MESSAGES: [&str; 5] = [
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;\r\n",
];

/// Feeds `portions` as a connection does: what is not handed on is kept, and offered again with what follows. Returns
/// the number of bytes handed on, the number of heads among them, and the fault at the end.
fn feed(portions: &[&[u8]]) -> (usize, usize, Option<Malformed>) {
    let (mut framing, bounds) = (Framing::default(), HeadBounds::from(&Bounds::default()));
    let policy = Live::new(Policy::default());
    let (mut kept, mut handed_on, mut heads) = (Vec::new(), 0, 0);
    for portion in portions {
        kept.extend_from_slice(portion);
        while !kept.is_empty() {
            let in_head = framing.is_head();
            match framing.advance(&kept, &bounds, &policy) {
                Ok(0) if framing.drop_empty_lines() => {
                    handed_on += kept.len();
                    kept.clear();
                }
                Ok(0) => break,
                Ok(length) => {
                    heads += usize::from(in_head);
                    handed_on += length;
                    kept.drain(..length);
                }
                Err(fault) => return (handed_on, heads, Some(fault)),
            }
        }
    }
    (handed_on, heads, None)
}

proptest! {
    #[test]
    fn portions_of_a_stream_make_no_difference(
        messages in prop::collection::vec(prop::sample::select(MESSAGES.to_vec()), 1..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream = messages.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let mut portions = Vec::new();
        let mut rest = stream.as_bytes();
        for (cut, before) in cuts.iter().zip([0].iter().chain(&cuts)) {
            let (portion, after) = rest.split_at(cut - before);
            portions.push(portion);
            rest = after;
        }
        portions.push(rest);
        let (whole, cut) = (feed(&[stream.as_bytes()]), feed(&portions));
        prop_assert_eq!((whole.1, whole.2), (cut.1, cut.2));
        if whole.2.is_none() {
            prop_assert_eq!((whole.0, cut.0), (stream.len(), stream.len()));
        }
    }
}

#[test]
fn bytes_after_an_upgrade_are_not_handed_on() {
    let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(feed(&[format!("{head}GET / HTTP/1.1\r\n").as_bytes()]), (head.len(), 1, None));
}
