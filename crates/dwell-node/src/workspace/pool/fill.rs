//! Making one that waits, and removing one. The record comes first and says that it is not ready;
//! one that stays so is left of a crash, and removed.

use std::path::{Path, PathBuf};

use dwell_api::{Code, Problem};
use dwell_core::observed::State;
use dwell_core::workspace::{ImageRef, Limits, Pooled, Unfit, Workspace};
use dwell_core::{WorkspaceId, WorkspaceName};
use dwell_drivers::cgroup::ControlGroup;
use dwell_drivers::hostname::Running;
use dwell_store::StoreError;

use crate::facts::{make_directory, write};
use crate::node::{Node, invalid_name, random};
use crate::operation::fault;
use crate::problem::OrProblem;
use crate::workspace::{create, given, network, remove as removing, state};

/// The record again, beside the other files of what it may become.
pub(super) const RECORD_FILE: &str = "pooled.json";

/// Makes one of an image.
pub(super) async fn fill(node: &Node, image: ImageRef) {
    let pool = &node.workspaces.pool;
    pool.lock().filling = Some(image.clone());
    let made = make(node, image.clone()).await;
    let mut inner = pool.lock();
    inner.filling = None;
    match made {
        Ok(()) => drop(inner.failed.remove(&image)),
        Err(problem) => {
            tracing::warn!(%problem, %image, "none could be made for the pool");
            inner.fail(&image, problem.to_string());
        }
    }
}

async fn make(node: &Node, image: ImageRef) -> Result<(), Problem> {
    let id = WorkspaceId::from_random(random()?);
    let name: WorkspaceName = id.as_str().parse().map_err(invalid_name)?;
    let processors = node.engine.info().await.or_problem()?.processors;
    let limits = Limits::default().on_machine(processors);
    let mut it = Pooled {
        workspace: Workspace::new(id.clone(), name, image, limits, node.now()),
        image_id: String::new(),
        maker: given::maker(node)?,
        ready: false,
    };
    // Before the record is there, so that the reconciler never takes it for a leftover.
    let lock = node.workspaces.lock(id.as_str());
    let _held = lock.lock().await;
    keep(node, &it).await?;
    let started = start(node, &mut it).await;
    if let Err(problem) = started {
        it.ready = false;
        if forget(node, &it).await.is_err() {
            node.workspaces.pool.put(it);
        }
        return Err(problem);
    }
    tracing::info!(workspace = %id, image = %it.workspace.image, "one more waits in the pool");
    node.workspaces.pool.put(it);
    Ok(())
}

async fn keep(node: &Node, it: &Pooled) -> Result<(), Problem> {
    node.store.put_pooled(it).await.or_problem()?;
    let text = serde_json::to_vec(it)
        .map_err(|e| Problem::new(Code::Internal, format!("a record cannot be written: {e}")))?;
    make_directory(&node.paths.workspace(&it.workspace.id))?;
    write(&record(node, &it.workspace), &text)
}

/// The record beside the files.
pub(super) fn record(node: &Node, it: &Workspace) -> PathBuf {
    node.paths.workspace(&it.id).join(RECORD_FILE)
}

async fn start(node: &Node, it: &mut Pooled) -> Result<(), Problem> {
    fault::at("pool_record", "after")?;
    given::make(node, &it.workspace)?;
    network::allot(node, &mut it.workspace).await?;
    keep(node, it).await?;
    let made = &it.workspace;
    let (key, network, container) = tokio::join!(
        given::prepare(node, made),
        create::own_network(node, made),
        create::home_and_container(node, made)
    );
    network?;
    container?;
    it.workspace.host_key = key?;
    fault::at("pool_container", "after")?;
    create::start(node, &it.workspace).await?;
    fault::at("pool_start", "after")?;
    let container = it.workspace.container();
    let running = node.engine.running(&container).await.or_problem()?.ok_or_else(|| {
        Problem::new(Code::NotRunning, format!("container `{container}` ended at once"))
    })?;
    freeze(node, &running).await?;
    fault::at("pool_freeze", "after")?;
    it.image_id = running.image_id;
    it.ready = true;
    keep(node, it).await?;
    state(node, &it.workspace).await?;
    Ok(())
}

/// The control group of a container of this machine, for root, who may use it.
fn control_group(running: &Running) -> Option<ControlGroup> {
    let is_root = rustix::process::geteuid().is_root();
    is_root.then(|| ControlGroup::of(&running.id, running.pid))?
}

/// By the kernel where that can be, which lets it go on in less than a millisecond; the engine
/// starts a program for it.
async fn freeze(node: &Node, running: &Running) -> Result<(), Problem> {
    if let Some(group) = control_group(running) {
        match group.freeze().await {
            Ok(()) => return Ok(()),
            Err(error) => tracing::warn!(%error, "the kernel does not freeze it, the engine may"),
        }
    }
    node.engine.freeze(&running.id).await.or_problem()
}

/// Lets one go on, however it was frozen.
pub(super) async fn thaw(node: &Node, running: &Running) -> Result<(), Problem> {
    if running.paused {
        return node.engine.thaw(&running.id).await.or_problem();
    }
    match control_group(running) {
        Some(group) => group.thaw().await.map_err(|error| {
            Problem::new(Code::State, format!("a container does not go on: {error}"))
        }),
        None => Ok(()),
    }
}

/// Removes one, unless somebody has got it meanwhile.
pub(super) async fn remove(node: &Node, id: &WorkspaceId, why: Unfit) -> Result<(), Problem> {
    let pool = &node.workspaces.pool;
    let Some(mut it) = pool.lock().take(id) else { return Ok(()) };
    tracing::info!(workspace = %id, image = %it.workspace.image, ?why, "removed from the pool");
    let lock = node.workspaces.lock(id.as_str());
    let _held = lock.lock().await;
    let forgotten = forget(node, &it).await;
    if forgotten.is_err() {
        it.ready = false;
        pool.put(it);
    }
    forgotten
}

/// Removes everything of one, and forgets it.
async fn forget(node: &Node, it: &Pooled) -> Result<(), Problem> {
    if state(node, &it.workspace).await? == Some(State::Paused) {
        node.engine.thaw(&it.workspace.container()).await.or_problem()?;
    }
    removing::forget(node, &it.workspace).await?;
    node.store.forget_pooled(&it.workspace.id).await.or_problem()
}

/// Takes the record of one that the store does not know from its directory.
pub(in crate::workspace) async fn recall(node: &Node, directory: &Path) {
    let Ok(text) = std::fs::read(directory.join(RECORD_FILE)) else { return };
    let Ok(record) = serde_json::from_slice::<Pooled>(&text) else {
        return tracing::warn!(path = %directory.display(), "not understood");
    };
    let id = &record.workspace.id;
    // One that was given away in the moment of a crash has this file still.
    let is_known = !matches!(node.store.workspace(id).await, Ok(None))
        || !matches!(node.store.is_pooled(id).await, Ok(false));
    if is_known {
        return;
    }
    if let Err(error) = node.store.put_pooled(&record).await {
        return tracing::warn!(%error, workspace = %record.workspace.id, "not recalled");
    }
    if let Some(subnet) = record.workspace.subnet {
        let owner = record.workspace.id.as_str();
        let added = node.store.add_subnet(&subnet.to_string(), owner, network::KEY).await;
        if let Err(error) = added
            && !matches!(error, StoreError::Exists)
        {
            tracing::warn!(%error, %subnet, "a subnet was not recalled");
        }
    }
}
