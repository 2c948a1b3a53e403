//! Subnets for environments, out of one pool: blocks sized to what will run in them, first fit,
//! never overlapping with anything that the machine already uses. And loopback addresses for what
//! runs on other nodes.

mod forward;

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

pub use forward::{Destination, LoopbackExhausted, LoopbackPool, loopback_addresses};

/// The longest prefix of a block: 16 addresses.
const LONGEST_PREFIX: u8 = 28;
/// The shortest prefix of a block: 4096 addresses.
const SHORTEST_PREFIX: u8 = 20;
/// Network address, gateway and broadcast address.
const RESERVED: u32 = 3;
/// Free addresses that every block has at least, so that a service can be scaled in place.
const HEADROOM: u32 = 4;

/// The most addresses that one block can have, network and broadcast address included.
pub const BLOCK_MAX: u32 = 1 << (32 - SHORTEST_PREFIX);

/// The range that environments' subnets are taken from; `10.224.0.0/16` by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pool(Ipv4Net);

/// Text that cannot be a pool.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` cannot be an address pool: {why}")]
pub struct PoolError {
    /// What was given.
    pub given: String,
    /// The reason.
    pub why: &'static str,
}

/// There is no free block of the size asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no free /{prefix} block is left in the address pool {pool}")]
pub struct PoolExhausted {
    /// The pool searched.
    pub pool: Pool,
    /// The prefix length of the block that did not fit.
    pub prefix: u8,
}

/// What one network asks of its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// How many containers will have an address in it.
    pub addresses: u32,
    /// How many addresses the block must have in all, so that pinned addresses keep their host
    /// part; 0 where nothing is pinned. More than [`BLOCK_MAX`] is cut to it.
    pub span: u32,
}

/// A machine's routes, seen from a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    /// Routes inside the pool. Nothing may be allocated over them.
    pub taken: Vec<Ipv4Net>,
    /// Routes that contain the whole pool, such as a VPN's `10.0.0.0/8`. Were they taken, nothing
    /// could be allocated, so they are for a warning only: the blocks, being more specific, win
    /// over such a route, and what the VPN has at the same addresses cannot be reached.
    pub covering: Vec<Ipv4Net>,
}

impl Pool {
    /// Makes a pool of a network; bits of the host part are cleared.
    ///
    /// # Errors
    /// When it is smaller than the smallest block, or not addresses for unicast.
    pub fn new(net: Ipv4Net) -> Result<Self, PoolError> {
        let refuse = |why| Err(PoolError { given: net.to_string(), why });
        if net.prefix_len() > LONGEST_PREFIX {
            return refuse("it is smaller than one block, which is a /28");
        }
        if net.prefix_len() < 8 {
            return refuse("it is larger than a /8");
        }
        let first = net.network();
        if first.is_loopback() || first.is_multicast() || first.octets().first() == Some(&0) {
            return refuse("it is not a range of ordinary addresses");
        }
        Ok(Self(net.trunc()))
    }

    /// The pool as a network.
    pub fn net(&self) -> Ipv4Net {
        self.0
    }

    /// Sorts a machine's routes into those to keep clear of and those to warn about. A default
    /// route (also as the two halves that VPN clients install) and routes elsewhere are neither.
    pub fn routes(&self, routes: impl IntoIterator<Item = Ipv4Net>) -> Routes {
        let mut found = Routes::default();
        for route in routes {
            if route.prefix_len() <= 1 {
                continue;
            }
            if route.contains(&self.0) {
                found.covering.push(route.trunc());
            } else if self.0.contains(&route) {
                found.taken.push(route.trunc());
            }
        }
        found
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self(Ipv4Net::new_assert(Ipv4Addr::new(10, 224, 0, 0), 16))
    }
}

impl FromStr for Pool {
    type Err = PoolError;
    fn from_str(text: &str) -> Result<Self, PoolError> {
        let why = "it is not a network such as 10.224.0.0/16";
        let net = text.parse().map_err(|_| PoolError { given: text.to_owned(), why })?;
        Self::new(net)
    }
}

crate::text::as_text!(Pool);

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Need {
    /// A block for so many containers, nothing pinned.
    pub fn of(addresses: u32) -> Self {
        Self { addresses, span: 0 }
    }

    /// The prefix length of the block that satisfies this: room for the containers, the gateway,
    /// network and broadcast address, and half as many containers again; /28 to /20.
    pub fn prefix(&self) -> u8 {
        let headroom = HEADROOM.max(self.addresses / 2);
        let wanted = self.addresses.saturating_add(RESERVED).saturating_add(headroom);
        let size = wanted.max(self.span).clamp(1 << (32 - LONGEST_PREFIX), BLOCK_MAX);
        let bits = size.next_power_of_two().trailing_zeros();
        32 - u8::try_from(bits).unwrap_or(32 - SHORTEST_PREFIX)
    }
}

/// Finds one block for each need, in their order, inside `pool` and clear of everything `taken`
/// (own blocks, Docker networks, and [`Routes::taken`]) and of each other.
///
/// # Errors
/// When a block does not fit any more. Nothing is allocated then.
pub fn allocate(
    pool: Pool,
    taken: &[Ipv4Net],
    needs: &[Need],
) -> Result<Vec<Ipv4Net>, PoolExhausted> {
    let mut used = Used::of(pool.net(), taken);
    needs
        .iter()
        .map(|need| {
            let prefix = need.prefix();
            let exhausted = PoolExhausted { pool, prefix };
            let first = used.first_fit(1 << (32 - prefix)).ok_or_else(|| exhausted.clone())?;
            let first = u32::try_from(first).map_err(|_| exhausted.clone())?;
            Ipv4Net::new(Ipv4Addr::from(first), prefix).map_err(|_| exhausted)
        })
        .collect()
}

/// The used part of a pool, as sorted, disjoint, half-open ranges. 64 bits, so that the end of
/// the last address fits.
struct Used {
    ranges: Vec<(u64, u64)>,
    pool: (u64, u64),
}

fn range(net: Ipv4Net) -> (u64, u64) {
    (u64::from(u32::from(net.network())), u64::from(u32::from(net.broadcast())) + 1)
}

impl Used {
    fn of(pool: Ipv4Net, taken: &[Ipv4Net]) -> Self {
        let pool = range(pool);
        let mut all: Vec<_> = taken
            .iter()
            .map(|net| range(*net))
            .filter(|(start, end)| *start < pool.1 && *end > pool.0)
            .collect();
        all.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::with_capacity(all.len());
        for (start, end) in all {
            match ranges.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => ranges.push((start, end)),
            }
        }
        Self { ranges, pool }
    }

    /// Takes the first free block of `size` addresses, a power of two, at a multiple of `size`.
    fn first_fit(&mut self, size: u64) -> Option<u64> {
        let mut start = self.pool.0.next_multiple_of(size);
        let mut place = self.ranges.len();
        for (index, (used_start, used_end)) in self.ranges.iter().enumerate() {
            if start + size <= *used_start {
                place = index;
                break;
            }
            start = start.max(used_end.next_multiple_of(size));
        }
        if start + size > self.pool.1 {
            return None;
        }
        self.ranges.insert(place, (start, start + size));
        Some(start)
    }
}

#[cfg(test)]
mod tests;
