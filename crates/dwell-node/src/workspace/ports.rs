//! What listens in workspaces. One that is frozen is looked at from outside, and stays so.

use std::sync::Arc;
use std::time::Duration;

use dwell_api::workspace::{Ports, PortsQuery};
use dwell_api::{Code, Problem};
use dwell_core::idle::Source;
use dwell_core::listening::Listener;
use dwell_core::observed::State;
use dwell_core::workspace::{GIVEN, Workspace};
use dwell_drivers::listening::look;

use super::change::not_running;
use super::exec::awake;
use super::{find, given, quietly, state};
use crate::node::Node;
use crate::problem::OrProblem;

/// How long looking may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What listens in a workspace.
pub(crate) async fn ports(
    node: &Arc<Node>,
    name: &str,
    query: PortsQuery,
) -> Result<Ports, Problem> {
    let it = find(node, name).await?;
    let it = if query.wake { awake(node, it, Source::Request).await? } else { it };
    match state(node, &it).await? {
        Some(State::Running) => Ok(Ports { listening: inside(node, &it).await?, frozen: false }),
        Some(State::Paused) => Ok(Ports { listening: outside(node, &it).await?, frozen: true }),
        _ => Err(not_running(&it)),
    }
}

/// Asks a process of ours in it, which sees whose each socket is.
async fn inside(node: &Node, it: &Workspace) -> Result<Vec<Listener>, Problem> {
    given::renew(node, it).await?;
    let command = vec![format!("{GIVEN}/{}", given::BINARY), "workspace-listening".to_owned()];
    let said = quietly(node, it, "0", command, LIMIT).await.or_problem()?;
    serde_json::from_slice(&said.stdout)
        .map_err(|_| unseen(it, String::from_utf8_lossy(&said.stderr).trim()))
}

/// Reads its tables from here. Processes are known there by other numbers.
async fn outside(node: &Node, it: &Workspace) -> Result<Vec<Listener>, Problem> {
    let first = node.engine.first_process(&it.container()).await.or_problem()?;
    let first = first.ok_or_else(|| not_running(it))?;
    let looking = tokio::task::spawn_blocking(move || look(Some(first))).await;
    let seen = looking.map_err(|e| unseen(it, &e.to_string()))?;
    let seen = seen.map_err(|e| {
        unseen(it, &e.to_string()).hint(format!("`dwell ports --wake {}` wakes it", it.name))
    })?;
    Ok(seen.into_iter().map(|listener| Listener { pid: None, ..listener }).collect())
}

fn unseen(it: &Workspace, why: &str) -> Problem {
    Problem::new(Code::State, format!("what listens in `{}` cannot be seen: {why}", it.name))
}
