//! The private networks that this machine is in: who this node is there, which nodes it lets in,
//! and the addresses at which it listens for them. Nodes get to know each other over ssh, and
//! without one that is known nothing listens.

mod kept;
mod listen;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dwell_api::node::Part;
use dwell_api::remote::{Introduced, Introduction};
use dwell_api::{Code, Problem};
use dwell_core::NodeId;
use dwell_core::mesh::own_address;
use dwell_core::remote::MeshAddress;
use dwell_drivers::mesh::{Meshes, Tools, is_ours};
use dwell_net::mesh::{Fingerprint, Identity, MeshError, Pins};
use dwell_net::mux::Mux;
use tokio::sync::Notify;

use crate::facts::write;
use crate::node::Node;
use crate::problem::{IntoProblem, file};

use kept::Kept;
pub(crate) use listen::run;

/// For how long what the meshes' tools said is good.
const FRESH: Duration = Duration::from_secs(5);
/// How long a link of a node that is forgotten lives on.
const FAREWELL: Duration = Duration::from_secs(1);

/// This node's part in meshes.
pub(crate) struct Mesh {
    /// Who this node is, in a file that only the user can read.
    file: PathBuf,
    identity: Mutex<Option<Identity>>,
    pins: Arc<Pins>,
    kept: Mutex<Kept>,
    listening: Mutex<listen::Listening>,
    changed: Notify,
    /// The links that were made to this node.
    links: Mutex<Vec<(NodeId, Mux)>>,
    asked: tokio::sync::Mutex<Option<(Instant, Arc<Meshes>)>>,
}

impl Mesh {
    /// What an earlier life of the daemon left in its state directory.
    pub(crate) fn open(state: &std::path::Path) -> Self {
        let kept = Kept::open(state.join("mesh.json"));
        let pins = Arc::new(Pins::default());
        pins.set(kept.fingerprints());
        Self {
            file: state.join("identity.pem"),
            identity: Mutex::default(),
            pins,
            kept: Mutex::new(kept),
            listening: Mutex::default(),
            changed: Notify::new(),
            links: Mutex::default(),
            asked: tokio::sync::Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who this node is; made when it is asked for first.
    pub(crate) fn identity(&self) -> Result<Identity, Problem> {
        let mut identity = self.identity.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(identity) = &*identity {
            return Ok(identity.clone());
        }
        let found = match std::fs::read_to_string(&self.file) {
            Ok(text) => Identity::from_pem(&text).map_err(|error| {
                let hint = format!("move {} away to get a new one", self.file.display());
                error.into_problem().hint(hint)
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Identity::generate().map_err(MeshError::into_problem)?;
                write(&self.file, made.to_pem().as_bytes())?;
                made
            }
            Err(error) => return Err(file("reading", &self.file, &error)),
        };
        Ok(identity.insert(found).clone())
    }

    /// What the meshes' tools say, or said a moment ago.
    pub(crate) async fn meshes(&self) -> Arc<Meshes> {
        self.meshes_within(FRESH).await
    }

    async fn meshes_within(&self, age: Duration) -> Arc<Meshes> {
        let mut asked = self.asked.lock().await;
        if let Some((at, meshes)) = &*asked
            && at.elapsed() < age
        {
            return Arc::clone(meshes);
        }
        let meshes = Arc::new(Tools::default().ask().await);
        *asked = Some((Instant::now(), Arc::clone(&meshes)));
        meshes
    }

    /// This machine's own address in a mesh: as the tools say, else one that other nodes know.
    pub(crate) async fn own_address(&self) -> Result<MeshAddress, Problem> {
        let mut meshes = self.meshes().await;
        if own_address(&meshes.found).is_none() {
            // It may have come up since.
            meshes = self.meshes_within(Duration::ZERO).await;
        }
        if let Some(found) = own_address(&meshes.found) {
            return Ok(found.address);
        }
        let known = self.kept().addresses();
        for address in known {
            if is_ours(address.get()).await {
                return Ok(address);
            }
        }
        Err(Problem::new(Code::NotFound, "this machine is in no mesh that dwell knows")
            .hint("bring Tailscale or WireGuard up there, or give its address by hand")
            .details(meshes.notes.iter().cloned()))
    }

    /// The node that has a certificate.
    fn node_of(&self, fingerprint: &Fingerprint) -> Option<NodeId> {
        self.kept().node_of(&fingerprint.to_string())
    }

    /// Remembers a link that a node made to this one.
    pub(crate) fn linked(&self, node: &NodeId, mux: &Mux) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|(_, link)| !link.is_closed());
        links.push((node.clone(), mux.clone()));
    }

    /// Ends the links of a node.
    fn hang_up(&self, node: &NodeId) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter(|(of, _)| of == node).for_each(|(_, link)| link.close());
    }

    /// How it is, as parts of the node.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.parts(&self.kept())
    }
}

/// Gets to know a node that says who it is, and listens for it.
pub(crate) async fn introduce(
    node: &Arc<Node>,
    theirs: Introduction,
) -> Result<Introduced, Problem> {
    let fingerprint: Fingerprint = theirs.fingerprint.parse().map_err(MeshError::into_problem)?;
    let address = match theirs.address {
        Some(address) => mine(address).await?,
        None => node.mesh.own_address().await?,
    };
    let own = node.mesh.identity()?.fingerprint();
    {
        let mut kept = node.mesh.kept();
        kept.add(theirs.node, fingerprint.to_string(), address)?;
        node.mesh.pins.set(kept.fingerprints());
    }
    let at = listen::listen_at(node, address).await.map_err(MeshError::into_problem)?;
    Ok(Introduced { fingerprint: own.to_string(), address: at })
}

/// An address that was asked for, if this machine can be listened to at it and at no other.
async fn mine(address: MeshAddress) -> Result<MeshAddress, Problem> {
    if !address.get().is_loopback() && is_ours(address.get()).await {
        return Ok(address);
    }
    let message = format!("{address} is not an address of that machine");
    Err(Problem::new(Code::NotFound, message)
        .hint("bring the mesh up there, or correct --mesh-ip with `dwell remote add`"))
}

/// Knows a node no more: its links over the mesh end. Without another, nothing listens any more.
pub(crate) fn forget(node: &Arc<Node>, id: &NodeId) -> Result<(), Problem> {
    {
        let mut kept = node.mesh.kept();
        kept.remove(id)?;
        node.mesh.pins.set(kept.fingerprints());
    }
    node.mesh.changed.notify_one();
    let (node, id) = (node.clone(), id.clone());
    tokio::spawn(async move {
        // Who says farewell over the mesh itself hears that it was understood.
        tokio::time::sleep(FAREWELL).await;
        node.mesh.hang_up(&id);
    });
    Ok(())
}

impl IntoProblem for MeshError {
    fn into_problem(self) -> Problem {
        let message = self.to_string();
        let code = match &self {
            Self::Identity { .. } => Code::State,
            Self::Fingerprint { .. } | Self::NotSpecific { .. } => Code::InvalidArgument,
            Self::Bind { .. } => Code::PortTaken,
            Self::Tls(_) => Code::Internal,
        };
        Problem::new(code, message)
    }
}
