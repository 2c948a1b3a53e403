//! The table of names: who owns which name, and at which addresses. The DNS server and the HTTP
//! proxy answer from it. Many readers, one writer at a time; an update costs what it changes and
//! holds one of many small locks for the time of one map operation.

mod entry;
mod host;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub(crate) use entry::{Claim, Entry, Records, TTL, ambiguity};
pub use host::Route;
pub(crate) use wire::{LowerName, ancestors, encode};

const SHARDS: usize = 256;

/// One published name of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The whole name without a trailing dot, such as `web.a1.shop.test`.
    pub fqdn: String,
    /// Whether every name below `fqdn` is meant, and `fqdn` itself is not.
    pub wildcard: bool,
    /// Whether it may be shared by chance with another owner. Two owners of one short name make
    /// it ambiguous; a name that is not short wins over a short one.
    pub short: bool,
    /// What to use instead of a short name that is ambiguous, such as `web.a1.shop.test`.
    pub full: Option<String>,
    /// The owner as people know it: `project/env`.
    pub owner_label: String,
    /// All addresses, in the order of the answer. None is a name that exists without an address.
    pub addresses: Vec<IpAddr>,
    /// The port that the HTTP proxy sends requests for this name to; none is not served there.
    pub http_port: Option<u16>,
    /// Why nobody can be reached by this name just now, though it is known; `None` while somebody
    /// can.
    pub unreachable: Option<String>,
}

impl Name {
    /// A name that is neither short nor a wildcard and has no HTTP port.
    pub fn new(fqdn: &str, owner_label: &str, addresses: Vec<IpAddr>) -> Self {
        Self {
            fqdn: fqdn.to_owned(),
            wildcard: false,
            short: false,
            full: None,
            owner_label: owner_label.to_owned(),
            addresses,
            http_port: None,
            unreachable: None,
        }
    }

    /// The same as a short name; `full` is what to use when it is ambiguous.
    #[must_use]
    pub fn short(mut self, full: Option<&str>) -> Self {
        self.short = true;
        self.full = full.map(str::to_owned);
        self
    }

    /// The same for every name below it.
    #[must_use]
    pub fn wildcard(mut self) -> Self {
        self.wildcard = true;
        self
    }

    /// The same while nobody can be reached by it.
    #[must_use]
    pub fn unreachable(mut self, why: &str) -> Self {
        self.unreachable = Some(why.to_owned());
        self
    }

    /// The same with the port that the HTTP proxy uses.
    #[must_use]
    pub fn http(mut self, port: u16) -> Self {
        self.http_port = Some(port);
        self
    }
}

/// A name that cannot be published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{fqdn}` cannot be published: it is not a DNS name")]
pub struct NameTableError {
    /// The name.
    pub fqdn: String,
}

#[derive(Default)]
struct Node {
    exact: Vec<Claim>,
    wildcard: Vec<Claim>,
    /// How many claims there are below this name.
    below: u32,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty() && self.below == 0
    }

    fn claims(&mut self, wildcard: bool) -> &mut Vec<Claim> {
        if wildcard { &mut self.wildcard } else { &mut self.exact }
    }
}

/// What the table knows about one name.
pub(crate) enum Lookup<'a> {
    /// Exactly one owner answers for it.
    One(&'a Claim),
    /// Several do.
    Ambiguous(&'a [Claim]),
    /// It exists only because there are names below it.
    Empty,
    /// It does not exist.
    Absent,
}

type Shard = RwLock<HashMap<Box<[u8]>, Node>>;
type Owned = HashMap<(Box<[u8]>, bool), Arc<Entry>>;

/// The concurrent table of all published names.
pub struct NameTable {
    shards: Box<[Shard]>,
    owners: Mutex<HashMap<Arc<str>, Owned>>,
    hasher: RandomState,
    serial: AtomicU32,
}

impl Default for NameTable {
    fn default() -> Self {
        Self::new()
    }
}

impl NameTable {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            owners: Mutex::default(),
            hasher: RandomState::new(),
            serial: AtomicU32::new(1),
        }
    }

    /// Makes `names` all that `owner` publishes. Names that stay are never missing meanwhile; of
    /// two entries for one name the first holds. Nothing changes when a name is invalid.
    pub fn set(&self, owner: &str, names: Vec<Name>) -> Result<(), NameTableError> {
        let wanted = prepare(names)?;
        self.apply(&mut self.lock_owners(), owner, wanted);
        Ok(())
    }

    /// Takes away all that `owner` publishes.
    pub fn remove(&self, owner: &str) {
        self.apply(&mut self.lock_owners(), owner, Owned::new());
    }

    /// Makes `all` the whole content but for the owners that `keep` says; other owners that are
    /// not in it lose their names.
    pub fn replace_all(
        &self,
        all: impl IntoIterator<Item = (String, Vec<Name>)>,
        keep: impl Fn(&str) -> bool,
    ) -> Result<(), NameTableError> {
        let prepared: HashMap<String, Owned> = all
            .into_iter()
            .map(|(owner, names)| Ok((owner, prepare(names)?)))
            .collect::<Result<_, NameTableError>>()?;
        let mut owners = self.lock_owners();
        let is_gone = |owner: &&Arc<str>| !prepared.contains_key(&***owner) && !keep(owner);
        let gone: Vec<Arc<str>> = owners.keys().filter(is_gone).cloned().collect();
        for owner in gone {
            self.apply(&mut owners, &owner, Owned::new());
        }
        for (owner, wanted) in prepared {
            self.apply(&mut owners, &owner, wanted);
        }
        Ok(())
    }

    /// The number of changes so far, for the zone's serial number.
    pub(crate) fn serial(&self) -> u32 {
        self.serial.load(Ordering::Relaxed)
    }

    /// The names that the HTTP proxy serves, sorted, at most `limit`.
    pub fn http_names(&self, limit: usize) -> Vec<String> {
        let owners = self.lock_owners();
        let mut names: Vec<String> = owners
            .values()
            .flat_map(HashMap::values)
            .filter(|entry| entry.name.http_port.is_some() && !entry.name.addresses.is_empty())
            .map(|entry| entry.to_string())
            .collect();
        drop(owners);
        names.sort_unstable();
        names.dedup();
        names.truncate(limit);
        names
    }

    /// Looks up a lower-case name in wire form: the name itself first, then the wildcard of the
    /// nearest name above it.
    pub(crate) fn look<R>(&self, wire: &[u8], found: impl FnOnce(Lookup<'_>) -> R) -> R {
        let mut exists = false;
        {
            let shard = self.shard(wire).read().unwrap_or_else(PoisonError::into_inner);
            if let Some(node) = shard.get(wire) {
                if !node.exact.is_empty() {
                    return found(winner(&node.exact));
                }
                exists = true;
            }
        }
        for above in ancestors(wire) {
            let shard = self.shard(above).read().unwrap_or_else(PoisonError::into_inner);
            if let Some(node) = shard.get(above)
                && !node.wildcard.is_empty()
            {
                return found(winner(&node.wildcard));
            }
        }
        found(if exists { Lookup::Empty } else { Lookup::Absent })
    }

    fn lock_owners(&self) -> MutexGuard<'_, HashMap<Arc<str>, Owned>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::indexing_slicing, reason = "the remainder is below the number of shards")]
    fn shard(&self, wire: &[u8]) -> &Shard {
        let hash = self.hasher.hash_one(wire);
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()]
    }

    /// Brings one owner's claims to `wanted`: what is new first, what is gone last.
    fn apply(&self, owners: &mut HashMap<Arc<str>, Owned>, owner: &str, mut wanted: Owned) {
        let (owner, old) =
            owners.remove_entry(owner).unwrap_or_else(|| (Arc::from(owner), Owned::new()));
        for (key, entry) in &mut wanted {
            match old.get(key) {
                Some(same) if same.name == entry.name => *entry = Arc::clone(same),
                _ => self.put(key, Claim { owner: Arc::clone(&owner), entry: Arc::clone(entry) }),
            }
        }
        for key in old.keys().filter(|key| !wanted.contains_key(*key)) {
            self.take(key, &owner);
        }
        self.serial.fetch_add(1, Ordering::Relaxed);
        if !wanted.is_empty() {
            owners.insert(owner, wanted);
        }
    }

    fn put(&self, (wire, wildcard): &(Box<[u8]>, bool), claim: Claim) {
        let mut shard = self.shard(wire).write().unwrap_or_else(PoisonError::into_inner);
        let claims = shard.entry(wire.clone()).or_default().claims(*wildcard);
        if let Some(mine) = claims.iter_mut().find(|other| other.owner == claim.owner) {
            *mine = claim;
            return;
        }
        claims.push(claim);
        drop(shard);
        for above in ancestors(wire) {
            let mut shard = self.shard(above).write().unwrap_or_else(PoisonError::into_inner);
            if let Some(node) = shard.get_mut(above) {
                node.below += 1;
            } else {
                shard.insert(Box::from(above), Node { below: 1, ..Node::default() });
            }
        }
    }

    fn take(&self, (wire, wildcard): &(Box<[u8]>, bool), owner: &Arc<str>) {
        self.edit(wire, |node| node.claims(*wildcard).retain(|claim| claim.owner != *owner));
        for above in ancestors(wire) {
            self.edit(above, |node| node.below = node.below.saturating_sub(1));
        }
    }

    fn edit(&self, wire: &[u8], change: impl FnOnce(&mut Node)) {
        let mut shard = self.shard(wire).write().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = shard.get_mut(wire) {
            change(node);
            if node.is_empty() {
                shard.remove(wire);
            }
        }
    }
}

fn prepare(names: Vec<Name>) -> Result<Owned, NameTableError> {
    let mut owned = Owned::with_capacity(names.len());
    for name in names {
        let Some(wire) = encode(&name.fqdn) else {
            return Err(NameTableError { fqdn: name.fqdn });
        };
        owned.entry((wire, name.wildcard)).or_insert_with(|| Arc::new(Entry::new(name)));
    }
    Ok(owned)
}

/// One owner wins when it is the only one, or the only one whose name is not short.
fn winner(claims: &[Claim]) -> Lookup<'_> {
    if let [only] = claims {
        return Lookup::One(only);
    }
    let mut firm = claims.iter().filter(|claim| !claim.entry.name.short);
    match (firm.next(), firm.next()) {
        (Some(only), None) => Lookup::One(only),
        _ => Lookup::Ambiguous(claims),
    }
}
