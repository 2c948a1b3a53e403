//! A whole environment moves: it is made anew under the same names where it goes, out of its own
//! tree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dwell_api::environment::{CreateEnvironment, Environment as Shown, Up, Variables};
use dwell_api::event::Outcome;
use dwell_api::moving::Move;
use dwell_api::remote::{Delivery, SeenEnvironment};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::environment::{Desired, Environment, Options};
use dwell_core::moving::{Moving, What, Whole};
use dwell_core::{EnvironmentId, Generation, NodeName, compose};

use super::super::admission::{Manner, admit};
use super::super::create;
use super::super::delivery::creation;
use super::super::request::{before, nothing_before, planned, refuse_what_is_there};
use super::super::up::for_files;
use super::halted;
use super::moving;
use super::place::{farewell, quietly};
use super::plan::{Subject, all_services};
use crate::node::{Node, random};
use crate::operation::{Context, Operation, Request};
use crate::problem::OrProblem;
use crate::remote::Far;
use crate::{remote, travel};

/// A record that stands for what is to move, for its names.
pub(super) fn stand_for(node: &Node, subject: &Subject) -> Result<Environment, Problem> {
    let (there, seen) = match subject {
        Subject::Here(environment) => return Ok((**environment).clone()),
        Subject::There(there, seen) => (there, seen),
    };
    let shown = &seen.environment;
    let suffix = shown.suffix.parse().map_err(|e| {
        Problem::new(Code::Internal, format!("node `{there}` shows a suffix that cannot be: {e}"))
    })?;
    Ok(Environment {
        id: shown.id.clone(),
        name: shown.name.clone(),
        project: shown.project.clone(),
        source: shown.source.clone(),
        root: node.paths.tree(&shown.project, &shown.name),
        tree: None,
        suffix,
        generation: Generation::FIRST,
        desired: shown.desired,
        options: Options::default(),
        created: node.now(),
        notes: Vec::new(),
        origin: None,
        placement: None,
        parts: BTreeMap::new(),
    })
}

/// The outcome of a move that changes nothing.
pub(super) async fn already_there(node: &Arc<Node>, subject: &Subject, wanted: &Move) -> Outcome {
    let to = if wanted.to.is_local() { "here".to_owned() } else { format!("on `{}`", wanted.to) };
    let label = subject.label();
    let summary = match wanted.services.as_slice() {
        [] => format!("`{label}` is {to} already"),
        names => {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            format!("{} of `{label}`: {to} already", names.join(", "))
        }
    };
    let environment = match subject {
        Subject::Here(environment) => node.see(environment).await,
        Subject::There(there, seen) => {
            node.remotes.shown_now(there, &node.id, seen.environment.clone())
        }
    };
    Outcome {
        environment: Some(Box::new(environment)),
        changed: false,
        summary,
        ..Outcome::default()
    }
}

/// Checks all that can be known before anything is done, and gives what the operation needs.
pub(super) async fn prepare(
    node: &Arc<Node>,
    operation: &Arc<Operation>,
    subject: &Subject,
    wanted: &Move,
    variables: BTreeMap<String, String>,
) -> Result<Context, Problem> {
    let place = subject.place();
    let new = EnvironmentId::from_random(random()?);
    let shown = match subject {
        Subject::Here(environment) => node.see(environment).await,
        Subject::There(_, seen) => seen.environment.clone(),
    };
    let whole = Whole {
        from: place.node.clone(),
        old: place.id.clone(),
        new: new.clone(),
        runs: shown.desired == Desired::Running,
        well: shown.status == dwell_api::environment::Status::Running,
    };
    let moving = Moving {
        to: wanted.to.clone(),
        with_volumes: wanted.with_volumes,
        there: BTreeSet::new(),
        what: What::Whole(whole),
    };
    let mut request = Request {
        environment: stand_for(node, subject)?,
        create: None,
        up: Up { placement: moving.flags(), strict: wanted.strict, ..Up::default() },
        destroy: quietly(),
        before: nothing_before(),
        moving: Some(moving.clone()),
    };
    let mut deliveries = BTreeMap::new();
    if moving.to.is_local() {
        let Subject::There(there, seen) = subject else {
            return Err(Problem::new(Code::Internal, "it is here already"));
        };
        come_in(node, there, seen, &new, &mut request).await?;
    } else {
        refuse_taken(node, subject, &moving.to).await?;
        let (mut delivery, notes) = delivery(node, subject, &variables).await?;
        let services = all_services(&delivery.specification.model)?;
        let demand = compose::demand(&delivery.specification.model, &services).or_problem()?;
        let demands = BTreeMap::from([(moving.to.clone(), demand)]);
        let told = admit(node, &demands, Manner::of(wanted.strict)).await?;
        notes.into_iter().chain(told).for_each(|note| operation.note(note));
        delivery.id = Some(new);
        deliveries.insert(moving.to.clone(), delivery);
        if let Subject::Here(environment) = subject {
            request.before = before(node, environment).await?;
        }
    }
    let kind = moving.kind();
    let mut context = Context::new(node.clone(), operation.clone(), kind, request, variables);
    context.deliveries = deliveries;
    Ok(context)
}

/// The record of an environment that comes here.
async fn come_in(
    node: &Arc<Node>,
    there: &NodeName,
    seen: &SeenEnvironment,
    new: &EnvironmentId,
    request: &mut Request,
) -> Result<(), Problem> {
    let create = remote::of_ours(node, seen)?;
    let made = planned(node, &create).await?;
    let environment =
        Environment { id: new.clone(), suffix: request.environment.suffix.clone(), ..made };
    let named = node.store.environment_named(&environment.project, &environment.name).await;
    if named.or_problem()?.is_some() {
        let label = environment.label();
        return Err(Problem::new(Code::Exists, format!("`{label}` exists here, too"))
            .hint(format!("destroy it first; the one on `{there}` goes on")));
    }
    refuse_what_is_there(&environment)?;
    request.environment = environment;
    request.create = Some(create);
    Ok(())
}

/// Refuses a node that has an environment of this name.
async fn refuse_taken(node: &Arc<Node>, subject: &Subject, to: &NodeName) -> Result<(), Problem> {
    node.remotes.look(node, to).await?;
    let environment = stand_for(node, subject)?;
    if node.remotes.named(to, &environment.project, &environment.name).is_none() {
        return Ok(());
    }
    let label = environment.label();
    Err(Problem::new(Code::Exists, format!("node `{to}` has an environment `{label}` already"))
        .hint("look at it with `dwell ls`, and destroy it first if nobody needs it"))
}

/// How the environment is made on the other node, but for its tree; and what people should know.
async fn delivery(
    node: &Arc<Node>,
    subject: &Subject,
    variables: &BTreeMap<String, String>,
) -> Result<(Delivery, Vec<String>), Problem> {
    match subject {
        Subject::Here(environment) => remote::delivery_of(node, environment, variables).await,
        Subject::There(there, seen) => {
            let path = endpoint::fill(endpoint::DELIVERY, &[seen.environment.id.as_str()]);
            let mut client = node.remotes.client(there).await?;
            let delivery = client.get(&path).await.map_err(ClientError::into_problem)?;
            Ok((delivery, Vec::new()))
        }
    }
}

/// The move, and what of it is about the whole environment.
fn both(context: &Context) -> Result<(Moving, Whole), Problem> {
    let moving = moving(context)?;
    let whole = moving.whole().cloned();
    let whole = whole.ok_or_else(|| Problem::new(Code::Internal, "only services move"))?;
    Ok((moving, whole))
}

/// Makes the environment on the other node, with its tree.
pub(crate) async fn send(context: &mut Context) -> Result<(), Problem> {
    let (moving, whole) = both(context)?;
    let (node, to) = (&context.node, &moving.to);
    let missing = || Problem::new(Code::Internal, "nothing is to be delivered");
    let mut delivery = context.deliveries.get(to).cloned().ok_or_else(missing)?;
    node.remotes.hide(&whole.new);
    let environment = &context.environment;
    let sent = if whole.from.is_local() {
        travel::leave(node, to, environment).await?
    } else {
        travel::pass_on(node, (&whole.from, &whole.old), to, environment).await?
    };
    sent.notes.into_iter().for_each(|note| context.operation.note(note));
    delivery.sent = Some(sent.sent);
    let plain = creation(&environment.name, &environment.project, &delivery.source);
    let create = CreateEnvironment { delivery: Some(delivery), ..plain };
    let key = format!("move-{}", context.operation.id);
    let far = Far { there: to, key: &key, path: endpoint::ENVIRONMENTS, named: true };
    remote::follow(node, &context.operation, far, &create).await?;
    Ok(())
}

/// Destroys what was made on the other node.
pub(crate) async fn unsend(context: &mut Context) -> Result<(), Problem> {
    let (moving, whole) = both(context)?;
    farewell(&context.node, &context.operation, &moving.to, &whole.new).await
}

/// Makes the tree here of what comes from the other node.
pub(crate) async fn tree(context: &mut Context) -> Result<(), Problem> {
    let (_, whole) = both(context)?;
    let node = &context.node;
    let made = travel::come_home(node, (&whole.from, &whole.old), &context.environment).await?;
    made.notes.iter().for_each(|note| context.operation.note(note.clone()));
    context.environment.notes.extend(made.notes.iter().cloned());
    context.environment.root.clone_from(&made.root);
    context.environment.tree = Some(made);
    create::keep_record(context).await
}

/// Brings the environment up on the other node.
pub(crate) async fn arrive(context: &mut Context) -> Result<(), Problem> {
    let (moving, whole) = both(context)?;
    let model = context.deliveries.get(&moving.to).map(|sent| &sent.specification.model);
    let values = model.map(|model| for_files(model, &context.variables)).unwrap_or_default();
    let variables = Variables(values.into_iter().collect());
    let body = Up { wait: whole.well, variables, ..Up::default() };
    let path = endpoint::fill(endpoint::UP, &[whole.new.as_str()]);
    let key = format!("arrive-{}", context.operation.id);
    let (node, operation) = (&context.node, &context.operation);
    let far = Far { there: &moving.to, key: &key, path: &path, named: true };
    remote::follow(node, operation, far, &body).await.map(drop)
}

/// The new place is the environment from now on: what is known of it here says so.
pub(crate) async fn switch(context: &mut Context) -> Result<(), Problem> {
    let (moving, whole) = both(context)?;
    let node = &context.node;
    node.remotes.hide(&whole.old);
    node.remotes.unhide(&whole.new);
    for name in [&moving.to, &whole.from] {
        if !name.is_local()
            && let Err(problem) = node.remotes.look(node, name).await
        {
            tracing::info!(%problem, node = %name, "it is not shown yet");
        }
    }
    halted::forget(node, &context.operation.id).await
}

/// Destroys what the environment leaves on another node.
pub(crate) async fn leave(context: &mut Context) -> Result<(), Problem> {
    let (_, whole) = both(context)?;
    farewell(&context.node, &context.operation, &whole.from, &whole.old).await
}

/// The environment where it is now.
pub(crate) async fn outcome(context: &Context, moving: &Moving) -> Option<Shown> {
    let node = &context.node;
    match moving.whole() {
        Some(whole) if !moving.to.is_local() => {
            let seen = node.remotes.seen(&moving.to, &whole.new)?;
            Some(node.remotes.shown_now(&moving.to, &node.id, seen.environment))
        }
        _ => Some(node.see(&context.environment).await),
    }
}
