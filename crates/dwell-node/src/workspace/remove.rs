//! Removing workspaces: that it is wanted comes first, so that a crash leads to its end. The home
//! stays for a while. Who destroys waits for the container only; the network goes after that.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use dwell_api::event::Outcome;
use dwell_api::workspace::{DestroyWorkspace, WorkspaceLosses};
use dwell_api::{Code, Problem};
use dwell_core::WorkspaceId;
use dwell_core::observed::label;
use dwell_core::workspace::{Desired, Kept, Workspace};

use super::copy;
use super::{held, losses, save};
use crate::forward;
use crate::node::Node;
use crate::operation::fault;
use crate::problem::{OrProblem, file};
use crate::world::look_at_workspace;

/// How long a home is kept: 7 days, in microseconds.
const KEPT: i64 = 7 * 24 * 3600 * 1_000_000;

/// Removes a workspace, unless work would be lost that is not given up.
pub(crate) async fn destroy(
    node: &Arc<Node>,
    name: &str,
    request: DestroyWorkspace,
) -> Result<Outcome, Problem> {
    let (_held, mut it) = held(node, name).await?;
    if it.making {
        forget(node, &it).await?;
        return Ok(gone(format!("`{}` was never finished, and is gone", it.name)));
    }
    if !request.force {
        refuse_losses(&it, &losses(node, &it).await?)?;
    }
    it.desired = Desired::Destroyed;
    let until = if request.purge { node.now() } else { node.now().saturating_add(KEPT) };
    it.kept = Some(Kept { until, cleared: false });
    save(node, &it).await?;
    fault::at("workspace_clear", "before")?;
    if request.purge {
        forget(node, &it).await?;
        return Ok(gone(format!("destroyed `{}` and its home", it.name)));
    }
    remove_containers(node, &it).await?;
    tokio::spawn(finish(Arc::clone(node), it.id.clone()));
    let name = &it.name;
    let summary = format!(
        "destroyed `{name}`; `dwell ws restore {name}` brings it back with its home within 7 days"
    );
    Ok(gone(summary))
}

fn gone(summary: String) -> Outcome {
    Outcome { changed: true, summary, ..Outcome::default() }
}

/// Refuses to lose what nobody gave up.
fn refuse_losses(it: &Workspace, losses: &WorkspaceLosses) -> Result<(), Problem> {
    if losses.is_empty() {
        return Ok(());
    }
    let message = format!("destroying workspace `{}` would lose work", it.name);
    Err(Problem::new(Code::UnsavedWork, message)
        .hint("push it or end what runs, or give it up with `--force`; its home is kept for 7 days")
        .details(losses.lines()))
}

/// Removes what is left of a destroyed workspace besides its home. What fails is tried again by
/// the reconciler.
async fn finish(node: Arc<Node>, id: WorkspaceId) {
    let lock = node.workspaces.lock(id.as_str());
    let _held = lock.lock().await;
    let Ok(Some(mut it)) = node.store.workspace(&id).await else { return };
    if it.kept.is_some_and(|kept| !kept.cleared)
        && !it.making
        && let Err(problem) = clear(&node, &mut it).await
    {
        tracing::warn!(%problem, workspace = %it.name, "it is not cleared yet");
    }
}

/// Removes everything of a destroyed workspace but its home and its own files.
pub(super) async fn clear(node: &Node, it: &mut Workspace) -> Result<(), Problem> {
    take_down(node, it).await?;
    it.subnet = None;
    it.kept = it.kept.map(|kept| Kept { cleared: true, ..kept });
    save(node, it).await
}

/// Removes what runs of it, and what leads there.
async fn remove_containers(node: &Node, it: &Workspace) -> Result<(), Problem> {
    forward::let_go(node, it.id.as_str()).await?;
    for container in node.engine.containers(&labelled(it)).await.or_problem()? {
        node.engine.remove(&container.id).await.or_problem()?;
    }
    look_at_workspace(node, &it.id).await.or_problem()?;
    Ok(())
}

fn labelled(it: &Workspace) -> String {
    format!("{}={}", label::WORKSPACE, it.id)
}

async fn take_down(node: &Node, it: &Workspace) -> Result<(), Problem> {
    remove_containers(node, it).await?;
    let labelled = labelled(it);
    for network in node.engine.networks(Some(&labelled)).await.or_problem()? {
        node.engine.remove_network(&network.id).await.or_problem()?;
    }
    if let Some(data) = it.docker_data() {
        node.engine.remove_volume(&data).await.or_problem()?;
    }
    node.store.release_subnets(it.id.as_str()).await.or_problem()
}

/// Removes a workspace's own directory, also what its processes have put beside its sessions.
async fn remove_directory(node: &Node, directory: &Path) -> Result<(), Problem> {
    let removed = || match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    };
    match removed() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            crate::cleanup::empty(node, directory).await?;
            removed()
        }
        other => other,
    }
    .map_err(|error| file("removing", directory, &error))
}

/// Removes everything of a workspace, its home included, and forgets it.
pub(super) async fn forget(node: &Node, it: &Workspace) -> Result<(), Problem> {
    take_down(node, it).await?;
    for volume in node.engine.volumes_with(&labelled(it)).await.or_problem()? {
        copy::give_up(node, &volume.name).await?;
        node.engine.remove_volume(&volume.name).await.or_problem()?;
    }
    for tag in node.engine.image_tags(&it.images()).await.or_problem()? {
        node.engine.remove_image(&tag).await.or_problem()?;
    }
    node.store.forget_sessions(it.id.as_str()).await.or_problem()?;
    remove_directory(node, &node.paths.workspace(&it.id)).await?;
    crate::idle::forget(node, &it.id);
    super::size::forget(node, &it.id);
    node.store.forget_workspace(&it.id).await.or_problem()
}
