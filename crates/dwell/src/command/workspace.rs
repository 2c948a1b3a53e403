//! `workspace`: making, looking after, removing.

mod create;
mod destroy;
mod exec;
mod idle;
mod snapshot;

pub(super) use create::usual;
use dwell_api::event::Outcome;
use dwell_api::pool::Pool;
use dwell_api::workspace::{Change, ListWorkspaces, RestoreWorkspace, Workspace as Shown};
use dwell_api::{Code, Problem, endpoint};
use dwell_core::WorkspaceName;
use serde::Serialize;

pub(crate) use idle::keep;

pub(super) use exec::converse_in;

use super::operation::{finished, operate};
use super::{Context, now};
use crate::arguments::workspace::{AgentAccess, Workspace, WorkspaceAction as Action};
use crate::failure::{Ended, Failure};
use crate::output::workspace as show;

/// Acts on workspaces.
pub(crate) async fn run(it: Workspace, context: &Context) -> Ended {
    match it.action {
        Action::Create(it) => create::run(it, context).await,
        Action::Ls { all } => ls(all, context).await,
        Action::Show(it) => one(&it.name, context).await,
        Action::Start(it) => change(&it.name, Change::Start, context).await,
        Action::Stop(it) => change(&it.name, Change::Stop, context).await,
        Action::Suspend(it) => change(&it.name, Change::Suspend, context).await,
        Action::Resume(it) => change(&it.name, Change::Resume, context).await,
        Action::Resize { it, sizing } => change(&it.name, Change::Resize { sizing }, context).await,
        Action::Rename { it, to } => change(&it.name, Change::Rename { name: to }, context).await,
        Action::SshAgent { it, access } => {
            let allow = access == AgentAccess::Allow;
            change(&it.name, Change::Agents { allow }, context).await
        }
        Action::Join { it: m, tree } => {
            change(&m.it.name, Change::Join { environment: m.environment, tree }, context).await
        }
        Action::Leave(m) => {
            change(&m.it.name, Change::Leave { environment: m.environment }, context).await
        }
        Action::Snapshot(it) => snapshot::run(it, context).await,
        Action::Fork(it) => snapshot::fork(it, context).await,
        Action::Setup(it) => snapshot::setup(it, context).await,
        Action::Upgrade(it) => snapshot::upgrade(it, context).await,
        Action::Idle(it) => idle::run(it, context).await,
        Action::Pool => pool(context).await,
        Action::Exec(it) => exec::run(it, context).await,
        Action::Destroy(it) => destroy::run(it, context).await,
        Action::Restore { name, to } => {
            let body = RestoreWorkspace { name: to };
            act(&of(endpoint::WORKSPACE_RESTORE, &name), &body, context).await
        }
    }
}

/// An endpoint of a workspace.
pub(super) fn of(path: &str, name: &WorkspaceName) -> String {
    endpoint::fill(path, &[name.as_str()])
}

async fn change(name: &WorkspaceName, change: Change, context: &Context) -> Ended {
    act(&of(endpoint::WORKSPACE_CHANGE, name), &change, context).await
}

/// Runs an operation to its end and prints what it left.
async fn act<B: Serialize>(path: &str, body: &B, context: &Context) -> Ended {
    let result = operation(path, body, context).await?;
    finished(context, &result, "done")?;
    Ok(0)
}

async fn operation<B: Serialize>(
    path: &str,
    body: &B,
    context: &Context,
) -> Result<Outcome, Failure> {
    let mut client = context.connect().await?;
    match operate(context, &mut client, path, body, None).await {
        // A daemon that was started anew does not know the operation any more.
        Err(Failure::Problem(problem))
            if problem.code == Code::NotFound && problem.message.contains("no operation") =>
        {
            let message = "the daemon ended during the operation";
            Err(Problem::new(Code::Interrupted, message)
                .hint("what was being made is undone, what was being removed is finished")
                .into())
        }
        other => other,
    }
}

async fn ls(all: bool, context: &Context) -> Ended {
    let path = endpoint::query(endpoint::WORKSPACES, &ListWorkspaces { all });
    let all: Vec<Shown> = context.connect().await?.get(&path).await?;
    if context.output.is_quiet() {
        let names: String = all.iter().map(|it| format!("{}\n", it.name)).collect();
        context.output.text(&names)?;
        return Ok(0);
    }
    context.output.result(&all, |all, style| show::list(all, now(), style))?;
    Ok(0)
}

async fn pool(context: &Context) -> Ended {
    let pool: Pool = context.connect().await?.get(endpoint::POOL).await?;
    context.output.result(&pool, show::pool)?;
    Ok(0)
}

async fn one(name: &WorkspaceName, context: &Context) -> Ended {
    let path = of(endpoint::WORKSPACE, name);
    let it: Shown = context.connect().await?.get(&path).await?;
    context.output.result(&it, |it, style| show::one(it, now(), style))?;
    Ok(0)
}
