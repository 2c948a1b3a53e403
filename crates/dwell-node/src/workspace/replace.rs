//! Replacing a workspace's container by another one. The old one stays until the new one runs;
//! whatever fails, or a crash, brings it back.

use dwell_api::{Event, Problem, StepState};
use dwell_core::workspace::{SetupStep, Workspace};

use super::create::{container, start};
use super::{copy, given, hook, network, save, settings, setup, state};
use crate::node::Node;
use crate::operation::{Operation, fault};
use crate::problem::OrProblem;
use crate::session;

/// Goes on once the record says what is to be, and what that begins as was `prepared`.
pub(super) async fn finish(
    node: &Node,
    operation: &Operation,
    it: &mut Workspace,
    prepared: Result<(), Problem>,
    steps: &[SetupStep],
) -> Result<(), Problem> {
    let replaced = match prepared {
        Ok(()) => swap(node, operation, it, steps).await,
        Err(problem) => Err(problem),
    };
    if let Err(problem) = replaced {
        operation.note("it goes back to what it was");
        go_back(node, it).await?;
        return Err(problem);
    }
    it.before = None;
    save(node, it).await?;
    copy::sweep(node, it).await
}

async fn swap(
    node: &Node,
    operation: &Operation,
    it: &Workspace,
    steps: &[SetupStep],
) -> Result<(), Problem> {
    let told = |step: &str, state| operation.tell(Event::Step { step: step.to_owned(), state });
    let step = "replacing the container";
    told(step, StepState::Started);
    if let Some(old) = it.old_container() {
        let mut was = it.clone();
        was.go_back();
        if let Some(wrong) = hook::pre_stop(node, &was).await? {
            operation.note(wrong);
        }
        // A frozen process cannot end by itself.
        let _ = node.engine.thaw(&old).await;
        node.engine.stop(&old).await.or_problem()?;
    }
    fault::at("workspace_replace", "stopped")?;
    given::prepare(node, it).await?;
    container(node, it).await?;
    network::wire(node, it).await?;
    start(node, it).await?;
    state(node, it).await?;
    told(step, StepState::Done);
    setup::replay(node, operation, it, steps).await?;
    session::restore(node, it).await.into_iter().for_each(|note| operation.note(note));
    if let Some(note) = settings::catch_up(node, it).await {
        operation.note(note);
    }
    Ok(())
}

/// Brings back what was there before.
pub(super) async fn go_back(node: &Node, it: &mut Workspace) -> Result<(), Problem> {
    // The new one goes first: two are in each other's way.
    node.engine.remove(&it.container()).await.or_problem()?;
    it.go_back();
    save(node, it).await?;
    super::change::bring(node, it).await?;
    copy::sweep(node, it).await
}
