//! `remote`: other machines as nodes: registering, looking, forgetting.

mod bring;
mod init;

use std::time::{Duration, Instant};

use dwell_api::remote::{Machine, Pong, RemoteNode};
use dwell_api::{Code, Problem, endpoint};
use dwell_core::NodeName;
use dwell_drivers::deploy::DeployError;
use dwell_drivers::ssh::Why;
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Context, idempotency_key, now};
use crate::arguments::remote::{Remote, RemoteAction, Remove};
use crate::failure::{Ended, Failure};
use crate::output::remote as show;

pub(crate) use bring::Brought;

/// How long a node whose daemon was ended may take to be linked again.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two attempts at that.
const PAUSE: Duration = Duration::from_millis(100);

/// What one node has left, or why it does not tell.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) node: NodeName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<Machine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Problem>,
}

/// Acts on nodes.
pub(crate) async fn run(it: Remote, context: &Context) -> Ended {
    match it.action {
        RemoteAction::Add(it) => bring::add(it, context).await,
        RemoteAction::Ls => ls(context).await,
        RemoteAction::Ping { name } => ping(&name, context).await,
        RemoteAction::Status { names } => status(names, context).await,
        RemoteAction::Init(it) => init::run(it, context).await,
        RemoteAction::Remove(it) => remove(it, context).await,
        RemoteAction::Upgrade(it) => bring::upgrade(it, context).await,
    }
}

async fn ls(context: &Context) -> Ended {
    let all: Vec<RemoteNode> = context.connect().await?.get(endpoint::REMOTES).await?;
    if context.output.is_quiet() {
        let names: String = all.iter().map(|node| format!("{}\n", node.remote.name)).collect();
        context.output.text(&names)?;
        return Ok(0);
    }
    context.output.result(&all, |all, style| show::nodes(all, now(), style))?;
    Ok(0)
}

async fn ping(name: &NodeName, context: &Context) -> Ended {
    let pong = try_link(name, context).await?;
    context.output.result(&pong, |pong, _| show::pong(name, pong))?;
    Ok(0)
}

/// Makes the link to a node where it is down, and measures it.
async fn try_link(name: &NodeName, context: &Context) -> Result<Pong, Failure> {
    let path = endpoint::fill(endpoint::REMOTE_PING, &[name.as_str()]);
    Ok(context.connect().await?.post(&path, &idempotency_key()?, &json!({})).await?)
}

/// The same where the daemon there was just ended: the old link may be taken for a good one for
/// a moment.
async fn try_new_link(name: &NodeName, context: &Context) -> Result<Pong, Failure> {
    let begun = Instant::now();
    loop {
        match try_link(name, context).await {
            Err(Failure::Problem(problem)) if problem.retryable && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            linked => return linked,
        }
    }
}

/// A registered node.
async fn registered(name: &NodeName, context: &Context) -> Result<RemoteNode, Failure> {
    let path = endpoint::fill(endpoint::REMOTE, &[name.as_str()]);
    Ok(context.connect().await?.get(&path).await?)
}

/// Asks all nodes at once; one that does not answer is told beside the others.
async fn status(names: Vec<NodeName>, context: &Context) -> Ended {
    let names = if names.is_empty() {
        let all: Vec<RemoteNode> = context.connect().await?.get(endpoint::REMOTES).await?;
        let remotes = all.into_iter().map(|node| node.remote.name);
        [NodeName::local()].into_iter().chain(remotes).collect()
    } else {
        names
    };
    let asked = names.into_iter().map(|name| async move {
        match machine(&name, context).await {
            Ok(machine) => Ok(Status { node: name, machine: Some(machine), error: None }),
            Err(Failure::Problem(problem)) => {
                Ok(Status { node: name, machine: None, error: Some(*problem) })
            }
            Err(other) => Err(other),
        }
    });
    let all: Vec<Status> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    context.output.result(&all, |all, style| show::machines(all, now(), style))?;
    let failed = all.iter().find_map(|status| status.error.as_ref());
    Ok(failed.map_or(0, |problem| problem.code.exit_code()))
}

async fn machine(name: &NodeName, context: &Context) -> Result<Machine, Failure> {
    let path = match name.is_local() {
        true => endpoint::MACHINE.to_owned(),
        false => endpoint::fill(endpoint::REMOTE_MACHINE, &[name.as_str()]),
    };
    Ok(context.connect().await?.get(&path).await?)
}

async fn remove(it: Remove, context: &Context) -> Ended {
    let node = registered(&it.name, context).await?;
    if node.environments > 0 && !it.yes {
        context.output.note(&show::left_behind(&node));
        if !context.output.confirm(&format!("Forget node {}?", it.name), "--yes")? {
            return Err(Problem::new(Code::Cancelled, "nothing was changed").into());
        }
    }
    let path = endpoint::fill(endpoint::REMOTE_REMOVE, &[it.name.as_str()]);
    let _: Value = context.connect().await?.post(&path, &idempotency_key()?, &json!({})).await?;
    let done = json!({ "outcome": "success", "node": it.name });
    context.output.result(&done, |_, _| format!("forgot {}; what runs there goes on", it.name))?;
    Ok(0)
}

/// A failed deployment as a problem with the node.
fn problem(name: &NodeName, error: DeployError) -> Problem {
    let code = match &error {
        DeployError::Ssh(ssh) => match ssh.why {
            Why::Missing => Code::ToolMissing,
            Why::Failed { .. } | Why::CommandNotFound { .. } | Why::Unexpected { .. } => {
                Code::ToolFailed
            }
            _ => Code::NodeUnreachable,
        },
        DeployError::System { .. } => Code::InvalidArgument,
        DeployError::Newer { .. } => Code::Conflict,
        DeployError::DiskFull { .. } => Code::DiskFull,
        DeployError::NoBinary { .. } => Code::ToolMissing,
        DeployError::Facts { .. }
        | DeployError::Unreadable { .. }
        | DeployError::Damaged
        | DeployError::DoesNotRun { .. }
        | DeployError::OtherVersion { .. } => Code::ToolFailed,
    };
    let hint = error.hint();
    let somebody = matches!(&error, DeployError::Ssh(ssh) if ssh.needs_somebody());
    let mut problem = Problem::new(code, format!("node `{name}`: {error}"));
    problem.retryable &= !somebody;
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
