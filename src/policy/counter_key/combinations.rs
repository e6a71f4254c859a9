//! The keys of a request that has different values for a part.

use super::values::{Found, Request, Value};
use super::{HashKey, KeyPart, MAX_CLIENTS, Resolved};

/// Resolves a key from the first part on that has several values. `start` is the text of the parts before it.
#[cold]
pub(super) fn resolve(
    request: &Request<'_>,
    hash_key: &HashKey,
    start: String,
    (part, values): (&KeyPart, Vec<Value<'_>>),
    rest: &[KeyPart],
) -> Resolved {
    let combined = combine(&[start], &values, hash_key);
    let Some(mut texts) = combined else { return Resolved::TooMany(part.to_string()) };
    for part in rest {
        let values = match request.find(part) {
            Found::One(value) => vec![value],
            Found::Several(values) => values,
            Found::None => match request.stand_in(part) {
                Ok(value) => vec![value],
                Err(resolved) => return resolved,
            },
        };
        texts.iter_mut().for_each(|text| text.push(','));
        match combine(&texts, &values, hash_key) {
            Some(combined) => texts = combined,
            None => return Resolved::TooMany(part.to_string()),
        }
    }
    Resolved::Clients(texts)
}

/// Returns each text with each value. None: those are too many.
fn combine(texts: &[String], values: &[Value<'_>], hash_key: &HashKey) -> Option<Vec<String>> {
    if texts.len() * values.len() > MAX_CLIENTS {
        return None;
    }
    let combined = texts.iter().flat_map(|text| values.iter().map(move |value| (text, value)));
    let combined = combined.map(|(text, value)| {
        let mut text = text.clone();
        value.push_to(&mut text, hash_key);
        text
    });
    Some(combined.collect())
}
