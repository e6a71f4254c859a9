//! Reads patterns of names in certificates. Pure.

use crate::config::diagnostic::{Fault, shown};
use crate::config::report::Spanned;
use crate::policy::bypass::NamePattern;

pub(super) fn patterns(texts: &[Spanned<String>]) -> Vec<NamePattern> {
    let mut patterns = Vec::with_capacity(texts.len());
    for Spanned { value: text, location } in texts {
        let Some(pattern) = location.check(pattern(text)) else { continue };
        if let NamePattern::Start(start) = &pattern {
            let (scheme, rest) = start.split_once("://").unwrap_or(("", start));
            if start.is_empty() {
                let message = "this lets every client with a certificate through";
                location.warn(message, "expected the start of their names: spiffe://prod/ns/jobs/*");
            } else if !scheme.is_empty() && !rest.contains('/') {
                let message = format!(
                    "'{}' ends before the trust domain does: names of other domains start in the same way",
                    shown(text)
                );
                location.warn(message, "expected the whole trust domain: spiffe://prod/*");
            }
        }
        patterns.push(pattern);
    }
    patterns
}

fn pattern(text: &str) -> Result<NamePattern, Fault> {
    const HELP: &str = "expected a name such as spiffe://prod/ns/jobs/sa/batch or batch.example.com, or its start: spiffe://prod/*";
    let (name, open) = text.strip_suffix('*').map_or((text, false), |start| (start, true));
    if name.contains('*') {
        let message = format!("invalid name '{}': a '*' is only valid at the end", shown(text));
        return Err(Fault::new(message, "expected one '*', at the end: it stands for all that may follow"));
    }
    let uri = is_uri(name, open);
    if !uri && !is_dns(name, open) {
        let message = format!("invalid certificate name '{}': neither a URI nor a DNS name", shown(text));
        return Err(Fault::new(message, HELP));
    }
    Ok(match (open, uri) {
        (true, _) => NamePattern::Start(name.into()),
        (false, true) => NamePattern::Uri(name.into()),
        (false, false) => NamePattern::Dns(name.into()),
    })
}

/// A scheme, a colon, and something that a URI can hold; only the start of it, if it is `open`.
fn is_uri(name: &str, open: bool) -> bool {
    let Some((scheme, rest)) = name.split_once(':') else { return false };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(plain)
        && (open || !rest.trim_start_matches('/').is_empty())
        && rest.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b))
}

fn is_dns(name: &str, open: bool) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    let whole = if open { name.strip_suffix('.').unwrap_or(name) } else { name };
    name.len() <= 253 && ((open && name.is_empty()) || whole.split('.').all(label))
}
