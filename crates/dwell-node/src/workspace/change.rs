//! What is done with a workspace that is there: what is wanted is recorded first, then acted on.

use dwell_api::event::Outcome;
use dwell_api::workspace::{Change, EnvironmentRef};
use dwell_api::{Code, Problem};
use dwell_core::WorkspaceName;
use dwell_core::observed::State;
use dwell_core::workspace::{Act, Desired, Sizing, Workspace};

use super::create::{container, limits, refuse_taken, resources, start};
use super::remake::remake;
use super::{
    docker, given, held, hook, hostname, network, outcome, refuse_unfinished, save, settings,
    state, tree,
};
use crate::node::Node;
use crate::operation::Operation;
use crate::problem::OrProblem;

/// Changes a workspace.
pub(crate) async fn change(
    node: &Node,
    operation: &Operation,
    name: &str,
    change: Change,
) -> Result<Outcome, Problem> {
    let (_held, mut it) = held(node, name).await?;
    refuse_unfinished(&it)?;
    let (changed, summary) = match change {
        Change::Start | Change::Resume => wake(node, operation, &mut it).await?,
        Change::Stop => stop(node, operation, &mut it).await?,
        Change::Suspend => suspend(node, &mut it).await?,
        Change::Resize { sizing } => resize(node, operation, &mut it, &sizing).await?,
        Change::Rename { name } => rename(node, operation, &mut it, name).await?,
        Change::Agents { allow } => agents(node, &mut it, allow).await?,
        Change::Join { environment, tree } => {
            let joined = join(node, &mut it, &environment).await?;
            if tree { with_tree(node, operation, &mut it, &environment).await? } else { joined }
        }
        Change::Leave { environment } => leave(node, &mut it, &environment).await?,
    };
    outcome(node, &it, changed, summary).await
}

type Changed = Result<(bool, String), Problem>;

async fn wake(node: &Node, operation: &Operation, it: &mut Workspace) -> Changed {
    let before = it.desired;
    let notes = rouse(node, it).await?;
    notes.iter().for_each(|note| operation.note(note));
    Ok((before != Desired::Running || !notes.is_empty(), format!("`{}` runs", it.name)))
}

/// Has it run; where that fails, what was wanted before is wanted again.
pub(super) async fn rouse(node: &Node, it: &mut Workspace) -> Result<Vec<String>, Problem> {
    let before = (it.desired, it.slept);
    it.want(Desired::Running);
    save(node, it).await?;
    let brought = bring(node, it).await;
    if brought.is_err() {
        (it.desired, it.slept) = before;
        save(node, it).await?;
    }
    brought
}

/// Records another wish and does what is due for it.
pub(crate) async fn settle_as(
    node: &Node,
    it: &mut Workspace,
    wanted: Workspace,
) -> Result<(), Problem> {
    *it = wanted;
    save(node, it).await?;
    bring(node, it).await?;
    state(node, it).await?;
    Ok(())
}

/// Does what is due so that a workspace is what is wanted; gives what there is to know.
pub(super) async fn bring(node: &Node, it: &mut Workspace) -> Result<Vec<String>, Problem> {
    let seen = state(node, it).await?;
    let mut notes = Vec::new();
    let act = it.due(seen);
    match act {
        None => {}
        Some(Act::Thaw) => node.engine.thaw(&it.container()).await.or_problem()?,
        Some(Act::Freeze) => node.engine.freeze(&it.container()).await.or_problem()?,
        Some(Act::Stop) => end(node, it, seen).await?,
        Some(Act::Start) => {
            if tree::forget_gone(node, it).await? {
                remake(node, it).await?;
                notes.push("a tree that it had is gone; its container is made anew".to_owned());
            }
            notes.extend(begin(node, it).await?);
        }
        Some(Act::Make) => {
            it.generation = it.generation.next();
            tree::forget_gone(node, it).await?;
            network::allot(node, it).await?;
            save(node, it).await?;
            network::make(node, it, super::labels(node, it)).await?;
            container(node, it).await?;
            let kept = if it.root.is_some() {
                "it is as when it was last made"
            } else {
                "only its home is as it was"
            };
            notes.push(format!("its container was gone and is made anew; {kept}"));
            notes.extend(begin(node, it).await?);
        }
    }
    if matches!(act, Some(Act::Thaw | Act::Start | Act::Make)) {
        notes.extend(settings::catch_up(node, it).await);
    }
    Ok(notes)
}

/// Starts the container, on the networks that are there now, and its sessions again.
async fn begin(node: &Node, it: &Workspace) -> Result<Vec<String>, Problem> {
    let (given, wired) = tokio::join!(given::prepare(node, it), network::wire(node, it));
    given?;
    start(node, it).await?;
    let apart = wired.err().map(|problem| format!("it is not in all its networks: {problem}"));
    let called = hostname::settle(node, it).await.err();
    let called = called.map(|problem| format!("inside it has another host name: {problem}"));
    let engine = docker::ready(node, it).await.err().map(|problem| problem.to_string());
    let restored = crate::session::restore(node, it).await;
    Ok(apart.into_iter().chain(called).chain(engine).chain(restored).collect())
}

async fn stop(node: &Node, operation: &Operation, it: &mut Workspace) -> Changed {
    it.want(Desired::Stopped);
    save(node, it).await?;
    if let Some(wrong) = hook::pre_stop(node, it).await? {
        operation.note(wrong);
    }
    let seen = state(node, it).await?;
    let ran = matches!(seen, Some(State::Running | State::Paused));
    end(node, it, seen).await?;
    Ok((ran, format!("`{}` is stopped; its file system stays", it.name)))
}

/// Ends its processes, seen in this state.
pub(super) async fn end(node: &Node, it: &Workspace, seen: Option<State>) -> Result<(), Problem> {
    // A frozen process cannot end by itself.
    if seen == Some(State::Paused) {
        node.engine.thaw(&it.container()).await.or_problem()?;
    }
    node.engine.stop(&it.container()).await.or_problem()
}

async fn suspend(node: &Node, it: &mut Workspace) -> Changed {
    let seen = state(node, it).await?;
    let summary = format!("`{}` is frozen; `dwell ws resume {}` lets it go on", it.name, it.name);
    match seen {
        Some(State::Running | State::Paused) => {}
        _ => return Err(not_running(it)),
    }
    it.want(Desired::Frozen);
    save(node, it).await?;
    node.engine.freeze(&it.container()).await.or_problem()?;
    Ok((seen == Some(State::Running), summary))
}

/// The problem that a workspace does not run.
pub(super) fn not_running(it: &Workspace) -> Problem {
    let name = &it.name;
    Problem::new(Code::NotRunning, format!("workspace `{name}` does not run"))
        .hint(format!("`dwell ws start {name}` starts it"))
}

async fn resize(
    node: &Node,
    operation: &Operation,
    it: &mut Workspace,
    sizing: &Sizing,
) -> Changed {
    let limits = limits(node, operation, sizing, it.limits).await?;
    let changed = limits != it.limits;
    let seen = state(node, it).await?;
    if limits.disk_mb != it.limits.disk_mb {
        operation.note("the limit of its disk is kept; what is there already is not held to it");
    }
    if changed && seen.is_some() {
        node.engine.resize(&it.container(), resources(&limits)).await.or_problem()?;
    }
    it.limits = limits;
    save(node, it).await?;
    tell_inside(node, it, seen).await?;
    Ok((changed, format!("`{}` may use {limits}", it.name)))
}

/// Those who log in from now on are told what the workspace is now.
async fn tell_inside(node: &Node, it: &Workspace, seen: Option<State>) -> Result<(), Problem> {
    given::variables(node, it)?;
    if seen == Some(State::Running) {
        node.engine.reload(&it.container()).await.or_problem()?;
    }
    Ok(())
}

async fn rename(
    node: &Node,
    operation: &Operation,
    it: &mut Workspace,
    name: WorkspaceName,
) -> Changed {
    let before = it.clone();
    if before.name == name {
        return Ok((false, format!("it is called `{name}` already")));
    }
    let lock = node.workspaces.lock(name.as_str());
    let _held = lock.lock().await;
    refuse_taken(node, &name).await?;
    let seen = state(node, it).await?;
    it.name = name;
    save(node, it).await?;
    if seen.is_some()
        && let Err(error) = node.engine.rename(&before.container(), &it.container()).await
    {
        it.name = before.name;
        save(node, it).await?;
        return Err(error).or_problem();
    }
    tell_inside(node, it, seen).await?;
    if let Err(problem) = hostname::again(node, it, &[before.name.as_str()]).await {
        tracing::warn!(%problem, workspace = %it.name, "its host name is the one of before");
        operation.note(format!("inside, the host is called `{}` as before", before.name));
    }
    Ok((true, format!("`{}` is called `{}` now", before.name, it.name)))
}

async fn agents(node: &Node, it: &mut Workspace, allow: bool) -> Changed {
    let changed = it.refuses_agents == allow;
    it.refuses_agents = !allow;
    save(node, it).await?;
    let seen = state(node, it).await?;
    tell_inside(node, it, seen).await?;
    let name = &it.name;
    let summary = match allow {
        true => format!("connections to `{name}` may forward their ssh agent"),
        false => format!("`{name}` refuses ssh agents of connections from now on"),
    };
    Ok((changed, summary))
}

async fn join(node: &Node, it: &mut Workspace, meant: &EnvironmentRef) -> Changed {
    let environment = network::environment(node, meant).await?;
    let before = it.clone();
    let new = it.environments.insert(environment.id.clone());
    save(node, it).await?;
    let wired = match state(node, it).await? {
        Some(_) => network::wire(node, it).await,
        None => Ok(()),
    };
    if let Err(problem) = wired {
        *it = before;
        save(node, it).await?;
        return Err(problem);
    }
    let (name, label) = (&it.name, environment.label());
    let names = format!("`<service>.{}.{}`", environment.name, environment.suffix);
    Ok((new, format!("`{name}` has joined `{label}`: {names} works in it")))
}

/// Gives a workspace the tree of an environment that it has joined.
async fn with_tree(
    node: &Node,
    operation: &Operation,
    it: &mut Workspace,
    meant: &EnvironmentRef,
) -> Changed {
    let environment = network::environment(node, meant).await?;
    let (name, label) = (it.name.clone(), environment.label());
    if it.trees.contains(&environment.id) {
        return Ok((false, format!("`{name}` has the tree of `{label}` already")));
    }
    let before = it.trees.clone();
    it.trees.insert(environment.id);
    operation.note("its processes are ended, for a new container; sessions that can go on do");
    let made = match state(node, it).await? {
        Some(_) => remake(node, it).await,
        None => save(node, it).await,
    };
    if let Err(problem) = made {
        it.trees = before;
        save(node, it).await?;
        return Err(problem);
    }
    let notes = bring(node, it).await?;
    notes.iter().for_each(|note| operation.note(note));
    let directory = environment.root.display();
    Ok((true, format!("`{name}` has the tree of `{label}`, at {directory}")))
}

async fn leave(node: &Node, it: &mut Workspace, meant: &EnvironmentRef) -> Changed {
    let environment = network::environment(node, meant).await?;
    let was = it.environments.remove(&environment.id);
    save(node, it).await?;
    if state(node, it).await?.is_some() {
        network::wire(node, it).await?;
    }
    Ok((was, format!("`{}` is not in `{}`", it.name, environment.label())))
}
