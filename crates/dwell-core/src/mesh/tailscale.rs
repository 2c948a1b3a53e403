//! What `tailscale status --json` prints (`ipnstate.Status`).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Mesh, MeshError, MeshKind, Peer, SIZE_MAX, refused};
use crate::remote::{MeshAddress, RemoteHost};

const TOOL: &str = "tailscale status --json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    backend_state: Option<String>,
    #[serde(rename = "Self")]
    own: Option<Machine>,
    peer: Option<BTreeMap<String, Machine>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Machine {
    host_name: Option<String>,
    #[serde(rename = "DNSName")]
    dns_name: Option<String>,
    #[serde(rename = "TailscaleIPs")]
    addresses: Option<Vec<String>>,
    online: Option<bool>,
}

/// Reads what `tailscale status --json` prints.
///
/// # Errors
/// When it is no such thing.
pub fn tailscale(text: &str) -> Result<Mesh, MeshError> {
    if text.len() > SIZE_MAX {
        return Err(refused(TOOL, "it is too long"));
    }
    let status: Status =
        serde_json::from_str(text).map_err(|_| refused(TOOL, "it is not the JSON expected"))?;
    let state = status.backend_state.ok_or_else(|| refused(TOOL, "it has no state"))?;
    let own = status.own.map(|machine| machine.addresses()).unwrap_or_default();
    let peers = status.peer.unwrap_or_default();
    Ok(Mesh {
        kind: MeshKind::Tailscale,
        up: state == "Running",
        own,
        interfaces: Vec::new(),
        peers: peers.into_values().map(Machine::peer).collect(),
    })
}

impl Machine {
    fn addresses(&self) -> Vec<MeshAddress> {
        let listed = self.addresses.iter().flatten();
        listed.filter_map(|address| address.parse().ok()).collect()
    }

    fn peer(self) -> Peer {
        let addresses = self.addresses();
        let clean = |name: &str| {
            let name = name.trim_end_matches('.').parse::<RemoteHost>().ok();
            name.map(|name| name.as_str().to_ascii_lowercase())
        };
        let full = self.dns_name.as_deref().and_then(clean);
        let first = full.as_deref().and_then(|name| name.split('.').next()).map(str::to_owned);
        let host = self.host_name.as_deref().and_then(clean);
        Peer { names: [full, first, host], addresses, endpoint: None, online: self.online }
    }
}
