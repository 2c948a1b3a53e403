//! A claim on a name, with the DNS records of its answer made once and in advance.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use super::Name;

/// How long an answer may be kept, in seconds.
pub(crate) const TTL: u32 = 1;

/// The records of one type, ready for the wire: each names the question by compression.
pub(crate) struct Records {
    /// The bytes of all records.
    pub(crate) wire: Box<[u8]>,
    /// How many there are.
    pub(crate) count: u16,
}

/// A published name and its answers.
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) v4: Records,
    pub(crate) v6: Records,
}

/// One owner's hold on one name.
#[derive(Clone)]
pub(crate) struct Claim {
    pub(crate) owner: Arc<str>,
    pub(crate) entry: Arc<Entry>,
}

impl Entry {
    pub(crate) fn new(name: Name) -> Self {
        let v4 = records(1, &name.addresses, |address| match address {
            IpAddr::V4(v4) => Some(v4.octets()),
            IpAddr::V6(_) => None,
        });
        let v6 = records(28, &name.addresses, |address| match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6.octets()),
        });
        Self { name, v4, v6 }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.wildcard {
            f.write_str("*.")?;
        }
        f.write_str(&self.name.fqdn)
    }
}

/// The most addresses of one kind that an answer gives; well below what a TCP message holds.
const ADDRESSES_MAX: usize = 1000;

fn records<const N: usize>(
    kind: u8,
    addresses: &[IpAddr],
    pick: impl Fn(&IpAddr) -> Option<[u8; N]>,
) -> Records {
    let mut wire = Vec::new();
    let mut count = 0;
    for octets in addresses.iter().filter_map(pick).take(ADDRESSES_MAX) {
        wire.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1]);
        wire.extend_from_slice(&TTL.to_be_bytes());
        wire.extend_from_slice(&[0, u8::try_from(N).unwrap_or_default()]);
        wire.extend_from_slice(&octets);
        count += 1;
    }
    Records { wire: wire.into(), count }
}

/// What to say about a name with several owners: who they are and what to use instead.
pub(crate) fn ambiguity(claims: &[Claim]) -> String {
    const SHOWN: usize = 4;
    let names = || claims.iter().map(|claim| &claim.entry.name).take(SHOWN);
    let owners: Vec<&str> = names().map(|name| name.owner_label.as_str()).collect();
    let instead: Vec<&str> = names().filter_map(|name| name.full.as_deref()).collect();
    let mut text = format!("ambiguous: {}", owners.join(" and "));
    if claims.len() > SHOWN {
        text.push_str(&format!(" and {} more", claims.len() - SHOWN));
    }
    if !instead.is_empty() {
        text.push_str(&format!("; use {}", instead.join(" or ")));
    }
    text
}
