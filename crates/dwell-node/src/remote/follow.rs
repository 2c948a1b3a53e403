//! Following other nodes: what each shows is remembered and published as it changes, and that it
//! is away when its link is down.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use dwell_api::remote::Seen;
use dwell_api::{ClientError, Problem, endpoint};

use super::{Peer, publish};
use crate::forward;
use crate::node::Node;

/// Follows what a node shows while its link is up, and publishes it; when the link goes down,
/// publishes that.
pub(super) async fn mirror_peer(node: Arc<Node>, peer: Arc<Peer>) {
    let mut state = peer.carrier.state();
    loop {
        state.mark_unchanged();
        if peer.down().is_some() {
            republish(&node, &peer).await;
            if state.changed().await.is_err() {
                return;
            }
            continue;
        }
        if let Err(problem) = watch(&node, &peer).await {
            tracing::debug!(%problem, node = %peer.remote.name, "it is not followed");
        }
        // Between a link that broke and the word of it.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn watch(node: &Arc<Node>, peer: &Arc<Peer>) -> Result<(), Problem> {
    let mut client = node.remotes.client(&peer.remote.name).await?;
    let mut lines = client.lines(endpoint::WATCH).await.map_err(ClientError::into_problem)?;
    node.reconcile.notify_one();
    while let Some(seen) = lines.next::<Seen>().await.map_err(ClientError::into_problem)? {
        take(node, peer, seen).await;
    }
    Ok(())
}

/// Remembers what a node shows and publishes it.
pub(super) async fn take(node: &Arc<Node>, peer: &Arc<Peer>, seen: Seen) {
    let before = peer.mirror.last().map(|last| last.seen);
    peer.mirror.put(seen.clone(), node.now());
    forward::follow(node, before.as_ref(), &seen).await;
    republish(node, peer).await;
}

pub(super) async fn republish(node: &Arc<Node>, peer: &Arc<Peer>) {
    let notes = match publish::publish(node, peer).await {
        Ok(notes) => notes,
        Err(problem) => vec![problem.message],
    };
    *peer.notes.lock().unwrap_or_else(PoisonError::into_inner) = notes;
}
