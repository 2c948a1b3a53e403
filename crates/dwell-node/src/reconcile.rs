//! The reconciler: from what is wanted and what was seen to what is to be done. It acts on the
//! difference, when something changed and now and then, and never on what it does not know.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dwell_api::environment::Destroy;
use dwell_core::EnvironmentId;
use dwell_core::environment::{Desired, Environment};
use dwell_core::observed::Container;
use dwell_core::operation::{Journal, Kind, Phase};

use crate::environment::moving::revive_what_is_left;
use crate::environment::{
    begin_destroy, begin_down, end_idle, say_farewell, start_again, stop_part,
};
use crate::node::{Node, random};
use crate::view::is_well;
use crate::world::EngineState;
use crate::{leftover, reserve, workspace};

const PASS: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Ended operations are kept this long for repeated calls: 24 h, in microseconds.
const REPLAY: i64 = 24 * 3600 * 1_000_000;

/// When an environment that does not come up is tried again.
#[derive(Default)]
struct Tries {
    next: HashMap<EnvironmentId, (Instant, Duration)>,
    /// The meeting with the engine after which an environment was last brought back.
    revived: HashMap<EnvironmentId, u64>,
}

impl Tries {
    fn due(&self, id: &EnvironmentId) -> bool {
        self.next.get(id).is_none_or(|(at, _)| *at <= Instant::now())
    }

    fn failed(&mut self, id: &EnvironmentId) {
        let pause = self.next.get(id).map_or(PASS, |(_, pause)| (*pause * 2).min(PAUSE_MAX));
        self.next.insert(id.clone(), (Instant::now() + pause, pause));
    }
}

/// Reconciles for ever.
pub(crate) async fn run(node: Arc<Node>) {
    let mut tries = Tries::default();
    let mut workspaces = workspace::Tries::default();
    let mut wait = PASS;
    loop {
        wait = tokio::select! {
            // Something changed, and may still: a second look follows soon.
            () = node.reconcile.notified() => SOON,
            () = tokio::time::sleep(wait) => PASS,
        };
        elsewhere(&node).await;
        if node.world.engine() != EngineState::Up {
            continue;
        }
        environments(&node, &mut tries).await;
        workspace::reconcile(&node, &mut workspaces).await;
        if let Err(problem) = leftover::remove(&node).await {
            tracing::warn!(%problem, "leftovers were not removed");
        }
        match end_idle(&node).await {
            Ok(Some(seconds)) => wait = wait.min(Duration::from_secs(seconds)),
            Ok(None) => {}
            Err(problem) => tracing::warn!(%problem, "idle shared services were not ended"),
        }
        reserve::keep(&node.paths.state);
        if let Err(error) = node.store.prune_operations(node.now() - REPLAY).await {
            tracing::warn!(%error, "old operations were not forgotten");
        }
    }
}

/// What was to be done on nodes that could not be reached then and can be now.
async fn elsewhere(node: &Arc<Node>) {
    revive_what_is_left(node).await;
    for there in node.remotes.reachable() {
        say_farewell(node, &there).await;
    }
    for environment in node.store.environments().await.unwrap_or_default() {
        let idle = node.operations.active(environment.id.as_str()).is_none();
        if environment.desired != Desired::Stopped || !idle {
            continue;
        }
        for (there, id) in &environment.parts {
            if node.remotes.runs(there, id)
                && let Err(problem) = stop_part(node, there, id).await
            {
                tracing::warn!(%problem, node = %there, "a part was not stopped");
            }
        }
    }
}

async fn environments(node: &Arc<Node>, tries: &mut Tries) {
    let all = match node.store.environments().await {
        Ok(all) => all,
        Err(error) => {
            tracing::warn!(%error, "nothing is reconciled: the state cannot be read");
            return;
        }
    };
    let mut shared_checked = false;
    for environment in all {
        if node.operations.active(environment.id.as_str()).is_some() || !tries.due(&environment.id)
        {
            continue;
        }
        let done = match environment.desired {
            Desired::Running if is_down(node, &environment, tries) => {
                if !shared_checked {
                    shared_checked = true;
                    if let Err(problem) = start_again(node).await {
                        tracing::warn!(%problem, "shared services were not started again");
                    }
                }
                bring_back(node, &environment).await
            }
            Desired::Destroyed => finish_destroying(node, &environment).await,
            Desired::Stopped if is_half_stopped(node, &environment).await => {
                finish_stopping(node, &environment).await
            }
            Desired::Running | Desired::Stopped => continue,
        };
        match done {
            Ok(()) => {
                tries.next.remove(&environment.id);
            }
            Err(problem) => {
                tracing::warn!(%problem, environment = %environment.label(), "not reconciled");
                tries.failed(&environment.id);
            }
        }
    }
}

/// Whether an environment that should run lacks a container, or has had nothing running since
/// the engine came back. Services that end by themselves while the engine runs are left to their
/// restart policies, as compose leaves them.
fn is_down(node: &Node, environment: &Environment, tries: &mut Tries) -> bool {
    let Some(facts) = node.facts.get(&environment.id) else { return false };
    let containers = node.world.containers(&environment.id);
    let lacks = facts.services.values().any(|service| {
        let own = containers.iter().filter(|c| c.service.as_ref() == Some(&service.name)).count();
        own < usize::try_from(service.replicas).unwrap_or(usize::MAX)
    });
    let dark = !containers.iter().any(Container::runs) && !is_well(&facts, &containers, false);
    let met = node.world.met();
    let first_look = tries.revived.insert(environment.id.clone(), met) != Some(met);
    lacks || (dark && first_look)
}

/// Starts an environment's containers as they were, without reading its project anew.
async fn bring_back(node: &Arc<Node>, environment: &Environment) -> Result<(), dwell_api::Problem> {
    let lock = node.operations.environment_lock(&environment.project, &environment.name);
    let Ok(_held) = lock.try_lock() else { return Ok(()) };
    // It may have been taken down or destroyed since the list was read.
    let now = node.store.environment(&environment.id).await;
    if !matches!(&now, Ok(Some(now)) if now.desired == Desired::Running) {
        return Ok(());
    }
    tracing::info!(environment = %environment.label(), "bringing it back up");
    crate::environment::bring_back(node, environment).await
}

/// Whether containers are left of a stop that failed, or of a start that could not be undone.
/// What somebody started by other means is left alone.
async fn is_half_stopped(node: &Node, environment: &Environment) -> bool {
    if node.world.containers(&environment.id).is_empty() {
        return false;
    }
    let last = node.store.last_operation(&environment.id).await.ok().flatten();
    last.filter(|journal| journal.phase == Phase::Failed).is_some_and(|journal| {
        let request = serde_json::from_value::<crate::operation::Request>(journal.request);
        match journal.kind {
            Kind::Down => true,
            Kind::Up => request.is_ok_and(|request| !request.before.ran),
            Kind::Create | Kind::CreateUp | Kind::Destroy => false,
            // What runs of it ran before.
            Kind::MoveServices | Kind::MoveOut | Kind::MoveIn | Kind::MoveOn => false,
        }
    })
}

async fn finish_stopping(
    node: &Arc<Node>,
    environment: &Environment,
) -> Result<(), dwell_api::Problem> {
    let id = dwell_core::OperationId::from_random(random()?);
    let key = format!("reconcile-{id}");
    let (operation, _) = node.operations.join_or_begin(&key, id, "");
    let name = environment.id.as_str();
    begin_down(node.clone(), operation.clone(), &key, name, None).await?;
    operation.outcome().await.map(drop)
}

/// A destruction that failed half-way is tried again until nothing is left.
async fn finish_destroying(
    node: &Arc<Node>,
    environment: &Environment,
) -> Result<(), dwell_api::Problem> {
    let id = dwell_core::OperationId::from_random(random()?);
    let key = format!("reconcile-{id}");
    let (operation, _) = node.operations.join_or_begin(&key, id, "");
    let destroy = Destroy { force: true, ..asked_for(node, environment).await };
    let name = environment.id.as_str();
    begin_destroy(node.clone(), operation.clone(), &key, name, None, destroy).await?;
    operation.outcome().await.map(drop)
}

/// The destruction as it was asked for; where that is not known, one that keeps the tree.
async fn asked_for(node: &Node, environment: &Environment) -> Destroy {
    let last: Option<Journal> = node.store.last_operation(&environment.id).await.ok().flatten();
    let request = last.and_then(|journal| {
        serde_json::from_value::<crate::operation::Request>(journal.request).ok()
    });
    request.map_or_else(
        || Destroy { keep_workspace: true, ..Destroy::default() },
        |request| request.destroy,
    )
}
