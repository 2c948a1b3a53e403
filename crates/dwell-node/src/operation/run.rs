//! Running a saga: forward step by step, backward on failure, and settling what a crash left.

use std::collections::BTreeMap;
use std::sync::Arc;

use dwell_api::event::Outcome;
use dwell_api::remote::Delivery;
use dwell_api::{Code, Event, Problem, StepState};
use dwell_core::NodeName;
use dwell_core::environment::Environment;
use dwell_core::operation::{Journal, Kind, Next, Phase, Step};

use super::{Operation, Request, fault};
use crate::environment::{Reading, act, is_bare, undo};
use crate::node::Node;
use crate::problem::OrProblem;
use crate::reserve;
use dwell_store::StoreError;

/// What the steps of one operation share.
pub(crate) struct Context {
    pub(crate) node: Arc<Node>,
    pub(crate) operation: Arc<Operation>,
    pub(crate) kind: Kind,
    pub(crate) request: Request,
    /// The record as the steps have made it so far.
    pub(crate) environment: Environment,
    /// The caller's variables, for interpolation and hooks; never stored.
    pub(crate) variables: BTreeMap<String, String>,
    /// What another node sent for it; never stored with the operation.
    pub(crate) delivery: Option<Delivery>,
    /// What this operation sends to other nodes.
    pub(crate) deliveries: BTreeMap<NodeName, Delivery>,
    /// The compose project as it was read.
    pub(crate) reading: Option<Reading>,
    /// The step that was begun last.
    reached: u32,
}

impl Context {
    pub(crate) fn new(
        node: Arc<Node>,
        operation: Arc<Operation>,
        kind: Kind,
        request: Request,
        variables: BTreeMap<String, String>,
    ) -> Self {
        let environment = request.environment.clone();
        Self {
            node,
            operation,
            kind,
            request,
            environment,
            variables,
            delivery: None,
            deliveries: BTreeMap::new(),
            reading: None,
            reached: 0,
        }
    }

    /// The same with what another node sent for it.
    pub(crate) fn delivered(mut self, delivery: Option<Delivery>) -> Self {
        self.delivery = delivery;
        self
    }
}

/// Records the operation and runs it to its end; ends the operation's event stream.
pub(crate) async fn run(mut context: Context, key: &str) -> Result<(), Problem> {
    let (node, operation) = (context.node.clone(), context.operation.clone());
    let environment = context.environment.id.clone();
    let request = serde_json::to_value(&context.request).map_err(|e| {
        Problem::new(Code::Internal, format!("the request cannot be recorded: {e}"))
    })?;
    let journal = Journal {
        id: operation.id.clone(),
        kind: context.kind,
        environment: environment.clone(),
        key: key.to_owned(),
        request,
        step: 0,
        phase: Phase::Forward,
        result: None,
        created: node.now(),
    };
    match node.store.add_operation(&journal).await {
        // What removes things frees space.
        Err(StoreError::Full) if context.kind.finishes() && reserve::release(&node.paths.state) => {
            node.store.add_operation(&journal).await.or_problem()?;
        }
        recorded => recorded.or_problem()?,
    }
    node.operations.set_active(environment.as_str(), Some(context.kind));
    let result = forward(&mut context, 0).await;
    let result = match result {
        Err(problem) if !context.kind.finishes_at(context.reached) => {
            let reached = context.reached;
            backward(&mut context, reached).await;
            Err(problem)
        }
        other => other,
    };
    settle(&context, result).await;
    node.operations.set_active(environment.as_str(), None);
    Ok(())
}

async fn settle(context: &Context, result: Result<Outcome, Problem>) {
    let (phase, value) = match &result {
        Ok(outcome) => (Phase::Done, serde_json::to_value(outcome)),
        Err(problem) => (Phase::Failed, serde_json::to_value(problem)),
    };
    let value = value.unwrap_or(serde_json::Value::Null);
    if let Err(error) = context.node.store.end_operation(&context.operation.id, phase, &value).await
    {
        tracing::error!(%error, operation = %context.operation.id, "its end was not recorded");
    }
    context.node.publish(&context.environment.id).await;
    crate::workspace::follow(&context.node, &context.environment.id).await;
    crate::environment::forget_former(context);
    if result.is_err() {
        // What could not be undone or finished is seen to.
        context.node.reconcile.notify_one();
    }
    context.operation.end(result);
}

async fn forward(context: &mut Context, from: u32) -> Result<Outcome, Problem> {
    for (number, step) in (0..).zip(context.kind.steps()).skip(usize::try_from(from).unwrap_or(0)) {
        let step = *step;
        if context.operation.is_cancelled() && !context.kind.finishes_at(number) {
            return Err(cancelled(context));
        }
        context.reached = number;
        let id = context.operation.id.clone();
        if number > from {
            context.node.store.advance_operation(&id, number, Phase::Forward).await.or_problem()?;
        }
        tell(context, step, StepState::Started);
        fault::point(step, "before")?;
        for _ in 0..fault::times("act") {
            act_or_cancel(context, number, step).await?;
        }
        fault::point(step, "after")?;
        tell(context, step, StepState::Done);
    }
    // Shown as it is from now on, not as something that is still happening.
    context.node.operations.set_active(context.environment.id.as_str(), None);
    context.node.outcome(context).await
}

/// A step ends early when it is cancelled, unless the operation must finish or the step writes
/// files itself: that cannot be stopped half-way. The tools that it runs end with it.
async fn act_or_cancel(context: &mut Context, number: u32, step: Step) -> Result<(), Problem> {
    // What follows another node's operation cancels that by itself.
    let in_one_piece =
        matches!(step, Step::Record | Step::Tree | Step::Files | Step::WantRunning | Step::Arrive);
    if context.kind.finishes_at(number) || in_one_piece {
        return act(context, step).await;
    }
    let operation = context.operation.clone();
    let problem = cancelled(context);
    tokio::select! {
        result = act(context, step) => result,
        () = operation.cancelled() => Err(problem),
    }
}

fn cancelled(context: &Context) -> Problem {
    let label = context.environment.label();
    Problem::new(Code::Cancelled, format!("the operation on `{label}` was cancelled and undone"))
}

async fn backward(context: &mut Context, from: u32) {
    let id = context.operation.id.clone();
    let steps: Vec<(u32, Step)> = (0..).zip(context.kind.steps().iter().copied()).collect();
    for (number, step) in steps.into_iter().rev().filter(|(number, _)| *number <= from) {
        if let Err(error) = context.node.store.advance_operation(&id, number, Phase::Backward).await
        {
            tracing::error!(%error, operation = %id, "the journal was not written while undoing");
        }
        if step != Step::Model {
            tell(context, step, StepState::Undoing);
        }
        for _ in 0..fault::times("undo") {
            if let Err(problem) = undo(context, step).await {
                tracing::warn!(%problem, step = step.title(), "a step could not be undone");
                context.operation.note(format!("{} could not be undone: {problem}", step.title()));
                if context.request.create.is_some() && give_up(context).await.is_ok() {
                    return;
                }
            }
        }
    }
}

/// A new environment that cannot be unmade now, because the engine does not answer say, keeps
/// its record: the reconciler destroys it as soon as that can be done.
async fn give_up(context: &mut Context) -> Result<(), Problem> {
    let there = context.node.store.environment(&context.environment.id).await.or_problem()?;
    if there.is_none() {
        return Err(Problem::new(Code::NotFound, "its record is gone"));
    }
    crate::environment::want_gone(context).await?;
    context.operation.note("what is left of it is removed as soon as that is possible");
    Ok(())
}

fn tell(context: &Context, step: Step, state: StepState) {
    let nothing_to_tell = matches!(step, Step::Model | Step::Containers) && is_bare(context);
    if step.shown() && !nothing_to_tell {
        context.operation.tell(Event::Step { step: step.title().to_owned(), state });
    }
}

/// Settles every operation that an earlier life of the daemon left unfinished.
pub(crate) async fn recover(node: &Arc<Node>) -> Result<(), Problem> {
    for journal in node.store.unfinished_operations().await.or_problem()? {
        let request: Request = match serde_json::from_value(journal.request.clone()) {
            Ok(request) => request,
            Err(error) => {
                tracing::error!(%error, operation = %journal.id, "its request is not understood");
                let value = serde_json::Value::Null;
                node.store.end_operation(&journal.id, Phase::Failed, &value).await.or_problem()?;
                continue;
            }
        };
        tracing::info!(operation = %journal.id, kind = ?journal.kind, step = journal.step, "settling");
        let (operation, _) = node.operations.join_or_begin(&journal.key, journal.id.clone(), "");
        let mut context =
            Context::new(node.clone(), operation, journal.kind, request, BTreeMap::new());
        if let Ok(Some(record)) = node.store.environment(&journal.environment).await {
            context.environment = record;
        }
        node.operations.set_active(journal.environment.as_str(), Some(journal.kind));
        crate::environment::moving::meet(&context).await;
        let interrupted = Problem::new(Code::Interrupted, "the daemon ended during the operation")
            .hint(match context.request.moving.as_ref().and_then(|moving| moving.whole()) {
                Some(whole) => {
                    let (label, from) = (context.environment.label(), &whole.from);
                    format!("`{label}` is on `{from}` as before; run the command again")
                }
                None => "what it had done was undone; run the command again".to_owned(),
            });
        let result = match journal.after_crash() {
            Next::Act(step) => forward(&mut context, step).await,
            Next::Undo(step) => {
                backward(&mut context, step).await;
                Err(interrupted)
            }
            Next::Nothing => continue,
        };
        settle(&context, result).await;
        node.operations.set_active(journal.environment.as_str(), None);
    }
    Ok(())
}
