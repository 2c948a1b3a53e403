//! What a move has stopped: written down before it is stopped, so that it runs again where it was
//! whenever the move does not come to its end, also when its node is away at that moment.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use dwell_api::{Code, Problem};
use dwell_core::{EnvironmentId, NodeName, OperationId, ServiceName};
use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::facts::write;
use crate::node::Node;

/// Something that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Halted {
    /// The move that stopped it.
    pub(crate) operation: OperationId,
    /// Where it was.
    pub(crate) node: NodeName,
    /// The environment, as that node knows it.
    pub(crate) environment: EnvironmentId,
    /// The service; all of it where it is `None`.
    pub(crate) service: Option<ServiceName>,
}

fn file(node: &Node) -> PathBuf {
    node.paths.state.join("halted.json")
}

fn read(node: &Node) -> BTreeSet<Halted> {
    let text = std::fs::read(file(node)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

async fn change(node: &Node, change: impl FnOnce(&mut BTreeSet<Halted>)) -> Result<(), Problem> {
    let _one_at_a_time = node.halting.lock().await;
    let mut all = read(node);
    let before = all.len();
    change(&mut all);
    if all.is_empty() && before == 0 {
        return Ok(());
    }
    let text = serde_json::to_vec(&all)
        .map_err(|e| Problem::new(Code::Internal, format!("what was stopped is not kept: {e}")))?;
    write(&file(node), &text)
}

/// Remembers what is about to be stopped.
pub(crate) async fn note(node: &Node, halted: Vec<Halted>) -> Result<(), Problem> {
    change(node, |all| all.extend(halted)).await
}

/// Forgets what a move has stopped: it runs elsewhere now.
pub(crate) async fn forget(node: &Node, operation: &OperationId) -> Result<(), Problem> {
    change(node, |all| all.retain(|halted| halted.operation != *operation)).await
}

/// Starts again what a move has stopped. What cannot be started now is started when its node is
/// back; gives why it cannot.
pub(crate) async fn revive(node: &Arc<Node>, operation: &OperationId) -> Vec<Problem> {
    let all = read(node).into_iter().filter(|halted| halted.operation == *operation);
    let mut left = Vec::new();
    for halted in all.collect::<Vec<_>>() {
        if let Err(problem) = start(node, &halted).await {
            left.push(problem);
        }
    }
    left
}

/// Starts again what moves have stopped that are over.
pub(crate) async fn revive_what_is_left(node: &Arc<Node>) {
    for halted in read(node) {
        let goes_on = node.operations.find(halted.operation.as_str());
        let reachable = halted.node.is_local() || node.remotes.down(&halted.node).is_none();
        if goes_on.is_some_and(|operation| !operation.has_ended()) || !reachable {
            continue;
        }
        if let Err(problem) = start(node, &halted).await {
            tracing::warn!(%problem, node = %halted.node, "what a move stopped is not running yet");
        }
    }
}

async fn start(node: &Arc<Node>, halted: &Halted) -> Result<(), Problem> {
    let place = Place::new(&halted.node, &halted.environment);
    let started = match &halted.service {
        Some(service) => place.revive(node, service).await,
        None => place.start_all(node).await,
    };
    match started {
        // What was destroyed since need not run.
        Err(problem) if problem.code != Code::NotFound => Err(problem),
        _ => change(node, |all| all.retain(|other| other != halted)).await,
    }
}
