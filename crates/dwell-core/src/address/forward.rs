//! Loopback addresses for services that run on other nodes: one for each, so that equal ports of
//! different services never meet. A service keeps its address as long as it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::PoolError;
use crate::id::EnvironmentId;
use crate::name::{NodeName, ServiceName};

/// The range that loopback addresses are taken from; `127.224.0.0/16` by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LoopbackPool(Ipv4Net);

/// A service of an environment on another node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Destination {
    /// The node.
    pub node: NodeName,
    /// The environment.
    pub environment: EnvironmentId,
    /// The service.
    pub service: ServiceName,
}

/// All addresses are taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no free address is left in the loopback pool {pool} for {missing} more services")]
pub struct LoopbackExhausted {
    /// The pool.
    pub pool: LoopbackPool,
    /// How many services got none.
    pub missing: usize,
}

impl LoopbackPool {
    /// Makes a pool of a loopback network; bits of the host part are cleared.
    ///
    /// # Errors
    /// When it is not loopback, too small or large, or holds the addresses that programs use.
    pub fn new(net: Ipv4Net) -> Result<Self, PoolError> {
        let refuse = |why| Err(PoolError { given: net.to_string(), why });
        if !net.network().is_loopback() {
            return refuse("it is not in 127.0.0.0/8");
        }
        if !(9..=24).contains(&net.prefix_len()) {
            return refuse("it is not a /9 to /24");
        }
        if net.contains(&Ipv4Addr::LOCALHOST) || net.contains(&Ipv4Addr::new(127, 0, 53, 53)) {
            return refuse("it holds addresses that others use");
        }
        Ok(Self(net.trunc()))
    }

    /// The pool as a network.
    pub fn net(&self) -> Ipv4Net {
        self.0
    }

    /// Whether an address is one that services can get: not the first or last of a /24, which
    /// some programs take for a network or broadcast address.
    pub fn offers(&self, address: Ipv4Addr) -> bool {
        self.0.contains(&address) && !matches!(address.octets(), [.., 0 | 255])
    }

    fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        let (first, last) = (u32::from(self.0.network()), u32::from(self.0.broadcast()));
        (first..=last)
            .map(Ipv4Addr::from)
            .filter(|address| !matches!(address.octets(), [.., 0 | 255]))
    }
}

impl Default for LoopbackPool {
    fn default() -> Self {
        Self(Ipv4Net::new_assert(Ipv4Addr::new(127, 224, 0, 0), 16))
    }
}

impl FromStr for LoopbackPool {
    type Err = PoolError;
    fn from_str(text: &str) -> Result<Self, PoolError> {
        let why = "it is not a network such as 127.224.0.0/16";
        let net = text.parse().map_err(|_| PoolError { given: text.to_owned(), why })?;
        Self::new(net)
    }
}

crate::text::as_text!(LoopbackPool);

impl fmt::Display for LoopbackPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The address of each wanted service: the one that it holds, or else the lowest that nobody
/// holds. `held` are all that were given so far, of services that are not wanted too; `busy` are
/// addresses that something else uses. One that is held outside the pool, or twice, is given up.
///
/// # Errors
/// When there are not enough addresses. Nothing is given then.
pub fn loopback_addresses(
    pool: LoopbackPool,
    held: &BTreeMap<Destination, Ipv4Addr>,
    busy: &BTreeSet<Ipv4Addr>,
    wanted: &BTreeSet<Destination>,
) -> Result<BTreeMap<Destination, Ipv4Addr>, LoopbackExhausted> {
    let mut taken = busy.clone();
    let mut found = BTreeMap::new();
    for (destination, address) in held.iter().filter(|(_, address)| pool.offers(**address)) {
        let own = !busy.contains(address) && taken.insert(*address);
        if own && wanted.contains(destination) {
            found.insert(destination.clone(), *address);
        }
    }
    let mut free = pool.addresses().filter(|address| !taken.contains(address));
    let without = wanted.iter().filter(|destination| !found.contains_key(*destination));
    let without: Vec<_> = without.cloned().collect();
    let total = without.len();
    for (count, destination) in without.into_iter().enumerate() {
        let missing = total.saturating_sub(count);
        let address = free.next().ok_or(LoopbackExhausted { pool, missing })?;
        found.insert(destination, address);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn to(service: u16) -> Destination {
        Destination {
            node: "staging".parse().unwrap(),
            environment: EnvironmentId::from_random([1; 8]),
            service: format!("s{service:05}").parse().unwrap(),
        }
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn the_lowest_free_address_is_given_and_kept() {
        let pool = LoopbackPool::default();
        let (none, nobody) = (BTreeMap::new(), BTreeSet::new());
        let first = loopback_addresses(pool, &none, &nobody, &[to(1), to(2)].into()).unwrap();
        assert_eq!(first[&to(1)], ip("127.224.0.1"));
        assert_eq!(first[&to(2)], ip("127.224.0.2"));
        let held = BTreeMap::from([(to(2), ip("127.224.0.2"))]);
        let busy = [ip("127.224.0.1")].into();
        let next = loopback_addresses(pool, &held, &busy, &[to(0), to(2)].into()).unwrap();
        assert_eq!(next[&to(2)], ip("127.224.0.2"));
        assert_eq!(next[&to(0)], ip("127.224.0.3"));
        let moved = loopback_addresses(pool, &held, &[ip("127.224.0.2")].into(), &[to(2)].into());
        assert_eq!(moved.unwrap()[&to(2)], ip("127.224.0.1"), "what another took is given up");
    }

    #[test]
    fn network_and_broadcast_addresses_are_never_given() {
        let pool: LoopbackPool = "127.9.8.0/23".parse().unwrap();
        let wanted: BTreeSet<_> = (0..508).map(to).collect();
        let found = loopback_addresses(pool, &BTreeMap::new(), &BTreeSet::new(), &wanted).unwrap();
        assert!(found.values().all(|address| !matches!(address.octets(), [.., 0 | 255])));
        let more: BTreeSet<_> = (0..510).map(to).collect();
        let error = loopback_addresses(pool, &found, &BTreeSet::new(), &more).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no free address is left in the loopback pool 127.9.8.0/23 for 2 more services"
        );
    }

    #[test]
    fn pools_are_loopback_and_nobody_elses() {
        for bad in [
            "127.0.0.0/8",
            "127.0.0.0/16",
            "127.0.53.0/24",
            "10.0.0.0/16",
            "127.224.0.0/25",
            "x",
            "126.0.0.0/8",
        ] {
            assert!(bad.parse::<LoopbackPool>().is_err(), "{bad}");
        }
        assert_eq!("127.128.3.4/9".parse::<LoopbackPool>().unwrap().to_string(), "127.128.0.0/9");
    }

    proptest! {
        #[test]
        fn addresses_are_unique_in_the_pool_and_stable(
            held in prop::collection::btree_map(0_u16..40, 0_u32..600, 0..40),
            busy in prop::collection::btree_set(0_u32..600, 0..40),
            wanted in prop::collection::btree_set(0_u16..60, 0..60),
        ) {
            let pool: LoopbackPool = "127.9.8.0/23".parse().unwrap();
            let address = |offset: u32| Ipv4Addr::from(u32::from(ip("127.9.8.0")) + offset);
            let held = held.into_iter().map(|(s, offset)| (to(s), address(offset))).collect();
            let busy = busy.into_iter().map(address).collect();
            let wanted: BTreeSet<_> = wanted.into_iter().map(to).collect();
            let found = loopback_addresses(pool, &held, &busy, &wanted).unwrap();
            prop_assert_eq!(found.keys().collect::<Vec<_>>(), wanted.iter().collect::<Vec<_>>());
            let unique: BTreeSet<_> = found.values().collect();
            prop_assert_eq!(unique.len(), found.len());
            prop_assert!(found.values().all(|a| pool.offers(*a) && !busy.contains(a)));
            for (destination, address) in &found {
                let others = held.iter().filter(|(other, a)| *other != destination && *a == address);
                prop_assert!(others.count() == 0 || held.get(destination) == Some(address));
            }
            prop_assert_eq!(&loopback_addresses(pool, &found, &busy, &wanted).unwrap(), &found);
        }
    }
}
