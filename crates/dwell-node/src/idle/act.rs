//! Putting a workspace to sleep. Whoever asks for something of it at that moment finds it awake:
//! that it is used is noted before anything else, and looked for again once it sleeps.

use std::sync::Arc;

use dwell_api::Problem;
use dwell_core::WorkspaceId;
use dwell_core::idle::{Because, Tier, Verdict};
use dwell_core::workspace::{Desired, Workspace};

use super::{keep_ledger, policy};
use crate::node::Node;
use crate::problem::OrProblem;
use crate::workspace::{self, hook};

/// Does what is due, unless somebody acts on it now or it is not due any more.
pub(super) async fn sleep(
    node: &Arc<Node>,
    id: &WorkspaceId,
    tier: Tier,
    because: Because,
) -> Result<(), Problem> {
    let lock = node.workspaces.lock(id.as_str());
    let Ok(_held) = lock.try_lock() else { return Ok(()) };
    let Some(mut it) = node.store.workspace(id).await.or_problem()? else { return Ok(()) };
    let is_awake = matches!(it.desired, Desired::Running) || it.slept;
    if it.making || it.kept.is_some() || !is_awake || !is_due(node, &it) {
        return Ok(());
    }
    let done = put(node, &mut it, tier).await;
    match &done {
        Ok(true) => tracing::info!(workspace = %it.name, ?tier, ?because, "put to sleep"),
        Ok(false) => tracing::info!(workspace = %it.name, "not put to sleep: it is used"),
        Err(problem) => tracing::warn!(%problem, workspace = %it.name, "not put to sleep"),
    }
    done.map(drop)
}

fn is_due(node: &Node, it: &Workspace) -> bool {
    let (policy, now) = (policy(node, it), node.now());
    node.track(&it.id, |track| {
        track.ledger.tick(now);
        matches!(track.ledger.decide(&policy), Verdict::Due { .. })
    })
}

/// Gives whether it sleeps.
async fn put(node: &Arc<Node>, it: &mut Workspace, tier: Tier) -> Result<bool, Problem> {
    let mut awake = it.clone();
    awake.want(Desired::Running);
    if tier == Tier::Stop {
        // The hook may take its time, in which somebody may come.
        hook::pre_stop(node, it).await?;
    }
    if is_due(node, it) {
        let before = it.clone();
        it.sleep(tier);
        if let Err(problem) = workspace::settle_as(node, it, it.clone()).await {
            workspace::settle_as(node, it, before).await?;
            return Err(problem);
        }
    }
    if !is_due(node, it) {
        workspace::settle_as(node, it, awake).await?;
        return Ok(false);
    }
    super::entered(node, &it.id, it.phase(workspace::seen(node, it)));
    keep_ledger(node, &it.id);
    Ok(true)
}
