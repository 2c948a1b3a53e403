//! Commands in workspaces. One that sleeps is woken first, once for all who ask at a time.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::workspace::WorkspaceExec;
use dwell_api::{Code, Problem};
use dwell_core::WorkspaceId;
use dwell_core::idle::Source;
use dwell_core::observed::State;
use dwell_core::workspace::{Desired, HOME, USER, Workspace};
use dwell_drivers::docker::ExecSpec;

use super::change::{not_running, rouse};
use super::commands::Commands;
use super::{entered, find, refuse_unfinished, save, seen, settings, state};
use crate::api::{Refusal, upgrade_of};
use crate::exec::Used;
use crate::idle::{Busy, Meter, note};
use crate::node::Node;
use crate::problem::OrProblem;

/// A login shell, the best one that there is.
const SHELL: [&str; 3] = ["sh", "-c", "exec \"$(command -v bash || echo sh)\" -l"];

/// Starts the command and answers the upgrade.
pub(crate) async fn exec(
    node: Arc<Node>,
    name: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, exec): (_, WorkspaceExec) = upgrade_of(request).await?;
    let source = if exec.tty { Source::Typing } else { Source::Task };
    let it = awake(&node, find(&node, name).await?, source).await?;
    let (size, is_terminal) = (exec.size, exec.tty);
    let commands = Commands::of(&node, &it);
    let used = Used {
        busy: Busy::new(node.clone(), it.id.clone(), is_terminal),
        meter: is_terminal.then(|| Meter::terminal(node.clone(), it.id.clone())),
    };
    let running = commands.start(spec(&it, exec), size).await.or_problem()?;
    Ok(crate::exec::answer(running, upgrade, Some(used)))
}

/// The workspace once it runs: what is frozen goes on, what dwell stopped is started, what a
/// person stopped stays so. Once for all who ask at a time.
pub(crate) async fn awake(
    node: &Arc<Node>,
    it: Workspace,
    source: Source,
) -> Result<Workspace, Problem> {
    // Before it is looked whether it runs: whoever puts it to sleep meanwhile looks for this last.
    note(node, &it.id, source);
    let it = find(node, it.id.as_str()).await?;
    if runs(node, &it) {
        return Ok(it);
    }
    let (node, id) = (node.clone(), it.id);
    // On its own, so that one who does not wait for it does not cut it off for the others.
    let woken = tokio::spawn(async move { wake(&node, &id).await }).await;
    woken.unwrap_or_else(|error| Err(Problem::new(Code::Internal, error.to_string())))
}

fn runs(node: &Node, it: &Workspace) -> bool {
    it.desired == Desired::Running && seen(node, it) == Some(State::Running)
}

async fn wake(node: &Node, id: &WorkspaceId) -> Result<Workspace, Problem> {
    let lock = node.workspaces.lock(id.as_str());
    let _held = lock.lock().await;
    let it = find(node, id.as_str()).await?;
    refuse_unfinished(&it)?;
    if runs(node, &it) {
        return Ok(it);
    }
    if seen(node, &it) == Some(State::Paused) && thawed(node, it.clone()).await? {
        entered(node, &it);
        return find(node, id.as_str()).await;
    }
    match state(node, &it).await? {
        Some(State::Running) if it.desired == Desired::Running => Ok(it),
        Some(State::Paused | State::Running) => roused(node, it).await,
        _ if it.slept => roused(node, it).await,
        _ => Err(not_running(&it)),
    }
}

/// Lets one go on that was last seen frozen; whether that is how it is. Where it is not, what is
/// to be done follows from what it is.
async fn thawed(node: &Node, mut it: Workspace) -> Result<bool, Problem> {
    let before = (it.desired, it.slept);
    it.want(Desired::Running);
    let container = it.container();
    // Thawed without the wish being recorded, as a crash may leave it, it is only frozen again.
    let (saved, thawed) = tokio::join!(save(node, &it), node.engine.thaw(&container));
    saved?;
    if thawed.is_ok() && state(node, &it).await? == Some(State::Running) {
        if let Some(note) = settings::catch_up(node, &it).await {
            tracing::info!(workspace = %it.name, "{note}");
        }
        return Ok(true);
    }
    (it.desired, it.slept) = before;
    save(node, &it).await?;
    Ok(false)
}

async fn roused(node: &Node, mut it: Workspace) -> Result<Workspace, Problem> {
    for note in rouse(node, &mut it).await? {
        tracing::info!(workspace = %it.name, "{note}");
    }
    state(node, &it).await?;
    entered(node, &it);
    Ok(it)
}

fn spec(it: &Workspace, exec: WorkspaceExec) -> ExecSpec {
    let given = exec.variables.into_iter();
    let variables = it.variables().into_iter().chain(given);
    let is_empty = exec.command.is_empty();
    ExecSpec {
        command: if is_empty { SHELL.map(str::to_owned).into() } else { exec.command },
        tty: exec.tty,
        stdin: exec.stdin,
        variables: variables.map(|(name, value)| format!("{name}={value}")).collect(),
        user: Some(exec.user.unwrap_or_else(|| USER.to_owned())),
        directory: Some(exec.directory.unwrap_or_else(|| HOME.to_owned())),
    }
}
