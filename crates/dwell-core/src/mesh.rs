//! Private networks between machines, Tailscale's and WireGuard's, read from what their tools
//! print; and the address in them at which another node answers.
//!
//! `wg show all dump` prints private keys too: its text is not to be logged. Nothing of them is
//! kept here.

mod interface;
mod tailscale;
mod wireguard;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use interface::interface_addresses;
pub use tailscale::tailscale;
pub use wireguard::wireguard;

use crate::remote::{MeshAddress, RemoteHost};

/// Longer output is not looked at, in bytes.
const SIZE_MAX: usize = 16 << 20;

/// Which tool makes a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeshKind {
    /// The address was given by hand.
    Manual,
    /// Tailscale.
    Tailscale,
    /// WireGuard.
    WireGuard,
}

/// A mesh that this machine is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mesh {
    /// Whose it is.
    pub kind: MeshKind,
    /// Whether it is up, as far as its tool says.
    pub up: bool,
    /// This machine's addresses in it; none where the tool does not say.
    pub own: Vec<MeshAddress>,
    /// The network interfaces that it has here, as far as the tool says.
    pub interfaces: Vec<String>,
    /// The other machines.
    pub peers: Vec<Peer>,
}

/// Another machine in a mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its names in lower case, the most certain first: its DNS name, the first label of that,
    /// and the host name that it gives itself. Odd ones are left out.
    pub names: [Option<String>; 3],
    /// Its addresses in the mesh.
    pub addresses: Vec<MeshAddress>,
    /// Where it is reached from outside the mesh.
    pub endpoint: Option<IpAddr>,
    /// Whether it is there now; `None` where the tool does not say.
    pub online: Option<bool>,
}

/// Text that is not what a tool prints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what `{tool}` printed is not understood: {why}")]
pub struct MeshError {
    /// The command.
    pub tool: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The address of a node in a mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The address.
    pub address: MeshAddress,
    /// Who knows it.
    pub kind: MeshKind,
}

/// This machine's own address in a mesh, the preferred of the first that is up and has one.
pub fn own_address(meshes: &[Mesh]) -> Option<Found> {
    meshes.iter().filter(|mesh| mesh.up).find_map(|mesh| {
        let address = preferred(&mesh.own)?;
        Some(Found { address, kind: mesh.kind })
    })
}

/// The mesh address of a node: the one given by hand, else that of the one peer which the node's
/// host means by name or address. `resolved` are the addresses that its name stands for.
/// Reachability is for the caller to probe.
pub fn mesh_address(
    explicit: Option<MeshAddress>,
    host: &RemoteHost,
    resolved: &[IpAddr],
    meshes: &[Mesh],
) -> Option<Found> {
    if let Some(address) = explicit {
        return Some(Found { address, kind: MeshKind::Manual });
    }
    let given: Vec<IpAddr> = host.ip().into_iter().chain(resolved.iter().copied()).collect();
    meshes.iter().filter(|mesh| mesh.up).find_map(|mesh| {
        let (peer, address) = mesh.peer(host, &given)?;
        let address = address.or_else(|| preferred(&peer.addresses))?;
        Some(Found { address, kind: mesh.kind })
    })
}

impl Mesh {
    /// The one peer that is meant, by its mesh address, its name or its endpoint, in this order;
    /// and the address where that was how it was found.
    fn peer(&self, host: &RemoteHost, given: &[IpAddr]) -> Option<(&Peer, Option<MeshAddress>)> {
        let own = |peer: &Peer| {
            peer.addresses.iter().copied().find(|address| given.contains(&address.get()))
        };
        if let Some(peer) = self.peers.iter().find(|peer| own(peer).is_some()) {
            return Some((peer, own(peer)));
        }
        let name = host.as_str().trim_end_matches('.').to_ascii_lowercase();
        let called = |rank: usize| {
            let is = |peer: &&Peer| peer.names.get(rank).is_some_and(|n| n.as_ref() == Some(&name));
            only(self.peers.iter().filter(is))
        };
        let by_name = (0..3).find_map(called);
        let by_endpoint = || {
            let there = |peer: &&Peer| peer.endpoint.is_some_and(|at| given.contains(&at));
            only(self.peers.iter().filter(there))
        };
        Some((by_name.or_else(by_endpoint)?, None))
    }
}

/// The first IPv4 address, else the first.
fn preferred(addresses: &[MeshAddress]) -> Option<MeshAddress> {
    let four = addresses.iter().find(|address| address.get().is_ipv4());
    four.or_else(|| addresses.first()).copied()
}

/// The only one; none where there are several, of which none may be guessed.
fn only<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

fn refused(tool: &'static str, why: &'static str) -> MeshError {
    MeshError { tool, why }
}

#[cfg(test)]
mod tests;
