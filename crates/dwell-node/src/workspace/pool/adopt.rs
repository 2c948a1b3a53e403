//! Giving one that waits to whoever makes a workspace. Its record becomes a workspace's in one
//! transaction, which says that it is being made: so a crash undoes it as any other, and no two ever
//! get the same. Whatever fails, the workspace is made as without a pool.

use dwell_api::Problem;
use dwell_api::workspace::CreateWorkspace;
use dwell_core::workspace::{Limits, Pooled, Workspace};
use dwell_drivers::cgroup::ControlGroup;
use dwell_drivers::hostname::Running;
use rustix::process::{Pid, Signal, kill_process};

use super::fill::{record, thaw};
use crate::node::Node;
use crate::operation::{Operation, fault};
use crate::problem::OrProblem;
use crate::workspace::{create, given, hostname, remove, save};

/// A workspace out of the pool for this request, where one waits that can be it. The name is free,
/// and held.
pub(in crate::workspace) async fn adopt(
    node: &Node,
    operation: &Operation,
    request: &CreateWorkspace,
) -> Option<Workspace> {
    let is_plain = request.environments.is_empty()
        && request.credentials.is_empty()
        && request.docker.is_none()
        && !request.android;
    if !is_plain {
        return None;
    }
    let pool = &node.workspaces.pool;
    super::read(node).await.ok()?;
    let image = request.image.clone().unwrap_or_default();
    let pooled = pool.take(&image, &given::maker(node).ok()?)?;
    let lock = node.workspaces.lock(pooled.workspace.id.as_str());
    let _held = lock.lock().await;
    let adopted = match fits(node, &pooled).await {
        Some(running) => name(node, operation, request, &pooled, &running).await,
        None => {
            pool.put(pooled);
            Ok(None)
        }
    };
    pool.look();
    adopted.unwrap_or_else(|problem| {
        tracing::warn!(%problem, workspace = %request.name, "it is made without the pool");
        operation.note("the container that waited could not be used; another one is made");
        None
    })
}

/// Its container, where that still is what the image is now.
async fn fits(node: &Node, pooled: &Pooled) -> Option<Running> {
    let container = pooled.workspace.container();
    let (id, running) = tokio::join!(
        node.engine.image_id(pooled.workspace.image.as_str()),
        node.engine.running(&container)
    );
    let running = running.ok()??;
    (id.ok()? == Some(pooled.image_id.clone())).then_some(running)
}

async fn name(
    node: &Node,
    operation: &Operation,
    request: &CreateWorkspace,
    pooled: &Pooled,
    running: &Running,
) -> Result<Option<Workspace>, Problem> {
    let limits = match &request.sizing {
        Some(sizing) => create::limits(node, operation, sizing, Limits::default()).await,
        None => Ok(pooled.workspace.limits),
    };
    let limits = match limits {
        Ok(limits) => limits,
        Err(problem) => {
            node.workspaces.pool.put(pooled.clone());
            return Err(problem);
        }
    };
    let named = Workspace {
        name: request.name.clone(),
        limits,
        created: node.now(),
        making: true,
        ..pooled.workspace.clone()
    };
    match node.store.name_pooled(&named).await {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => {
            node.workspaces.pool.put(pooled.clone());
            return Err(error).or_problem();
        }
    }
    let finished = async {
        fault::at("pool_named", "after")?;
        finish(node, pooled, running, named.clone()).await
    };
    match finished.await {
        Ok(it) => Ok(Some(it)),
        Err(problem) => {
            remove::forget(node, &named).await?;
            Err(problem)
        }
    }
}

/// Makes everything of it as the record says.
async fn finish(
    node: &Node,
    pooled: &Pooled,
    running: &Running,
    mut it: Workspace,
) -> Result<Workspace, Problem> {
    given::variables(node, &it)?;
    thaw(node, running).await?;
    let (was, is, id) = (pooled.workspace.container(), it.container(), running.id.as_str());
    let resized = async {
        if it.limits != pooled.workspace.limits {
            return node.engine.resize(id, create::resources(&it.limits)).await.or_problem();
        }
        Ok(())
    };
    let (renamed, resized, called, told) = tokio::join!(
        node.engine.rename(&was, &is),
        resized,
        hostname::call(running, &[], it.name.as_str()),
        tell(node, running)
    );
    renamed.or_problem()?;
    resized?;
    called?;
    told?;
    fault::at("pool_finished", "after")?;
    it.making = false;
    save(node, &it).await?;
    // Where it stays nobody reads it: the other record comes first.
    let _ = std::fs::remove_file(record(node, &it));
    Ok(it)
}

/// Has the first process read its variables anew.
async fn tell(node: &Node, running: &Running) -> Result<(), Problem> {
    let is_ours = ControlGroup::of(&running.id, running.pid).is_some();
    let pid = i32::try_from(running.pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid.filter(|_| is_ours)
        && kill_process(pid, Signal::HUP).is_ok()
    {
        return Ok(());
    }
    node.engine.reload(&running.id).await.or_problem()
}
