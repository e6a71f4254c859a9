//! Reads the parts of a counter's key. Pure.

use http::HeaderName;

use crate::config::diagnostic::{Fault, did_you_mean, shown};
use crate::config::readable_header::{Purpose, readable};
use crate::config::section::Section;
use crate::policy::counter_key::KeyPart;
use crate::policy::matcher::Match;
use crate::policy::paths::Paths;

/// Reads the key. A path that could not be read has no parameters, and one fault is enough.
pub(super) fn read(section: &mut Section<'_>, matches: Option<&Match>) -> Option<Vec<KeyPart>> {
    let help = "expected a list of client_ip, host, method, header:NAME, cookie:NAME, query:NAME, path:NAME, tls:san; \
                [] is one bucket for all";
    let texts = section.texts("key", "parts", help)?;
    let mut parts: Vec<KeyPart> = Vec::with_capacity(texts.len());
    for at in texts {
        let Some(part) = at.check(|text| key_part(text, matches.map(|matches| &matches.path))) else {
            continue;
        };
        if parts.contains(&part.value) {
            let message = format!("duplicate key part '{}'", shown(&at.value));
            at.location.error(Fault::new(message, "keep one of the two"));
        } else {
            parts.push(part.value);
        }
    }
    Some(parts)
}

fn key_part(text: &str, paths: Option<&Paths>) -> Result<KeyPart, Fault> {
    const KINDS: [&str; 8] =
        ["client_ip", "host", "method", "header:", "cookie:", "query:", "path:", "tls:san"];
    const HELP: &str =
        "expected client_ip, host, method, header:NAME, cookie:NAME, query:NAME, path:NAME or tls:san";
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    let fault = |message: String| Err(Fault::new(message, HELP));
    match (kind, name) {
        ("client_ip", None) => Ok(KeyPart::ClientIp),
        ("host", None) => Ok(KeyPart::Host),
        ("method", None) => Ok(KeyPart::Method),
        ("tls", Some("san")) => Ok(KeyPart::TlsSan),
        ("tls", _) => {
            let message =
                format!("invalid key part '{}': only names of a certificate can be a key", shown(text));
            Err(Fault::new(message, "expected tls:san, the first verified name in the client's certificate"))
        }
        ("jwt", _) => fault(format!("the key '{}' is not built yet", shown(text))),
        ("header", Some(name)) => {
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                return fault(format!("invalid header name \'{}\'", shown(name)));
            };
            readable(&header, Purpose::Key).map(|()| KeyPart::Header(header))
        }
        ("cookie", Some(name)) if is_token(name) => Ok(KeyPart::Cookie(name.into())),
        ("cookie", Some(name)) => fault(format!("invalid cookie name \'{}\'", shown(name))),
        ("query", Some(name)) if !name.is_empty() => Ok(KeyPart::Query(name.into())),
        ("path", Some(name)) if paths.is_none_or(|paths| paths.have_param(name)) => {
            Ok(KeyPart::Path(name.into()))
        }
        ("path", Some(name)) => {
            let name = shown(name);
            let (whose, place) = match paths.map_or(1, |paths| paths.templates().len()) {
                1 => ("the rule's path has no", "the path"),
                _ => ("not each of the rule's paths has the", "each path"),
            };
            let message = format!("{whose} parameter '{name}'");
            Err(Fault::new(message, format!("expected it in {place}, such as /tasks/{{{name}}}")))
        }
        _ => {
            let guess = did_you_mean(text, &KINDS);
            Err(Fault::new(format!("invalid key part '{}'", shown(text)), format!("{guess}{HELP}")))
        }
    }
}

/// A token of RFC 9110, as names of cookies are.
fn is_token(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(plain)
}
