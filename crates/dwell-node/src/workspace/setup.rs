//! What makes a workspace's file system what is wanted: commands that are run again where it
//! begins anew.

use std::time::Duration;

use dwell_api::event::Outcome;
use dwell_api::snapshot::ChangeSetup;
use dwell_api::{Code, Event, Problem, StepState};
use dwell_core::workspace::{SetupStep, Workspace};
use dwell_drivers::docker::ExecSpec;
use futures_util::StreamExt;

use super::commands::Commands;
use super::{awake, find, outcome, refuse_unfinished, save};
use crate::node::Node;
use crate::operation::Operation;
use crate::problem::OrProblem;

/// How long one command may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// What is run again.
pub(crate) async fn list(node: &Node, name: &str) -> Result<Vec<SetupStep>, Problem> {
    Ok(find(node, name).await?.setup)
}

/// Changes it.
pub(crate) async fn change(
    node: &std::sync::Arc<Node>,
    operation: &Operation,
    name: &str,
    change: ChangeSetup,
) -> Result<Outcome, Problem> {
    let mut it = find(node, name).await?;
    refuse_unfinished(&it)?;
    if let ChangeSetup::Add { step, only_keep: false } = &change {
        it = awake(node, it, dwell_core::idle::Source::Task).await?;
        run(node, operation, &it, step).await?;
    }
    let lock = node.workspaces.lock(it.id.as_str());
    let _held = lock.lock().await;
    let mut it = find(node, it.id.as_str()).await?;
    let summary = match change {
        ChangeSetup::Add { step, .. } => {
            let summary = format!("`{step}` is run again when `{}` begins anew", it.name);
            it.setup.push(step);
            summary
        }
        ChangeSetup::Remove { number } => {
            let index = number.checked_sub(1).filter(|index| *index < it.setup.len());
            let Some(index) = index else {
                let message = format!("workspace `{}` has no setup step {number}", it.name);
                return Err(Problem::new(Code::NotFound, message)
                    .hint(format!("`dwell ws setup ls {}` lists them", it.name)));
            };
            let gone = it.setup.remove(index);
            format!("`{gone}` is not run again")
        }
    };
    save(node, &it).await?;
    outcome(node, &it, true, summary).await
}

/// Runs all of them, one after the other.
pub(super) async fn replay(
    node: &Node,
    operation: &Operation,
    it: &Workspace,
    steps: &[SetupStep],
) -> Result<(), Problem> {
    for step in steps {
        tokio::select! {
            done = run(node, operation, it, step) => done?,
            () = operation.cancelled() => {
                return Err(Problem::new(Code::Cancelled, "it was cancelled and undone"));
            }
        }
    }
    Ok(())
}

async fn run(
    node: &Node,
    operation: &Operation,
    it: &Workspace,
    step: &SetupStep,
) -> Result<(), Problem> {
    let told = |state| operation.tell(Event::Step { step: format!("running `{step}`"), state });
    told(StepState::Started);
    let spec = ExecSpec {
        command: step.command.clone(),
        user: Some(step.user.clone()),
        directory: Some("/".to_owned()),
        variables: vec!["DEBIAN_FRONTEND=noninteractive".to_owned()],
        ..ExecSpec::default()
    };
    let ended = async {
        let mut running = Commands::of(node, it).start(spec, None).await.or_problem()?;
        while let Some(piece) = running.output.next().await {
            let text = String::from_utf8_lossy(&piece.or_problem()?.1).into_owned();
            for line in text.lines() {
                operation.tell(Event::Output { line: line.to_owned() });
            }
        }
        running.control.code().await.or_problem()
    };
    let code = tokio::time::timeout(LIMIT, ended).await.unwrap_or_else(|_| {
        let message = format!("`{step}` took longer than {} s", LIMIT.as_secs());
        Err(Problem::new(Code::Timeout, message))
    })?;
    if code != 0 {
        let message = format!("`{step}` ended with {code} in `{}`", it.name);
        return Err(Problem::new(Code::ToolFailed, message));
    }
    told(StepState::Done);
    Ok(())
}
