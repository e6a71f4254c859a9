//! A set of addresses, given as networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// The networks, without any that lies in another one, in ascending order: there may be thousands of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Box<[IpNet]>);

impl Networks {
    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether one of them has the address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let after = self.0.partition_point(|network| network.network() <= address);
        let before = after.checked_sub(1).and_then(|last| self.0.get(last));
        before.is_some_and(|network| network.contains(&address))
    }

    /// Returns whether all their addresses are in `other` too.
    #[must_use]
    pub(crate) fn are_within(&self, other: &Self) -> bool {
        self.0.iter().all(|mine| other.0.iter().any(|theirs| theirs.contains(mine)))
    }

    /// Returns whether no address is in both.
    #[must_use]
    pub(super) fn are_apart_from(&self, other: &Self) -> bool {
        let overlap = |one: &IpNet, two: &IpNet| one.contains(two) || two.contains(one);
        !self.0.iter().any(|mine| other.0.iter().any(|theirs| overlap(mine, theirs)))
    }

    /// The networks.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &IpNet> {
        self.0.iter()
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<T: IntoIterator<Item = IpNet>>(networks: T) -> Self {
        let networks: Vec<IpNet> = networks.into_iter().collect();
        let mut apart = IpNet::aggregate(&networks);
        apart.sort_by_key(IpNet::network);
        Self(apart.into())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use ipnet::IpNet;
    use proptest::prelude::*;

    use super::Networks;

    fn network() -> impl Strategy<Value = IpNet> {
        let v4 = (0..64_u32, 26..=32_u8)
            .prop_map(|(last, prefix)| IpNet::new(Ipv4Addr::from(last).into(), prefix).unwrap().trunc());
        let v6 = (0..64_u128, 122..=128_u8)
            .prop_map(|(last, prefix)| IpNet::new(Ipv6Addr::from(last).into(), prefix).unwrap().trunc());
        prop_oneof![v4, v6]
    }

    fn addresses() -> impl Iterator<Item = IpAddr> {
        let v4 = (0..80_u32).map(|last| IpAddr::from(Ipv4Addr::from(last)));
        v4.chain((0..80_u128).map(|last| IpAddr::from(Ipv6Addr::from(last))))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_set_has_what_its_networks_have(
            one in proptest::collection::vec(network(), 0..12),
            two in proptest::collection::vec(network(), 0..12),
        ) {
            let has = |networks: &[IpNet], address: &IpAddr| networks.iter().any(|net| net.contains(address));
            let sets: [Networks; 2] = [one.iter().copied().collect(), two.iter().copied().collect()];
            for address in addresses() {
                prop_assert_eq!(sets[0].contains(address), has(&one, &address), "{}", address);
            }
            let both = |address: &IpAddr| has(&one, address) && has(&two, address);
            prop_assert_eq!(sets[0].are_apart_from(&sets[1]), !addresses().any(|address| both(&address)));
            let only_one = |address: &IpAddr| has(&one, address) && !has(&two, address);
            prop_assert_eq!(sets[0].are_within(&sets[1]), !addresses().any(|address| only_one(&address)));
        }
    }
}
