//! The response to a request over the limit, where a rule has one of its own. Pure.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

/// The parts of a rule's response that replace those of the standard one: 429 with a problem that names the limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomResponse {
    /// The status instead of 429.
    pub status: Option<StatusCode>,
    /// The body instead of the problem. Its type is among the `headers`.
    pub body: Option<BodyTemplate>,
    /// Fields that are added, or that replace those of the standard response.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Up to this many percent of the wait are added to it at random, so that clients do not all return at once.
    pub retry_jitter: u8,
}

/// A body with placeholders: a word in braces. Braces around anything else are text, so that JSON needs no escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyTemplate {
    /// The same for every request.
    Fixed(Bytes),
    /// Depends on the request.
    Composed(Vec<Piece>),
}

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text.
    Text(Box<str>),
    /// The value of `Retry-After`.
    RetryAfter,
    /// The quota of the limit that refused.
    Limit,
}

/// A word in braces that is not a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPlaceholder(pub String);

/// Room for the numbers in a body.
const DIGITS: usize = 20;

impl BodyTemplate {
    /// The placeholders, without their braces.
    pub const PLACEHOLDERS: [&'static str; 3] = ["retry_after", "rule", "limit"];

    /// Reads the body of the rule `rule`, whose name is filled in at once.
    ///
    /// # Errors
    /// The first word in braces that is not a placeholder.
    pub fn parse(text: &str, rule: &str) -> Result<Self, UnknownPlaceholder> {
        let (mut pieces, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some((before, word, after)) = next_word(rest) {
            literal.push_str(before);
            rest = after;
            let piece = match word {
                "rule" => {
                    literal.push_str(rule);
                    continue;
                }
                "retry_after" => Piece::RetryAfter,
                "limit" => Piece::Limit,
                unknown => return Err(UnknownPlaceholder(unknown.to_owned())),
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
            }
            pieces.push(piece);
        }
        literal.push_str(rest);
        if pieces.is_empty() {
            return Ok(Self::Fixed(Bytes::from(literal)));
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        Ok(Self::Composed(pieces))
    }

    /// Returns the body for a client that can retry after this many seconds, refused by a limit of this quota.
    #[must_use]
    pub fn fill(&self, retry_after: i64, quota: i64) -> Bytes {
        let pieces = match self {
            Self::Fixed(body) => return body.clone(),
            Self::Composed(pieces) => pieces,
        };
        let mut body = String::with_capacity(pieces.iter().map(Piece::room).sum());
        let mut digits = itoa::Buffer::new();
        for piece in pieces {
            body.push_str(match piece {
                Piece::Text(text) => text,
                Piece::RetryAfter => digits.format(retry_after),
                Piece::Limit => digits.format(quota),
            });
        }
        Bytes::from(body)
    }
}

impl Piece {
    fn room(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::RetryAfter | Self::Limit => DIGITS,
        }
    }
}

/// Finds the first word in braces. Returns what is before it, the word, and what is after it.
fn next_word(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let (before, open) = text.split_at(from + text.get(from..)?.find('{')?);
        let inner = open.strip_prefix('{')?;
        let end = inner.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
        let (word, after) = inner.split_at(end.unwrap_or(inner.len()));
        match after.strip_prefix('}') {
            Some(after) if !word.is_empty() => return Some((before, word, after)),
            _ => from = before.len() + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BodyTemplate, UnknownPlaceholder};

    fn filled(text: &str) -> Result<String, UnknownPlaceholder> {
        let body = BodyTemplate::parse(text, "orders")?.fill(17, 30);
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn placeholders_are_replaced_by_their_values() {
        assert_eq!(filled("{rule}: {limit}, {retry_after}s").as_deref(), Ok("orders: 30, 17s"));
    }

    #[test]
    fn braces_of_json_are_text() {
        let filled = filled(r#"{"error":{"rule":"{rule}","wait":{retry_after}},"none":{},"s":"{"}"#);
        assert_eq!(filled.as_deref(), Ok(r#"{"error":{"rule":"orders","wait":17},"none":{},"s":"{"}"#));
    }

    #[test]
    fn a_brace_before_a_placeholder_is_text() {
        assert_eq!(filled("{{limit}}{ é {retry_after}").as_deref(), Ok("{30}{ é 17"));
    }

    #[test]
    fn a_body_that_no_request_changes_is_prepared_once() {
        let body = BodyTemplate::parse("over the limit of {rule}", "orders");
        assert_eq!(body, Ok(BodyTemplate::Fixed("over the limit of orders".into())));
    }

    #[test]
    fn another_word_in_braces_is_not_a_placeholder() {
        for (text, word) in [("a {retry-after}", "retry-after"), ("{Limit}", "Limit"), ("{a{x}", "x")] {
            assert_eq!(filled(text), Err(UnknownPlaceholder(word.to_owned())), "{text}");
        }
    }
}
