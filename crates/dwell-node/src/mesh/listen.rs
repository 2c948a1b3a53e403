//! Listening for nodes that are known, at this machine's mesh addresses and nowhere else.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dwell_api::node::Part;
use dwell_core::remote::MeshAddress;
use dwell_net::mesh::{Accepted, Limits, Listener, MeshError};

use super::kept::Kept;
use crate::node::Node;
use crate::remote::bridge;

/// How often an address that this machine does not have now is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The listeners that there are, and why there are not more.
#[derive(Default)]
pub(super) struct Listening {
    running: BTreeMap<MeshAddress, Running>,
    failed: BTreeMap<MeshAddress, String>,
}

struct Running {
    at: SocketAddr,
    task: tokio::task::AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listening {
    /// How each address is that is to be listened at.
    pub(super) fn parts(&self, kept: &Kept) -> Vec<Part> {
        let part = |ok, detail| Part { name: "mesh".to_owned(), ok, detail, fix: None };
        let addresses = kept.addresses().into_iter();
        addresses
            .filter_map(|address| match (self.running.get(&address), self.failed.get(&address)) {
                (Some(running), _) => Some(part(true, format!("listening at {}", running.at))),
                (None, Some(why)) => Some(part(false, why.clone())),
                (None, None) => None,
            })
            .collect()
    }
}

/// Listens at every address that other nodes know, for ever.
pub(crate) async fn run(node: Arc<Node>) {
    loop {
        let wanted = node.mesh.kept().addresses();
        let missing: Vec<MeshAddress> = {
            let listening = &node.mesh.listening;
            let mut listening = listening.lock().unwrap_or_else(PoisonError::into_inner);
            listening
                .running
                .retain(|address, running| wanted.contains(address) && !running.task.is_finished());
            let running = &listening.running;
            wanted.into_iter().filter(|address| !running.contains_key(address)).collect()
        };
        let all = missing.is_empty();
        for address in missing {
            if let Err(error) = listen_at(&node, address).await {
                tracing::debug!(%error, "the mesh is not listened to");
            }
        }
        tokio::select! {
            () = node.mesh.changed.notified() => {}
            () = tokio::time::sleep(AGAIN), if !all => {}
        }
    }
}

/// Listens at an address, unless something does already; gives where.
pub(super) async fn listen_at(
    node: &Arc<Node>,
    address: MeshAddress,
) -> Result<SocketAddr, MeshError> {
    let running = || {
        let listening = node.mesh.listening.lock().unwrap_or_else(PoisonError::into_inner);
        listening.running.get(&address).filter(|it| !it.task.is_finished()).map(|it| it.at)
    };
    if let Some(at) = running() {
        return Ok(at);
    }
    let bound = bind(node, address).await;
    let mut listening = node.mesh.listening.lock().unwrap_or_else(PoisonError::into_inner);
    let listener = match bound {
        Ok(listener) => listener,
        Err(error) => {
            listening.failed.insert(address, error.to_string());
            return Err(error);
        }
    };
    let at = listener.local_addr();
    let task = tokio::spawn(serve(node.clone(), listener)).abort_handle();
    listening.failed.remove(&address);
    listening.running.insert(address, Running { at, task });
    if let Err(problem) = node.mesh.kept().set_port(address, at.port()) {
        tracing::warn!(%problem, "the port on the mesh was not remembered");
    }
    tracing::info!(%at, "listening on the mesh");
    Ok(at)
}

/// The port that other nodes know, else the usual one, else any.
async fn bind(node: &Arc<Node>, address: MeshAddress) -> Result<Listener, MeshError> {
    let identity = match node.mesh.identity() {
        Ok(identity) => identity,
        Err(problem) => return Err(MeshError::Identity { why: problem.message }),
    };
    let usual = node.config.mesh.port.get();
    let known = node.mesh.kept().port(address);
    let mut ports: Vec<u16> = known.into_iter().chain([usual, 0]).collect();
    ports.dedup();
    let last = ports.pop().unwrap_or_default();
    for port in ports {
        let at = SocketAddr::new(address.get(), port);
        match Listener::bind(at, &identity, node.mesh.pins.clone(), Limits::default()).await {
            Err(MeshError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {}
            other => return other,
        }
    }
    let any = SocketAddr::new(address.get(), last);
    Listener::bind(any, &identity, node.mesh.pins.clone(), Limits::default()).await
}

async fn serve(node: Arc<Node>, mut listener: Listener) {
    while let Some(Accepted { peer, from, link }) = listener.accept().await {
        // One that was forgotten since it was let in is not.
        let Some(expected) = node.mesh.node_of(&peer) else { continue };
        let node = node.clone();
        tokio::spawn(async move {
            if let Err(error) = bridge::serve_link(&node, link, Some(expected)).await {
                tracing::info!(%error, %from, "a link over the mesh was not made");
            }
        });
    }
}
