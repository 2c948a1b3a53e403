//! Making workspaces, and making them again of homes that were kept. The record comes first and
//! says that it is being made; whatever fails, or a crash, undoes it.

use std::collections::BTreeSet;
use std::time::Duration;

use dwell_api::event::Outcome;
use dwell_api::workspace::{CreateWorkspace, RestoreWorkspace};
use dwell_api::{Code, Event, Problem, StepState};
use dwell_core::observed::label;
use dwell_core::workspace::{
    DOCKER_DATA, Desired, HOME, ImageRef, Kept, Limits, READY, Sizing, Workspace,
};
use dwell_core::{WorkspaceId, WorkspaceName};
use dwell_drivers::docker::{MachineSpec, Resources, Rights};

use super::{
    android, credentials, disk, docker, exists, find, given, labels, named, network, outcome,
    person, pool, remove, save, tree,
};
use crate::node::{Node, invalid_name, random};
use crate::operation::{Operation, fault};
use crate::problem::OrProblem;

/// How long a workspace may take to be ready; the first start makes the user where the image has
/// none.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Makes a workspace and starts it.
pub(crate) async fn create(
    node: &Node,
    operation: &Operation,
    request: CreateWorkspace,
) -> Result<Outcome, Problem> {
    let lock = node.workspaces.lock(request.name.as_str());
    let _held = lock.lock().await;
    refuse_taken(node, &request.name).await?;
    if let Some(it) = pool::adopt(node, operation, &request).await {
        person::follow(node, operation, &it, request.settings, request.dotfiles.as_ref()).await;
        let summary = format!("`{}` runs", it.name);
        return outcome(node, &it, true, summary).await;
    }
    let image = request.image.unwrap_or_default();
    require_image(node, &image).await?;
    let sizing = request.sizing.unwrap_or_default();
    let limits = limits(node, operation, &sizing, Limits::default()).await?;
    if limits.disk_mb.is_some() {
        disk::tell(node, operation, image.as_str()).await?;
    }
    let mut environments = BTreeSet::new();
    for meant in &request.environments {
        environments.insert(network::environment(node, meant).await?.id);
    }
    docker::refuse(node, operation, &image, request.docker).await?;
    android::refuse(node, &image, &limits, request.android).await?;
    let id = WorkspaceId::from_random(random()?);
    let it = Workspace {
        environments: environments.clone(),
        trees: environments,
        credentials: request.credentials,
        docker: request.docker,
        android: request.android,
        ..Workspace::new(id, request.name, image, limits, node.now())
    };
    // Before the record is there, so that the reconciler never takes it for a leftover.
    let id_lock = node.workspaces.lock(it.id.as_str());
    let _held_too = id_lock.lock().await;
    save(node, &it).await?;
    let it = finish_making(node, operation, it, Ok(())).await?;
    person::follow(node, operation, &it, request.settings, request.dotfiles.as_ref()).await;
    let summary = format!("`{}` runs", it.name);
    outcome(node, &it, true, summary).await
}

/// Makes what a record says, once what it begins as was `prepared`; undoes it where that fails.
pub(super) async fn finish_making(
    node: &Node,
    operation: &Operation,
    mut it: Workspace,
    prepared: Result<(), Problem>,
) -> Result<Workspace, Problem> {
    let made = match prepared {
        Ok(()) => made(node, operation, &mut it).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = made {
        undo(operation, remove::forget(node, &it).await);
        return Err(problem);
    }
    it.making = false;
    save(node, &it).await?;
    Ok(it)
}

/// Makes a destroyed workspace again of the home that was kept.
pub(crate) async fn restore(
    node: &Node,
    operation: &Operation,
    name: &str,
    request: RestoreWorkspace,
) -> Result<Outcome, Problem> {
    let found = kept(node, name).await?;
    let id_lock = node.workspaces.lock(found.id.as_str());
    let _held = id_lock.lock().await;
    // It may have been restored or removed while this waited.
    let (mut it, before) = match node.store.workspace(&found.id).await.or_problem()? {
        Some(mut it) => {
            if it.kept.is_some_and(|kept| !kept.cleared) {
                remove::clear(node, &mut it).await?;
            }
            (it.clone(), it)
        }
        None => return Err(nothing_kept(name)),
    };
    it.name = request.name.unwrap_or(it.name);
    let lock = node.workspaces.lock(it.name.as_str());
    let _held_too = lock.lock().await;
    refuse_taken(node, &it.name).await?;
    require_image(node, it.begins_as()).await?;
    it.generation = it.generation.next();
    it.making = true;
    tree::forget_gone(node, &mut it).await?;
    save(node, &it).await?;
    let was_made = made(node, operation, &mut it).await;
    let restored = match was_made {
        Ok(()) => {
            let record = Workspace {
                making: false,
                desired: Desired::Running,
                slept: false,
                kept: None,
                ..it
            };
            save(node, &record).await.map(|()| record)
        }
        Err(problem) => Err(problem),
    };
    match restored {
        Ok(it) => {
            let summary = format!("`{}` runs again, with the home that was kept", it.name);
            outcome(node, &it, true, summary).await
        }
        Err(problem) => {
            undo(operation, unrestore(node, before).await);
            Err(problem)
        }
    }
}

/// Undoes what a restore that failed has made; the home stays kept.
pub(super) async fn unrestore(node: &Node, mut it: Workspace) -> Result<(), Problem> {
    it.making = false;
    it.kept = it.kept.map(|kept| Kept { cleared: false, ..kept });
    remove::clear(node, &mut it).await
}

fn undo(operation: &Operation, undone: Result<(), Problem>) {
    if let Err(problem) = undone {
        tracing::warn!(%problem, "a workspace could not be unmade");
        operation.note("what is left of it is removed as soon as that is possible");
    }
}

/// The destroyed workspace with a name or identity, the one that was destroyed last.
async fn kept(node: &Node, name: &str) -> Result<Workspace, Problem> {
    if find(node, name).await.is_ok() {
        return Err(Problem::new(Code::Exists, format!("workspace `{name}` is not destroyed")));
    }
    let mut all = node.store.workspaces().await.or_problem()?;
    let by_name: WorkspaceName = name.parse().map_err(invalid_name)?;
    all.retain(|it| it.kept.is_some() && (it.name == by_name || it.id.as_str() == name));
    let last = all.into_iter().max_by_key(|it| it.kept.map(|kept| kept.until));
    last.ok_or_else(|| nothing_kept(name))
}

fn nothing_kept(name: &str) -> Problem {
    Problem::new(Code::NotFound, format!("no home of a workspace `{name}` is kept"))
        .hint("`dwell ws ls --all` lists those that are")
}

/// Refuses a name that is in use; what is left of one that was never finished is removed first.
pub(crate) async fn refuse_taken(node: &Node, name: &WorkspaceName) -> Result<(), Problem> {
    if let Some(there) = node.remotes.workspace(name.as_str(), false)? {
        return Err(Problem::new(Code::Exists, format!("node `{there}` has a workspace `{name}`"))
            .hint("names are told apart on all nodes: choose another one"));
    }
    match named(node, name).await? {
        None => Ok(()),
        // Whoever makes one holds the lock of its name, which we do.
        Some(there) if there.making => remove::forget(node, &there).await,
        Some(_) => Err(exists(name)),
    }
}

pub(super) async fn require_image(node: &Node, image: &ImageRef) -> Result<(), Problem> {
    if node.engine.has_image(image.as_str()).await.or_problem()? {
        return Ok(());
    }
    let hint = if *image == ImageRef::default() {
        "`dwell image build` makes it; any Debian-family image can be named with `--image`"
            .to_owned()
    } else {
        format!("`docker pull {image}` gets it")
    };
    Err(Problem::new(Code::NotFound, format!("there is no image `{image}` here")).hint(hint))
}

/// The limits that were asked for, as far as the machine has them.
pub(super) async fn limits(
    node: &Node,
    operation: &Operation,
    sizing: &Sizing,
    over: Limits,
) -> Result<Limits, Problem> {
    let asked = sizing.over(over);
    let known = &node.workspaces.processors;
    let ask = async || Ok::<_, Problem>(node.engine.info().await.or_problem()?.processors);
    let limits = asked.on_machine(*known.get_or_try_init(ask).await?);
    if limits != asked {
        let (asked, has) = (asked.cpus(), limits.cpus());
        operation
            .note(format!("it may use {has} processors, not {asked}: the machine has no more"));
    }
    Ok(limits)
}

async fn made(node: &Node, operation: &Operation, it: &mut Workspace) -> Result<(), Problem> {
    let name = it.name.clone();
    tokio::select! {
        made = make(node, operation, it) => made,
        () = operation.cancelled() => {
            let message = format!("making workspace `{name}` was cancelled and undone");
            Err(Problem::new(Code::Cancelled, message))
        }
    }
}

async fn make(node: &Node, operation: &Operation, it: &mut Workspace) -> Result<(), Problem> {
    let told = |step: &str, state| operation.tell(Event::Step { step: step.to_owned(), state });
    let first = "making the workspace";
    told(first, StepState::Started);
    fault::at("workspace_record", "after")?;
    given::make(node, it)?;
    network::allot(node, it).await?;
    save(node, it).await?;
    // Engines ask for the network only when the container starts.
    let (key, network, container) =
        tokio::join!(given::prepare(node, it), own_network(node, it), home_and_container(node, it));
    it.host_key = key?;
    network?;
    container?;
    save(node, it).await?;
    fault::at("workspace_container", "after")?;
    if !it.environments.is_empty() {
        network::wire(node, it).await?;
    }
    told(first, StepState::Done);
    let second = "starting the workspace";
    told(second, StepState::Started);
    start(node, it).await?;
    docker::ready(node, it).await?;
    fault::at("workspace_start", "after")?;
    told(second, StepState::Done);
    Ok(())
}

pub(super) async fn own_network(node: &Node, it: &Workspace) -> Result<(), Problem> {
    network::make(node, it, labels(node, it)).await?;
    fault::at("workspace_network", "after")
}

pub(super) async fn home_and_container(node: &Node, it: &Workspace) -> Result<(), Problem> {
    for name in [it.home()].into_iter().chain(it.docker_data()) {
        let volume = disk::volume(node, it, &name).await?;
        node.engine.create_volume(&volume).await.or_problem()?;
    }
    container(node, it).await
}

/// Makes the container of the present generation.
pub(super) async fn container(node: &Node, it: &Workspace) -> Result<(), Problem> {
    let mut labels = labels(node, it);
    labels.insert(label::GENERATION.to_owned(), it.generation.to_string());
    labels.insert(label::ROLE.to_owned(), "workspace".to_owned());
    let first = given::own_binary();
    let variables = it.variables().into_iter().map(|(name, value)| format!("{name}={value}"));
    let spec = MachineSpec {
        name: it.container(),
        hostname: it.name.to_string(),
        image: it.begins_as().to_string(),
        command: vec![first, "workspace-init".to_owned()],
        variables: variables.collect(),
        labels,
        network: it.network(),
        volume: (it.home(), HOME.to_owned()),
        directories: [
            tree::directories(node, it).await?,
            credentials::directories(node, it)?,
            docker::directories(node, it),
        ]
        .concat(),
        volumes: it.docker_data().map(|name| (name, DOCKER_DATA.to_owned())).into_iter().collect(),
        rights: Rights {
            devices: [docker::rights(it).devices, android::devices(it)].concat(),
            ..docker::rights(it)
        },
        resources: resources(&it.limits),
        disk: disk::of_container(node, it).await?,
    };
    node.engine.create_machine(spec).await.or_problem()
}

/// Starts its container and waits until commands can run.
pub(super) async fn start(node: &Node, it: &Workspace) -> Result<(), Problem> {
    let started = node.engine.start_until(&it.container(), READY, READY_LIMIT).await;
    started.or_problem().map_err(|problem| Problem {
        message: format!("workspace `{}` did not start: {}", it.name, problem.message),
        ..problem
    })?;
    android::ready(node, it).await
}

pub(super) fn resources(limits: &Limits) -> Resources {
    Resources {
        nano_cpus: i64::from(limits.millicpus) * 1_000_000,
        memory: i64::try_from(limits.memory_mb << 20).unwrap_or(i64::MAX),
    }
}
