//! The slots of a Redis Cluster: which slot a key belongs to.

use std::sync::LazyLock;

/// The number of slots.
pub(crate) const SLOTS: u16 = 16384;

/// Returns the slot of a key: by what is between its first braces, unless that is empty.
pub(crate) fn of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(key);
    crc16::State::<crc16::XMODEM>::calculate(hashed.as_bytes()) % SLOTS
}

/// Returns a text that, between braces, puts a key into that slot.
pub(crate) fn tag(slot: u16) -> u32 {
    static TAGS: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let mut tags: Vec<Option<u32>> = vec![None; usize::from(SLOTS)];
        let mut missing = tags.len();
        for number in 0_u32.. {
            if let Some(tag @ None) = tags.get_mut(usize::from(of(&number.to_string()))) {
                *tag = Some(number);
                missing -= 1;
            }
            if missing == 0 {
                break;
            }
        }
        tags.into_iter().flatten().collect()
    });
    TAGS.get(usize::from(slot)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{SLOTS, of, tag};

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        // As CLUSTER KEYSLOT reports.
        assert_eq!(of("123456789"), 12_739);
        assert_eq!(of("somekey"), 11_058);
        assert_eq!(of("foo{hash_tag}"), 2_515);
        assert_eq!(of("bar{hash_tag}"), 2_515);
        assert_eq!(of("foo{{bar}}zap"), of("{bar"), "the first closing brace ends it");
        assert_ne!(of("foo{}{bar}"), of("bar"), "nothing between the first braces: the whole key");
    }

    #[test]
    fn every_slot_has_a_tag() {
        for slot in 0..SLOTS {
            assert_eq!(of(&format!("any:{{{}}}:key", tag(slot))), slot);
        }
    }
}
