//! A model of servers that take many spellings of a path for one resource: each habit is that of a server or
//! framework in wide use, and a server may have any of them together.

use std::collections::BTreeSet;

/// Habits that no spelling may use to get past a rule.
#[derive(Clone, Copy)]
enum Habit {
    /// Tomcat, Jetty and Spring take `;v=1` away before they decode.
    Parameters,
    /// Servers on Windows, and URL parsers of browsers and Node.
    Backslash,
    /// Decoders of UTF-8 that do not look whether a form is the shortest.
    Overlong,
    /// IIS decodes `%u002f`.
    UnicodeEscape,
    /// What is written in C stops at a NUL.
    Nul,
    /// Node's `new URL(request.url, base)` takes `//name/path` for a host and a path.
    NetworkPath,
    /// nginx (`merge_slashes`) and Apache.
    MergeSlashes,
    /// All that map a path to files, and URL parsers.
    Dots,
    /// Express, Spring, Rails, Flask with `strict_slashes` off; Django's APPEND_SLASH redirects to the other.
    TrailingSlash,
}

/// In the order in which a server would do them: what is raw, then what is decoded.
const HABITS: [Habit; 9] = [
    Habit::NetworkPath,
    Habit::Parameters,
    Habit::UnicodeEscape,
    Habit::Overlong,
    Habit::Nul,
    Habit::Backslash,
    Habit::MergeSlashes,
    Habit::Dots,
    Habit::TrailingSlash,
];

/// Habits that are not seen through, each for its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// `%252e`: what decodes twice can no longer tell a percent sign from an escape; a fault, not a habit.
    DecodesTwice,
    /// Express, IIS: where letters are ids they differ, so it is the operator's to say (`case: insensitive`).
    IgnoresCase,
    /// Files on Windows: `tasks.` and `tasks ` are `tasks`. Elsewhere they are names like others.
    TrimsDotsAndBlanks,
    /// Rails serves `tasks.json` by the route of `tasks`. It is another answer, and takes a rule of its own.
    StripsFormat,
    /// No server in wide use takes `%3B` for the start of parameters: RFC 3986 makes it data.
    DecodesBeforeParameters,
    /// Windows code pages map look-alikes (U+FF0F) to ASCII.
    MapsLookAlikes,
}

/// Every resource that some server may take a request target for.
pub fn readings(target: &str) -> BTreeSet<Vec<u8>> {
    let path = target.split(['?', '#']).next().unwrap();
    let all = (0..1_u32 << HABITS.len()).map(|chosen| {
        let has = |place: usize| chosen & 1 << place != 0;
        let (raw, decoded) = HABITS.split_at(3);
        let read = |read: Vec<u8>, (_, habit): (usize, &Habit)| habit.read(&read);
        let text = raw.iter().enumerate().filter(|(place, _)| has(*place)).fold(path.into(), read);
        let text = decode(&text);
        decoded.iter().enumerate().filter(|(place, _)| has(place + raw.len())).fold(text, read)
    });
    all.collect()
}

impl Habit {
    fn read(self, path: &[u8]) -> Vec<u8> {
        let replaced = |from: &str, to: &str| latin(path).replace(from, to).chars().map(byte).collect();
        match self {
            Self::Parameters => join(split(path).map(|segment| bare(segment).to_vec())),
            Self::Backslash => replaced("\\", "/"),
            Self::Overlong => {
                let shorter = [("\u{c0}\u{af}", "/"), ("\u{c0}\u{ae}", "."), ("\u{e0}\u{80}\u{af}", "/")];
                let text = shorter.into_iter().fold(latin(path), |text, (from, to)| text.replace(from, to));
                text.chars().map(byte).collect()
            }
            Self::UnicodeEscape => replaced("%u00", "%"),
            Self::Nul => path.split(|&b| b == 0).next().unwrap().to_vec(),
            Self::NetworkPath => match path.strip_prefix(b"//") {
                Some(rest) => rest[rest.iter().position(|&b| b == b'/').unwrap_or(rest.len())..].to_vec(),
                None => path.to_vec(),
            },
            Self::MergeSlashes => {
                let mut merged = path.to_vec();
                merged.dedup_by(|a, b| *a == b'/' && *b == b'/');
                merged
            }
            Self::Dots => resolved(path),
            Self::TrailingSlash => path.strip_suffix(b"/").unwrap_or(path).to_vec(),
        }
    }
}

impl Beyond {
    /// The target as the servers of this habit take it.
    pub fn read(self, target: &str) -> String {
        let once = || latin(&decode(target.as_bytes()));
        match self {
            Self::DecodesTwice => once(),
            Self::IgnoresCase => target.to_ascii_lowercase(),
            Self::TrimsDotsAndBlanks => once().trim_end_matches(['.', ' ', '/']).to_owned(),
            Self::StripsFormat => target.rsplit_once('.').unwrap().0.to_owned(),
            Self::DecodesBeforeParameters => once().split(';').next().unwrap().to_owned(),
            Self::MapsLookAlikes => target.replace("%EF%BC%8F", "/").replace("%EF%BD%94", "t"),
        }
    }
}

/// Each byte as a character, so that texts' methods apply.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn byte(character: char) -> u8 {
    u8::try_from(character).unwrap()
}

/// What can be decoded; the rest stays as it is.
fn decode(mut text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((&first, rest)) = text.split_first() {
        let digits = rest.get(..2).and_then(|pair| str::from_utf8(pair).ok()).filter(|_| first == b'%');
        let escaped = digits.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        let escaped = escaped.map(|pair| u8::from_str_radix(pair, 16).unwrap());
        out.push(escaped.unwrap_or(first));
        text = if escaped.is_some() { &rest[2..] } else { rest };
    }
    out
}

fn split(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|&b| b == b'/')
}

fn bare(segment: &[u8]) -> &[u8] {
    segment.split(|&b| b == b';').next().unwrap()
}

fn join(segments: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    segments.collect::<Vec<_>>().join(&b'/')
}

fn resolved(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let last = split(path).count() - 1;
    for (place, segment) in split(path).enumerate() {
        let dots = matches!(segment, b"." | b"..");
        // The first one is what stands before the root's slash.
        if segment == b".." && kept.len() > 1 {
            kept.pop();
        }
        if !dots {
            kept.push(segment);
        } else if place == last {
            kept.push(b"");
        }
    }
    kept.join(&b'/')
}

#[test]
fn the_model_takes_spellings_for_the_resource() {
    for target in [
        "/a/b",
        "/a/b?x",
        "/a/b/",
        "//a//b",
        "/a/./b",
        "/a/x/../b",
        "/x/..%2fa/b",
        "/a%5cb",
        "/a;v=1/b;c",
        "/a/%2E/b",
        "/a/..;/a/b",
        "/a%c0%afb",
        "/a%u002fb",
        "/a/b%00.png",
        "//host/a/b",
        "/a/;/b",
        "/a/b/.",
    ] {
        assert!(readings(target).contains(&b"/a/b"[..]), "{target}");
    }
    for target in ["/a/c", "/a/b/c", "/A/b", "/a/%2562", "/a/b."] {
        assert!(!readings(target).contains(&b"/a/b"[..]), "{target}");
    }
}
