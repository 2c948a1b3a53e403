//! Commands in workspaces. One that is frozen is woken first, once for all who ask at a time.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::Problem;
use dwell_api::workspace::WorkspaceExec;
use dwell_core::observed::State;
use dwell_core::workspace::{Desired, HOME, USER, Workspace};
use dwell_drivers::docker::ExecSpec;

use super::change::{bring, not_running};
use super::{current, find, refuse_unfinished, save, state};
use crate::api::{Refusal, upgrade_of};
use crate::node::Node;

/// A login shell, the best one that there is.
const SHELL: [&str; 3] = ["sh", "-c", "exec \"$(command -v bash || echo sh)\" -l"];

/// Starts the command and answers the upgrade.
pub(crate) async fn exec(
    node: Arc<Node>,
    name: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, exec): (_, WorkspaceExec) = upgrade_of(request).await?;
    let it = awake(&node, find(&node, name).await?).await?;
    let size = exec.size;
    let container = it.container();
    crate::exec::start(node, &container, spec(&it, exec), size, upgrade).await
}

/// The workspace once it runs: what is frozen goes on, what is stopped stays so.
pub(super) async fn awake(node: &Node, it: Workspace) -> Result<Workspace, Problem> {
    let seen = current(&it, node.world.of_workspace(&it.id)).map(|container| container.state);
    if seen == Some(State::Running) && it.desired == Desired::Running {
        return Ok(it);
    }
    let lock = node.workspaces.lock(it.id.as_str());
    let _held = lock.lock().await;
    let mut it = find(node, it.id.as_str()).await?;
    refuse_unfinished(&it)?;
    match state(node, &it).await? {
        Some(State::Running) => Ok(it),
        Some(State::Paused) => {
            it.desired = Desired::Running;
            save(node, &it).await?;
            bring(node, &mut it).await?;
            state(node, &it).await?;
            Ok(it)
        }
        _ => Err(not_running(&it)),
    }
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
