//! Registering nodes: from the store to links, when the daemon starts and when the user changes
//! them.

use std::sync::{Arc, Mutex, PoisonError};

use dwell_api::Problem;
use dwell_core::NodeName;
use dwell_core::remote::Remote;
use dwell_net::carrier::Carrier;

use super::follow::mirror_peer;
use super::mirror::{self, Mirror};
use super::{Peer, acquaint, answer, connect};
use crate::facts::make_directory;
use crate::node::Node;
use crate::problem::OrProblem;

/// Makes the links to all registered nodes, when the daemon starts.
pub(crate) async fn open(node: &Arc<Node>) -> Result<(), Problem> {
    make_directory(&node.paths.state.join("remotes"))?;
    for remote in node.store.remotes().await.or_problem()? {
        for gone in node.store.farewells(&remote.name).await.or_problem()? {
            node.remotes.hide(&gone);
        }
        begin(node, remote);
    }
    Ok(())
}

/// Registers a node, or changes how a registered one is reached.
pub(crate) async fn add(node: &Arc<Node>, remote: Remote) -> Result<Arc<Peer>, Problem> {
    match node.store.add_remote(&remote).await {
        Err(dwell_store::StoreError::Exists) => {
            node.store.put_remote(&remote).await.or_problem()?;
        }
        added => added.or_problem()?,
    }
    Ok(begin(node, remote))
}

fn begin(node: &Arc<Node>, remote: Remote) -> Arc<Peer> {
    let name = remote.name.clone();
    let way = Arc::new(acquaint::Way::open(node, &remote));
    let caller = answer::Caller::Node(name.clone());
    let answering = node.clone();
    let carrier = Carrier::new(
        connect::connectors(&way, &remote),
        connect::hello(node),
        connect::settings(),
        Arc::new(move |arrival| answer::answer(&answering, caller.clone(), arrival)),
    );
    let peer = Arc::new(Peer {
        mirror: Mirror::open(mirror::file(&node.paths.state, &name)),
        way,
        remote,
        carrier,
        published: Mutex::default(),
        addresses: Mutex::default(),
        raised: Mutex::default(),
        notes: Mutex::default(),
        tasks: Mutex::default(),
    });
    let following = tokio::spawn(mirror_peer(node.clone(), peer.clone())).abort_handle();
    let acquainting = tokio::spawn(acquaint::follow(node.clone(), peer.clone())).abort_handle();
    let mut tasks = peer.tasks.lock().unwrap_or_else(PoisonError::into_inner);
    tasks.extend([following, acquainting]);
    drop(tasks);
    let mut peers = node.remotes.peers.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(old) = peers.insert(name, peer.clone()) {
        old.end();
    }
    peer
}

/// Forgets a node: what runs there goes on, its names and addresses here end.
pub(crate) async fn remove(node: &Arc<Node>, name: &NodeName) -> Result<(), Problem> {
    let peer = node.remotes.peer(name)?;
    acquaint::farewell(node, &peer).await;
    node.store.forget_remote(name).await.or_problem()?;
    node.remotes.peers.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    peer.end();
    node.remotes.forwards.set(&format!("remote:{name}"), Vec::new());
    for owner in peer.published() {
        node.names.remove(&owner);
    }
    peer.mirror.forget();
    Ok(())
}
