//! Snapshots of workspaces, going back to one, and workspaces that begin as a copy of another.

use std::collections::BTreeSet;

use dwell_api::event::Outcome;
use dwell_api::snapshot::{CreateSnapshot, ForkWorkspace, Snapshot as Shown};
use dwell_api::{Code, Event, Problem, StepState};
use dwell_core::workspace::{Desired, Snapshot, Workspace};
use dwell_core::{Generation, SnapshotName, WorkspaceId};

use super::create::{finish_making, refuse_taken};
use super::{copy, find, held, outcome, refuse_unfinished, replace, save};
use crate::node::{Node, invalid_name, random};
use crate::operation::{Operation, fault};
use crate::problem::OrProblem;

/// All snapshots of a workspace, the oldest first.
pub(crate) async fn list(node: &Node, name: &str) -> Result<Vec<Shown>, Problem> {
    let it = find(node, name).await?;
    Ok(it.snapshots.iter().filter(|snapshot| !snapshot.making).map(shown).collect())
}

fn shown(it: &Snapshot) -> Shown {
    Shown {
        name: it.name.clone(),
        image: it.image.clone(),
        root_bytes: it.root_bytes,
        home_bytes: it.home_bytes,
        created: it.created,
    }
}

/// Makes a snapshot. Nothing moves in the workspace meanwhile.
pub(crate) async fn create(
    node: &Node,
    operation: &Operation,
    name: &str,
    request: CreateSnapshot,
) -> Result<Outcome, Problem> {
    let (_held, mut it) = held(node, name).await?;
    refuse_unfinished(&it)?;
    let number = it.next_snapshot();
    let name = match request.name {
        Some(name) => name,
        None => format!("s{number}").parse().map_err(invalid_name)?,
    };
    if it.snapshots.iter().any(|snapshot| snapshot.name == name) {
        let message = format!("workspace `{}` has a snapshot `{name}` already", it.name);
        return Err(Problem::new(Code::Exists, message));
    }
    let (image, created) = (it.image.clone(), node.now());
    it.snapshots_made = number;
    it.snapshots.push(Snapshot {
        name: name.clone(),
        number,
        making: true,
        image,
        root_bytes: 0,
        home_bytes: 0,
        created,
    });
    save(node, &it).await?;
    let taken = cancellable(operation, take(node, operation, &it, number)).await;
    match taken {
        Ok((root_bytes, home_bytes)) => {
            let made = it.snapshots.iter_mut().filter(|snapshot| snapshot.number == number);
            for snapshot in made {
                (snapshot.making, snapshot.root_bytes, snapshot.home_bytes) =
                    (false, root_bytes, home_bytes);
            }
            save(node, &it).await?;
            let summary = format!("snapshot `{name}` of `{}` is made", it.name);
            outcome(node, &it, true, summary).await
        }
        Err(problem) => {
            unfinished(node, &mut it).await?;
            Err(problem)
        }
    }
}

async fn take(
    node: &Node,
    operation: &Operation,
    it: &Workspace,
    number: u32,
) -> Result<(u64, u64), Problem> {
    let (image, volume) = (it.snapshot_image(number), it.snapshot_home(number));
    let step = "copying its file system and its home";
    told(operation, step, StepState::Started);
    let copied = copy::still(node, it, async {
        let root = copy::root(node, it, &image).await?;
        fault::at("workspace_snapshot", "copied")?;
        Ok((root, copy::home(node, it, &it.home(), &volume).await?))
    });
    let copied = copied.await?;
    told(operation, step, StepState::Done);
    Ok(copied)
}

fn told(operation: &Operation, step: &str, state: StepState) {
    operation.tell(Event::Step { step: step.to_owned(), state });
}

async fn cancellable<T>(
    operation: &Operation,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::select! {
        done = work => done,
        () = operation.cancelled() => {
            Err(Problem::new(Code::Cancelled, "it was cancelled and undone"))
        }
    }
}

/// Forgets snapshots that were never finished; what was frozen for one goes on.
pub(super) async fn unfinished(node: &Node, it: &mut Workspace) -> Result<(), Problem> {
    it.snapshots.retain(|snapshot| !snapshot.making);
    save(node, it).await?;
    super::change::bring(node, it).await?;
    copy::sweep(node, it).await
}

/// A snapshot that is there.
fn require(it: &Workspace, name: &SnapshotName) -> Result<Snapshot, Problem> {
    it.snapshot(name).cloned().ok_or_else(|| {
        let message = format!("workspace `{}` has no snapshot `{name}`", it.name);
        Problem::new(Code::NotFound, message)
            .hint(format!("`dwell ws snapshot ls {}` lists them", it.name))
    })
}

/// Removes a snapshot.
pub(crate) async fn remove(
    node: &Node,
    name: &str,
    snapshot: &SnapshotName,
) -> Result<Outcome, Problem> {
    let (_held, mut it) = held(node, name).await?;
    refuse_unfinished(&it)?;
    let gone = require(&it, snapshot)?;
    it.snapshots.retain(|snapshot| snapshot.number != gone.number);
    save(node, &it).await?;
    copy::sweep(node, &it).await?;
    outcome(node, &it, true, format!("snapshot `{snapshot}` is gone")).await
}

/// Has a workspace be what it was at a snapshot: its file system and its home.
pub(crate) async fn restore(
    node: &Node,
    operation: &Operation,
    name: &str,
    snapshot: &SnapshotName,
) -> Result<Outcome, Problem> {
    let (_held, mut it) = held(node, name).await?;
    refuse_unfinished(&it)?;
    let wanted = require(&it, snapshot)?;
    let (image, home) = (it.snapshot_image(wanted.number), it.snapshot_home(wanted.number));
    it.replace(wanted.image, true);
    save(node, &it).await?;
    let copied = async {
        let step = "copying the home of the snapshot";
        told(operation, step, StepState::Started);
        node.engine.tag_image(&image, &it.root_image()).await.or_problem()?;
        copy::home(node, &it, &home, &it.home()).await?;
        told(operation, step, StepState::Done);
        Ok(())
    };
    let copied = cancellable(operation, copied).await;
    let summary = format!("`{}` is what it was at `{snapshot}`", it.name);
    replace::finish(node, operation, &mut it, copied, &[]).await?;
    outcome(node, &it, true, summary).await
}

/// Makes a workspace that begins as a copy of another one, or of a snapshot of it.
pub(crate) async fn fork(
    node: &Node,
    operation: &Operation,
    name: &str,
    request: ForkWorkspace,
) -> Result<Outcome, Problem> {
    let found = find(node, name).await?;
    let lock = node.workspaces.lock(found.id.as_str());
    let _held = lock.lock().await;
    let source = find(node, found.id.as_str()).await?;
    refuse_unfinished(&source)?;
    let name_lock = node.workspaces.lock(request.name.as_str());
    let _held_too = name_lock.lock().await;
    refuse_taken(node, &request.name).await?;
    let from = match &request.from {
        Some(snapshot) => Some(require(&source, snapshot)?),
        None => None,
    };
    let mut it = Workspace {
        id: WorkspaceId::from_random(random()?),
        name: request.name,
        generation: Generation::FIRST,
        image: from.as_ref().map_or(&source.image, |snapshot| &snapshot.image).clone(),
        desired: Desired::Running,
        slept: false,
        making: true,
        kept: None,
        subnet: None,
        host_key: String::new(),
        homes: 0,
        snapshots: Vec::new(),
        snapshots_made: 0,
        before: None,
        created: node.now(),
        ..source.clone()
    };
    if request.alone {
        (it.environments, it.trees) = (BTreeSet::new(), BTreeSet::new());
    }
    it.root = it.root_image().parse().ok();
    let id_lock = node.workspaces.lock(it.id.as_str());
    let _held_three = id_lock.lock().await;
    save(node, &it).await?;
    let copied = cancellable(operation, copied(node, operation, &source, from, &it)).await;
    let it = finish_making(node, operation, it, copied).await?;
    if it.docker_data().is_some() {
        operation
            .note("its Docker begins anew: images, containers and volumes in it are not copied");
    }
    outcome(node, &it, true, format!("`{}` runs, a copy of `{}`", it.name, source.name)).await
}

async fn copied(
    node: &Node,
    operation: &Operation,
    source: &Workspace,
    from: Option<Snapshot>,
    it: &Workspace,
) -> Result<(), Problem> {
    let step = "copying the file system and the home";
    told(operation, step, StepState::Started);
    match from {
        Some(snapshot) => {
            let image = source.snapshot_image(snapshot.number);
            node.engine.tag_image(&image, &it.root_image()).await.or_problem()?;
            let home = source.snapshot_home(snapshot.number);
            copy::home(node, it, &home, &it.home()).await?;
        }
        None => {
            let copy = async {
                copy::root(node, source, &it.root_image()).await?;
                copy::home(node, it, &source.home(), &it.home()).await
            };
            copy::still(node, source, copy).await?;
        }
    }
    told(operation, step, StepState::Done);
    Ok(())
}
