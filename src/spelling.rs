//! Finds the word that a misspelled one was probably meant to be. Pure.

/// The candidate that `word` was probably meant to be: at most two slips away, and less than half of it.
pub(crate) fn nearest<'c>(word: &str, candidates: &[&'c str]) -> Option<&'c str> {
    if word.len() > 64 {
        return None;
    }
    let normal = |text: &str| text.to_lowercase().replace('-', "_");
    let word = normal(word);
    // A slip adds, drops or replaces a character, or swaps two neighbors.
    let slips = |candidate: &str| strsim::osa_distance(&word, &normal(candidate));
    let slips = candidates.iter().map(|candidate| (slips(candidate), *candidate));
    let (slips, best) = slips.min_by_key(|(slips, _)| *slips)?;
    (slips <= 2 && slips * 2 < best.len()).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_near_misses_find_a_word() {
        let keys = ["rate", "burst", "on_missing", "key"];
        for (word, meant) in [
            ("rate", Some("rate")),
            ("rat", Some("rate")),
            ("raet", Some("rate")),
            ("Rates", Some("rate")),
            ("on-missing", Some("on_missing")),
            ("window", None),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &keys), meant, "{word}");
        }
    }
}
