//! What is remembered about meshes: the nodes that are let in, and where this node listens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dwell_api::Problem;
use dwell_core::NodeId;
use dwell_core::remote::MeshAddress;
use dwell_net::mesh::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::facts::write;

/// The content of a file that only the user can read.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(skip)]
    file: PathBuf,
    /// The fingerprints of nodes that are let in.
    nodes: BTreeMap<NodeId, String>,
    /// The addresses that they know, and the port at each; 0 before there was one.
    listen: BTreeMap<MeshAddress, u16>,
}

impl Kept {
    /// Reads the file. What is not understood lets nobody in.
    pub(super) fn open(file: PathBuf) -> Self {
        let read = match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(%error, "who is let in over the mesh is not understood");
                Self::default()
            }),
            Err(_) => Self::default(),
        };
        Self { file, ..read }
    }

    fn save(&self) -> Result<(), Problem> {
        write(&self.file, &serde_json::to_vec_pretty(self).unwrap_or_default())
    }

    /// Lets a node in, whom it was before or not, at an address.
    pub(super) fn add(
        &mut self,
        node: NodeId,
        fingerprint: String,
        address: MeshAddress,
    ) -> Result<(), Problem> {
        // A certificate belongs to one node.
        self.nodes.retain(|_, other| *other != fingerprint);
        self.nodes.insert(node, fingerprint);
        self.listen.entry(address).or_insert(0);
        self.save()
    }

    /// Lets a node in no more. Without any, no address is listened at.
    pub(super) fn remove(&mut self, node: &NodeId) -> Result<(), Problem> {
        self.nodes.remove(node);
        if self.nodes.is_empty() {
            self.listen.clear();
        }
        self.save()
    }

    /// Remembers the port at an address.
    pub(super) fn set_port(&mut self, address: MeshAddress, port: u16) -> Result<(), Problem> {
        if self.listen.insert(address, port) == Some(port) {
            return Ok(());
        }
        self.save()
    }

    pub(super) fn port(&self, address: MeshAddress) -> Option<u16> {
        self.listen.get(&address).copied().filter(|port| *port != 0)
    }

    pub(super) fn addresses(&self) -> Vec<MeshAddress> {
        self.listen.keys().copied().collect()
    }

    pub(super) fn node_of(&self, fingerprint: &str) -> Option<NodeId> {
        let mut nodes = self.nodes.iter();
        nodes.find(|(_, own)| *own == fingerprint).map(|(node, _)| node.clone())
    }

    /// Those of all nodes that are let in.
    pub(super) fn fingerprints(&self) -> Vec<Fingerprint> {
        self.nodes.values().filter_map(|text| text.parse().ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(letter: char) -> NodeId {
        letter.to_string().repeat(10).parse().unwrap()
    }

    #[test]
    fn who_is_let_in_is_remembered_until_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mesh.json");
        let address: MeshAddress = "100.64.0.5".parse().unwrap();
        let mut kept = Kept::open(file.clone());
        assert!(kept.fingerprints().is_empty());
        kept.add(node('a'), "a".repeat(64), address).unwrap();
        kept.add(node('b'), "b".repeat(64), address).unwrap();
        kept.set_port(address, 7082).unwrap();
        kept.add(node('c'), "b".repeat(64), address).unwrap();
        let again = Kept::open(file.clone());
        assert_eq!(again.port(address), Some(7082));
        assert_eq!(again.node_of(&"b".repeat(64)), Some(node('c')));
        assert_eq!(again.fingerprints().len(), 2, "the old owner of a certificate has none");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        kept.remove(&node('a')).unwrap();
        assert_eq!(kept.addresses(), [address]);
        kept.remove(&node('c')).unwrap();
        assert!(Kept::open(file.clone()).addresses().is_empty());
        std::fs::write(&file, "{\"nodes\": 5}").unwrap();
        assert!(Kept::open(file).fingerprints().is_empty());
    }
}
