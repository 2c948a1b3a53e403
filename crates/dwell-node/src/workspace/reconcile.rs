//! Workspaces that are not what is wanted: those that should run are started, what was not
//! finished is undone or finished, homes that were kept long enough are removed.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use dwell_api::Problem;
use dwell_core::WorkspaceId;
use dwell_core::observed::{State, label};
use dwell_core::workspace::{Desired, Workspace};

use super::change::bring;
use super::create::unrestore;
use super::remove::{clear, forget};
use super::{current, entered, network, replace, save, snapshot};
use crate::node::Node;
use crate::problem::OrProblem;
use crate::session;

const PAUSE: Duration = Duration::from_secs(30);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// When a workspace that could not be brought to what is wanted is tried again.
#[derive(Default)]
pub(crate) struct Tries {
    next: HashMap<WorkspaceId, (Instant, Duration)>,
}

/// Acts on what differs.
pub(crate) async fn reconcile(node: &Node, tries: &mut Tries) {
    let all = match node.store.workspaces().await {
        Ok(all) => all,
        Err(error) => return tracing::warn!(%error, "workspaces are not reconciled"),
    };
    if let Err(problem) = leftovers(node).await {
        tracing::warn!(%problem, "leftovers of workspaces were not removed");
    }
    restore(node, &all).await;
    for it in all {
        let due = tries.next.get(&it.id).is_none_or(|(at, _)| *at <= Instant::now());
        if !due || !differs(node, &it) {
            continue;
        }
        match settle(node, &it).await {
            Ok(()) => drop(tries.next.remove(&it.id)),
            Err(problem) => {
                tracing::warn!(%problem, workspace = %it.name, "it is not what is wanted");
                let pause = tries.next.get(&it.id).map_or(PAUSE, |(_, pause)| *pause * 2);
                let pause = pause.min(PAUSE_MAX);
                tries.next.insert(it.id.clone(), (Instant::now() + pause, pause));
            }
        }
    }
}

/// Restores sessions of workspaces that somebody else started again: the engine, or a person.
async fn restore(node: &Node, all: &[Workspace]) {
    for it in all.iter().filter(|it| !it.making && it.desired == Desired::Running) {
        let seen = current(it, node.world.of_workspace(&it.id));
        if !seen.is_some_and(|container| container.runs()) || !session::is_due(node, it).await {
            continue;
        }
        let lock = node.workspaces.lock(it.id.as_str());
        // Whoever starts it restores them.
        let Ok(_held) = lock.try_lock() else { continue };
        for note in session::restore(node, it).await {
            tracing::warn!(workspace = %it.name, "{note}");
        }
    }
}

/// Removes containers that never ran and networks that nobody is in, of workspaces that nobody
/// knows: an engine may finish making them after the daemon that asked for them was killed.
async fn leftovers(node: &Node) -> Result<(), Problem> {
    let seen = node.world.workspaces();
    for (id, container) in &seen {
        if container.state == State::Created && !is_known(node, id).await? {
            node.engine.remove(&container.id).await.or_problem()?;
        }
    }
    let ours = format!("{}={}", label::NODE, node.id);
    for network in node.engine.networks(Some(&ours)).await.or_problem()? {
        let owner = network.labels.get(label::WORKSPACE).and_then(|id| id.parse().ok());
        let Some(owner) = owner else { continue };
        let is_used =
            seen.iter().any(|(id, container)| *id == owner && container.state != State::Created);
        if !is_used && !is_known(node, &owner).await? {
            node.engine.remove_network(&network.id).await.or_problem()?;
        }
    }
    Ok(())
}

async fn is_known(node: &Node, id: &WorkspaceId) -> Result<bool, Problem> {
    let is_one = node.store.workspace(id).await.or_problem()?.is_some();
    // It is looked last: one that waits may become a workspace, and never the other way round.
    Ok(is_one || node.store.is_pooled(id).await.or_problem()?)
}

/// Whether what was seen asks for something; cheap, and asked of every workspace.
fn differs(node: &Node, it: &Workspace) -> bool {
    if it.making || it.kept.is_some_and(|kept| !kept.cleared || kept.until <= node.now()) {
        return true;
    }
    let containers = node.world.of_workspace(&it.id);
    let is_left = it.before.is_some()
        || it.snapshots.iter().any(|snapshot| snapshot.making)
        || containers.iter().any(|container| container.generation != it.generation);
    let seen = current(it, containers);
    let apart = seen.as_ref().is_some_and(|container| {
        let is_in = |id: &dwell_core::EnvironmentId| {
            container.addresses.keys().any(|network| network.contains(id.as_str()))
        };
        container.runs() && !it.environments.iter().all(is_in)
    });
    it.due(seen.map(|container| container.state)).is_some() || apart || is_left
}

async fn settle(node: &Node, it: &Workspace) -> Result<(), Problem> {
    let lock = node.workspaces.lock(it.id.as_str());
    // Whoever acts on it sees to it.
    let Ok(_held) = lock.try_lock() else { return Ok(()) };
    let Some(mut it) = node.store.workspace(&it.id).await.or_problem()? else { return Ok(()) };
    tracing::debug!(workspace = %it.name, desired = ?it.desired, making = it.making, "settling");
    match (it.making, it.kept) {
        (true, None) => forget(node, &it).await,
        (true, Some(_)) => unrestore(node, it).await,
        (false, Some(kept)) if kept.until <= node.now() => forget(node, &it).await,
        (false, Some(_)) => clear(node, &mut it).await,
        (false, None) => {
            if it.before.is_some() {
                replace::go_back(node, &mut it).await?;
            }
            snapshot::unfinished(node, &mut it).await?;
            for note in bring(node, &mut it).await? {
                tracing::info!(workspace = %it.name, "{note}");
            }
            entered(node, &it);
            rejoin(node, it).await
        }
    }
}

/// Puts it on networks of environments that came after it; those that are gone are forgotten.
async fn rejoin(node: &Node, mut it: Workspace) -> Result<(), Problem> {
    if it.environments.is_empty() || it.desired != Desired::Running {
        return Ok(());
    }
    let known = node.store.environments().await.or_problem()?;
    let before = it.environments.len();
    it.environments.retain(|id| known.iter().any(|environment| environment.id == *id));
    if it.environments.len() != before {
        save(node, &it).await?;
    }
    network::wire(node, &it).await?;
    crate::world::look_at_workspace(node, &it.id).await.or_problem()?;
    Ok(())
}
