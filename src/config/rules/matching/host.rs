//! Reads patterns of hosts. Pure.

use std::net::Ipv6Addr;

use crate::config::diagnostic::{Fault, shown};
use crate::policy::host_pattern::HostPattern;

pub(super) fn host(text: &str) -> Result<HostPattern, Fault> {
    const HELP: &str = "expected a name such as api.example.com, or \"*.example.com\" for all names below it";
    let fault = |why: &str| Fault::new(format!("invalid host '{}'{why}", shown(text)), HELP);
    if !text.is_ascii() {
        let message = format!("invalid host '{}': it is not ASCII", shown(text));
        return Err(Fault::new(message, "expected the name as it is sent, in punycode: xn--..."));
    }
    let lower = text.to_ascii_lowercase();
    if let Some(inner) = lower.strip_prefix('[') {
        // Compared without the brackets, in the form that clients send.
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return address
            .map(|address| HostPattern::Exact(address.to_string().into()))
            .ok_or_else(|| fault(""));
    }
    if lower.contains("://") || lower.contains('/') {
        return Err(fault(": it is a URL"));
    }
    if lower.contains(':') {
        return Err(fault(": it has a port, and hosts are compared without it"));
    }
    if lower == "*" {
        return Err(Fault::new("invalid host '*'", "leave hosts out to match every host"));
    }
    let (below, name) = lower.strip_prefix("*.").map_or((false, &*lower), |name| (true, name));
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(plain);
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(fault(""));
    }
    Ok(if below { HostPattern::Below(format!(".{name}").into()) } else { HostPattern::Exact(name.into()) })
}
