//! Getting to know a registered node for the mesh: while ssh carries the link, the two nodes tell
//! each other their certificates over it, and the better way is tried.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use dwell_api::remote::{Introduced, Introduction};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::NodeName;
use dwell_core::mesh::mesh_address;
use dwell_core::remote::{MeshAddress, Remote, Transport};
use dwell_drivers::ssh;
use dwell_net::carrier::{BoxFuture, Connector, Link, LinkError, State};
use dwell_net::mesh::MeshConnector;
use tokio::net::lookup_host;
use tokio::sync::Notify;

use super::{Peer, connect};
use crate::facts::write;
use crate::node::Node;

/// How often the two nodes get to know each other anew while ssh carries.
const AGAIN: Duration = Duration::from_secs(20);
/// How long the other node may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// How long looking up its host's address may take.
const LOOK_UP: Duration = Duration::from_secs(2);

/// The way to a node over a mesh.
pub(super) struct Way {
    node: Weak<Node>,
    file: PathBuf,
    known: Mutex<Known>,
    /// Now is a good time.
    wake: Notify,
}

#[derive(Default)]
struct Known {
    /// What the node said of itself last.
    introduced: Option<Introduced>,
    /// Why it said nothing, or not now.
    why: Option<String>,
    /// Whether a mesh is in sight at all.
    in_sight: bool,
}

impl Way {
    /// The way as an earlier life of the daemon knew it.
    pub(super) fn open(node: &Arc<Node>, remote: &Remote) -> Self {
        let file = file(&node.paths.state, &remote.name);
        let text = std::fs::read(&file).ok();
        let introduced = text.and_then(|text| serde_json::from_slice::<Introduced>(&text).ok());
        let meant = |it: &Introduced| remote.mesh_ip.is_none_or(|ip| ip.get() == it.address.ip());
        let introduced = introduced.filter(meant);
        let in_sight = introduced.is_some();
        let known = Mutex::new(Known { introduced, why: None, in_sight });
        Self { node: Arc::downgrade(node), file, known, wake: Notify::new() }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a mesh that could carry the link; otherwise that it does not is no news.
    pub(super) fn is_in_sight(&self) -> bool {
        self.known().in_sight
    }

    /// Now is a good time to get to know each other.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Why the two nodes do not know each other now.
    pub(super) fn why(&self) -> Option<String> {
        self.known().why.clone()
    }

    /// Forgets the node.
    pub(super) fn forget(&self) {
        // Without the file the next start knows nothing, which is what is meant.
        let _ = std::fs::remove_file(&self.file);
        *self.known() = Known::default();
    }

    /// Remembers what the node said; whether that is news.
    fn learn(&self, said: Result<Introduced, Problem>, in_sight: bool) -> bool {
        let mut known = self.known();
        known.in_sight = in_sight || known.introduced.is_some();
        match said {
            Ok(introduced) => {
                known.why = None;
                if known.introduced.as_ref() == Some(&introduced) {
                    return false;
                }
                let text = serde_json::to_vec(&introduced).unwrap_or_default();
                if let Err(problem) = write(&self.file, &text) {
                    tracing::debug!(%problem, "what a node said of itself was not kept");
                }
                known.introduced = Some(introduced);
                true
            }
            Err(problem) => {
                known.why = Some(problem.message);
                false
            }
        }
    }

    async fn link(&self) -> Result<Link, LinkError> {
        let failed = |why: String| LinkError::Failed { why };
        let Some(node) = self.node.upgrade() else {
            return Err(failed("the daemon is ending".to_owned()));
        };
        let (introduced, why) = {
            let known = self.known();
            (known.introduced.clone(), known.why.clone())
        };
        let Some(introduced) = introduced else {
            let first = || "the two nodes get to know each other over ssh first".to_owned();
            return Err(failed(why.unwrap_or_else(first)));
        };
        let identity = node.mesh.identity().map_err(|problem| failed(problem.message))?;
        let fingerprint = introduced.fingerprint.parse();
        let fingerprint =
            fingerprint.map_err(|error: dwell_net::mesh::MeshError| failed(error.to_string()))?;
        let connector = MeshConnector::new(introduced.address, &identity, fingerprint);
        connector.map_err(|error| failed(error.to_string()))?.connect().await
    }
}

/// Tries the way of a node.
pub(super) struct Mesh(pub(super) Arc<Way>);

impl Connector for Mesh {
    fn name(&self) -> &'static str {
        "mesh"
    }

    fn connect(&self) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.0.link())
    }
}

fn file(state: &Path, name: &NodeName) -> PathBuf {
    state.join("remotes").join(format!("{name}.mesh"))
}

/// Keeps the two nodes acquainted for as long as the other is registered.
pub(super) async fn follow(node: Arc<Node>, peer: Arc<Peer>) {
    if peer.remote.transport == Transport::Ssh {
        return;
    }
    let mut state = peer.carrier.state();
    loop {
        let by_ssh =
            matches!(&*state.borrow_and_update(), State::Up { via, .. } if *via == connect::SSH);
        if by_ssh {
            acquaint(&node, &peer).await;
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = peer.way.wake.notified() => {}
            () = tokio::time::sleep(AGAIN), if by_ssh => {}
        }
    }
}

async fn acquaint(node: &Arc<Node>, peer: &Arc<Peer>) {
    let address = address(node, &peer.remote).await;
    let said = match &address {
        Ok(address) => match tokio::time::timeout(LIMIT, introduce(node, peer, *address)).await {
            Ok(said) => said,
            Err(_) => Err(Problem::new(Code::Timeout, "it did not say in time who it is")),
        },
        Err(why) => Err(Problem::new(Code::NotFound, why.clone())),
    };
    if peer.way.learn(said, address.is_ok() || peer.remote.transport == Transport::Mesh) {
        peer.carrier.wake();
    }
}

async fn introduce(
    node: &Arc<Node>,
    peer: &Arc<Peer>,
    address: MeshAddress,
) -> Result<Introduced, Problem> {
    let introduction = Introduction {
        node: node.id.clone(),
        fingerprint: node.mesh.identity()?.fingerprint().to_string(),
        address: Some(address),
    };
    let mut client = node.remotes.client(&peer.remote.name).await?;
    let key = format!("mesh-{}-{}", node.id, node.now());
    client.post(endpoint::MESH, &key, &introduction).await.map_err(ClientError::into_problem)
}

/// The node's address in a mesh that this machine is in.
async fn address(node: &Arc<Node>, remote: &Remote) -> Result<MeshAddress, String> {
    let meshes = node.mesh.meshes().await;
    if remote.mesh_ip.is_none() && !meshes.found.iter().any(|mesh| mesh.up) {
        let notes = meshes.notes.join("; ");
        let why = if notes.is_empty() { String::new() } else { format!(": {notes}") };
        return Err(format!("this machine is in no mesh that dwell knows{why}"));
    }
    let resolved = resolve(remote).await;
    let found = mesh_address(remote.mesh_ip, &remote.host, &resolved, &meshes.found);
    found.map(|found| found.address).ok_or_else(|| {
        format!("no mesh of this machine has {}: --mesh-ip says its address there", remote.host)
    })
}

/// The addresses that the node's host stands for, in ssh's configuration and in DNS.
async fn resolve(remote: &Remote) -> Vec<std::net::IpAddr> {
    let name = ssh::host_name(&connect::destination(remote)).await;
    let name = name.unwrap_or_else(|| remote.host.to_string());
    let looked = tokio::time::timeout(LOOK_UP, lookup_host((name.as_str(), 0))).await;
    let found = looked.ok().and_then(Result::ok).into_iter().flatten();
    found.map(|address| address.ip()).collect()
}

/// Tells a node that it is not registered any more, where that can be done at once.
pub(super) async fn farewell(node: &Arc<Node>, peer: &Peer) {
    peer.way.forget();
    if peer.down().is_some() || peer.remote.transport == Transport::Ssh {
        return;
    }
    let told = async {
        let mut client = node.remotes.client(&peer.remote.name).await?;
        let key = format!("mesh-{}-{}", node.id, node.now());
        let body = dwell_api::remote::Farewell { node: node.id.clone() };
        let told = client.post::<_, bool>(endpoint::MESH_FORGET, &key, &body).await;
        told.map_err(ClientError::into_problem)
    };
    if let Ok(Err(problem)) = tokio::time::timeout(LIMIT, told).await {
        tracing::info!(%problem, node = %peer.remote.name, "it was not told to forget this node");
    }
}
