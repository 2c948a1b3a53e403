//! What `wg show all dump` prints: lines of fields between tabs, five for an interface and nine
//! for a peer (wg(8)).

use std::net::SocketAddr;

use ipnet::IpNet;

use super::{Mesh, MeshError, MeshKind, Peer, SIZE_MAX, refused};
use crate::remote::MeshAddress;

const TOOL: &str = "wg show all dump";

/// Reads what `wg show all dump` prints. All interfaces are one mesh; a peer's addresses are the
/// single ones among its allowed ones.
///
/// # Errors
/// When a line is no such thing.
pub fn wireguard(text: &str) -> Result<Mesh, MeshError> {
    if text.len() > SIZE_MAX {
        return Err(refused(TOOL, "it is too long"));
    }
    let mut interfaces = Vec::new();
    let mut peers = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            [interface, _, _, _, _] => interfaces.push((*interface).to_owned()),
            [_, _, _, endpoint, allowed, handshake, _, _, _] => {
                peers.push(peer(endpoint, allowed, handshake)?);
            }
            _ => return Err(refused(TOOL, "a line has neither five nor nine fields")),
        }
    }
    let up = !interfaces.is_empty();
    Ok(Mesh { kind: MeshKind::WireGuard, up, own: Vec::new(), interfaces, peers })
}

fn peer(endpoint: &str, allowed: &str, handshake: &str) -> Result<Peer, MeshError> {
    // A link-local one has a scope, which says nothing about the node.
    let endpoint = endpoint.parse::<SocketAddr>().ok().map(|at| at.ip());
    let mut addresses = Vec::new();
    for range in allowed.split(',').filter(|range| *range != "(none)") {
        let range: IpNet = range.parse().map_err(|_| refused(TOOL, "an allowed range is none"))?;
        if range.prefix_len() == range.max_prefix_len() {
            addresses.extend(MeshAddress::try_from(range.addr()));
        }
    }
    let handshake: u64 =
        handshake.parse().map_err(|_| refused(TOOL, "the time of a handshake is no number"))?;
    // A peer that never answered is not there; whether one that did still is, only asking tells.
    let online = (handshake == 0).then_some(false);
    Ok(Peer { names: Default::default(), addresses, endpoint, online })
}
