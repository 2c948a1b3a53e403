//! An environment on several nodes: where each service runs, the parts on other nodes, and the
//! stand-ins here for what runs there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dwell_api::environment::{
    CreateEnvironment, Destroy, Environment as Shown, Flags, InProject, Up, Variables,
};
use dwell_api::remote::Delivery;
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::compose::{
    self, Division, Journey, Part, Port, Specification, bonds, part, travel,
};
use dwell_core::config::ProjectConfig;
use dwell_core::environment::Environment;
use dwell_core::placement::{Placed, Placement, Wishes, place};
use dwell_core::{EnvironmentId, NodeName, ServiceName};
use futures_util::future::join_all;
use serde_json::json;

use super::Reading;
use super::delivery::creation;
use super::moving::place::farewell;
use crate::node::{Node, random};
use crate::operation::{Context, Operation};
use crate::problem::{IntoProblem, OrProblem};
use crate::remote::{self, Far, standin};
use crate::{project, travel as transport};

/// Decides where every service runs, and keeps what was chosen.
pub(super) fn decide(context: &mut Context) -> Result<(), Problem> {
    // What was sent here was decided by its sender.
    if context.environment.origin.is_some() {
        return Ok(());
    }
    let Some(reading) = &context.reading else { return Ok(()) };
    let flags = &context.request.up.placement;
    let placed = placed(&context.node, &context.environment, reading, flags)?;
    let placement = placed.placement;
    for note in &placed.notes {
        context.operation.note(note.to_string());
    }
    let before = context.environment.placement.is_some();
    if before || !placement.is_whole() {
        context.operation.note(format!("placement: {placement}"));
    }
    context.environment.options.placement = placed.choices;
    context.environment.placement = (!placement.is_whole()).then_some(placement);
    Ok(())
}

/// Where every service of an environment of this node is to run.
pub(super) fn placed(
    node: &Node,
    environment: &Environment,
    reading: &Reading,
    flags: &Flags,
) -> Result<Placed, Problem> {
    let nodes: BTreeSet<NodeName> = node.remotes.names().into_iter().collect();
    let placed = place(&Wishes {
        services: &reading.services,
        bonds: &bonds(&reading.model).or_problem()?,
        project: &reading.config.place,
        reverse: &reading.config.reverse,
        recorded: &environment.options.placement,
        flags,
        nodes: &nodes,
    })
    .or_problem()?;
    let home = &placed.placement.home;
    if !home.is_local() {
        let label = environment.label();
        return Err(Problem::new(Code::Conflict, format!("`{label}` has its home here"))
            .hint(format!("`--agent local` keeps its tree here and runs the services on `{home}`; to have it there, destroy it here first")));
    }
    Ok(placed)
}

/// The part of one node, as it follows from the reading.
fn part_of(
    reading: &Reading,
    placement: &Placement,
    environment: &Environment,
    exposed: &BTreeMap<ServiceName, Vec<Port>>,
    node: &NodeName,
) -> Result<Part, Problem> {
    let hostnames = project::hostnames(&reading.config)?;
    part(&Division {
        model: &reading.project,
        project: &environment.project,
        placement,
        node,
        exposed,
        ingress: reading.config.ingress.as_ref(),
        hostnames: &hostnames,
    })
    .or_problem()
}

/// Makes the parts on other nodes, brings the sources there, and plans the stand-ins here.
pub(super) async fn make(context: &mut Context) -> Result<(), Problem> {
    if context.environment.origin.is_some() {
        return stand_in(context).await;
    }
    let Some(placement) = context.environment.placement.clone() else {
        standin::none(&context.node, &context.environment.id)?;
        return super::create::keep_record(context).await;
    };
    let others: BTreeSet<NodeName> = placement.others().into_iter().cloned().collect();
    let Some(reading) = &context.reading else { return Ok(()) };
    let exposed = super::images::exposed(&context.node, &reading.model, &placement).await?;
    let mut deliveries = Vec::new();
    for there in &others {
        let part = part_of(reading, &placement, &context.environment, &exposed, there)?;
        for note in &part.notes {
            context.operation.note(format!("{there}: {note}"));
        }
        let packed = pack(&context.operation, &context.environment, &reading.config, part)?;
        deliveries.push((there.clone(), packed));
    }
    // Before anything is made, so that it can be unmade whatever happens.
    for there in &others {
        if !context.environment.parts.contains_key(there) {
            let id = EnvironmentId::from_random(random()?);
            context.environment.parts.insert(there.clone(), id);
        }
    }
    super::create::keep_record(context).await?;
    let (node, environment) = (context.node.clone(), context.environment.clone());
    let (operation, create) = (context.operation.clone(), context.request.up.force);
    let work = deliveries.into_iter().map(|(there, packed)| {
        let (node, environment, operation) = (&node, &environment, &operation);
        async move {
            let made = deliver(node, environment, operation, &there, packed, create).await;
            (there, made)
        }
    });
    for (there, made) in join_all(work).await {
        context.deliveries.insert(there, made?);
    }
    let home = {
        let Some(reading) = &context.reading else { return Ok(()) };
        part_of(reading, &placement, &context.environment, &exposed, &NodeName::local())?
    };
    standin::keep(&context.node, &context.environment.id, &home.away)?;
    if let Some(reading) = &mut context.reading {
        reading.services = compose::services(&home.model).or_problem()?;
        reading.model = home.model;
        reading.away = home.away;
    }
    stand_in(context).await
}

/// A part ready to be sent.
struct Packed {
    specification: Specification,
    extra: Vec<dwell_core::tree::TreePath>,
}

fn pack(
    operation: &Operation,
    environment: &Environment,
    config: &ProjectConfig,
    part: Part,
) -> Result<Packed, Problem> {
    let root = environment.tree.as_ref().map_or(&environment.root, |tree| &tree.root);
    let journey =
        Journey { model: &part.model, services: &part.runs, root, host: &config.sync.host };
    let travel = travel(&journey).or_problem()?;
    for note in &travel.notes {
        operation.note(note.to_string());
    }
    let specification = Specification::new(
        environment.project.clone(),
        environment.suffix.clone(),
        &part.model,
        root,
        environment.directory(),
    )
    .or_problem()?;
    let specification = Specification { away: part.away, ..specification };
    let extra = travel.needs.into_iter().map(|luggage| luggage.path).collect();
    Ok(Packed { specification, extra })
}

async fn deliver(
    node: &Arc<Node>,
    environment: &Environment,
    operation: &Arc<Operation>,
    there: &NodeName,
    packed: Packed,
    force: bool,
) -> Result<Delivery, Problem> {
    // What is to be gone there may have the name of what is to come.
    say_farewell(node, there).await;
    let id = environment.parts.get(there).cloned().ok_or_else(|| {
        Problem::new(Code::Internal, format!("the part on `{there}` has no identity"))
    })?;
    let sent = transport::send(node, there, environment, &packed.extra, force).await?;
    for note in sent.notes {
        operation.note(format!("{there}: {note}"));
    }
    let delivery = Delivery {
        from: node.id.clone(),
        source: environment.source.clone(),
        sent: Some(sent.sent),
        force,
        specification: packed.specification,
        id: Some(id.clone()),
        part_of: Some(environment.id.clone()),
        trusted: None,
    };
    if is_there(node, there, &id).await? {
        return Ok(delivery);
    }
    let create = CreateEnvironment {
        force,
        delivery: Some(delivery.clone()),
        ..creation(&environment.name, &environment.project, &environment.source)
    };
    let key = format!("part-{}-{}-{there}", operation.id, environment.id);
    let far = Far { there, key: &key, path: endpoint::ENVIRONMENTS, named: true };
    remote::follow(node, operation, far, &create).await?;
    Ok(delivery)
}

/// Whether a part is on its node. One that was lost there is made anew.
async fn is_there(node: &Arc<Node>, there: &NodeName, id: &EnvironmentId) -> Result<bool, Problem> {
    let mut client = node.remotes.client(there).await?;
    match client.get::<Shown>(&endpoint::fill(endpoint::ENVIRONMENT, &[id.as_str()])).await {
        Ok(_) => Ok(true),
        Err(ClientError::Problem(problem)) if problem.code == Code::NotFound => Ok(false),
        Err(error) => Err(error.into_problem()),
    }
}

/// Plans a relay for each service that runs elsewhere.
async fn stand_in(context: &mut Context) -> Result<(), Problem> {
    let node = context.node.clone();
    let environment = context.environment.clone();
    let services = match (&context.reading, &environment.origin) {
        (Some(reading), None) => standin::of_home(&environment, &reading.away),
        _ => standin::services(&node, &environment),
    };
    let specs = standin::plan(&node, &environment, &services).await?;
    if let Some(reading) = &mut context.reading {
        reading.relays.extend(specs);
    }
    Ok(())
}

/// Brings all parts up, side by side; the containers here come up meanwhile.
pub(super) async fn bring_up(
    node: Arc<Node>,
    operation: Arc<Operation>,
    environment: Environment,
    deliveries: BTreeMap<NodeName, Delivery>,
    up: Up,
) -> Result<(), Problem> {
    let variables: BTreeMap<String, String> = up.variables.0.into_iter().collect();
    let work = deliveries.into_iter().filter_map(|(there, delivery)| {
        let id = environment.parts.get(&there)?.clone();
        let values = super::up::for_files(&delivery.specification.model, &variables);
        let body = Up {
            variables: Variables(values.into_iter().collect()),
            build: up.build,
            recreate: up.recreate,
            wait: up.wait,
            delivery: Some(delivery),
            ..Up::default()
        };
        let key = format!("up-{}-{id}", operation.id);
        let (node, operation) = (&node, &operation);
        Some(async move {
            let path = endpoint::fill(endpoint::UP, &[id.as_str()]);
            let far = Far { there: &there, key: &key, path: &path, named: true };
            let outcome = remote::follow(node, operation, far, &body).await;
            outcome.map(drop).map_err(|problem| on(&there, problem))
        })
    });
    for result in join_all(work).await {
        result?;
    }
    for there in environment.parts.keys() {
        // So that its addresses are there when the caller hears of it.
        if let Err(problem) = node.remotes.look(&node, there).await {
            tracing::info!(%problem, node = %there, "it is not shown yet");
        }
    }
    Ok(())
}

fn on(there: &NodeName, problem: Problem) -> Problem {
    Problem { message: format!("on node `{there}`: {}", problem.message), ..problem }
}

/// Destroys what could not be destroyed when that was asked for, as the node was away.
pub(crate) async fn say_farewell(node: &Arc<Node>, there: &NodeName) {
    for id in node.store.farewells(there).await.unwrap_or_default() {
        if let Err(problem) = destroy(node, there, &id).await {
            tracing::warn!(%problem, node = %there, "it was not removed there");
        }
    }
}

/// Destroys what a farewell is recorded for.
pub(crate) async fn destroy(
    node: &Arc<Node>,
    there: &NodeName,
    id: &EnvironmentId,
) -> Result<(), Problem> {
    let path = endpoint::fill(endpoint::DESTROY, &[id.as_str()]);
    let body = Destroy { keep_workspace: false, force: true, moved: true };
    let mut client = node.remotes.client(there).await?;
    let key = format!("farewell-{id}-{}", node.now());
    let ended = match client.operate(&path, &key, &body).await {
        Ok(mut lines) => lines.outcome(|_| {}).await.map(drop),
        Err(error) => Err(error),
    };
    match ended.map_err(ClientError::into_problem) {
        Err(problem) if problem.code != Code::NotFound => return Err(problem),
        _ => {}
    }
    node.store.end_farewell(there, id).await.or_problem()
}

/// Stops the parts on other nodes. One whose node is away is stopped when it is back.
pub(super) async fn stop(context: &mut Context) -> Result<(), Problem> {
    let (node, operation) = (context.node.clone(), context.operation.clone());
    let parts = context.environment.parts.clone();
    let work = parts.iter().map(|(there, id)| {
        let (node, operation) = (&node, &operation);
        async move {
            if let Err(problem) = stop_one(node, there, id).await {
                operation.note(format!(
                    "{problem}; what runs on `{there}` is stopped as soon as it is back"
                ));
            }
        }
    });
    join_all(work).await;
    Ok(())
}

/// Stops a part.
pub(crate) async fn stop_one(
    node: &Arc<Node>,
    there: &NodeName,
    id: &EnvironmentId,
) -> Result<(), Problem> {
    let path =
        endpoint::query(&endpoint::fill(endpoint::DOWN, &[id.as_str()]), &InProject::default());
    let mut client = node.remotes.client(there).await?;
    let key = format!("down-{id}-{}", node.now());
    let ended = match client.operate(&path, &key, &json!({})).await {
        Ok(mut lines) => lines.outcome(|_| {}).await.map(drop),
        Err(error) => Err(error),
    };
    match ended.map_err(ClientError::into_problem) {
        Err(problem) if problem.code == Code::NotFound => Ok(()),
        other => other,
    }
}

/// Destroys all parts.
pub(super) async fn remove(context: &mut Context) -> Result<(), Problem> {
    for (there, id) in context.environment.parts.clone() {
        farewell(&context.node, &context.operation, &there, &id).await?;
        context.environment.parts.remove(&there);
    }
    standin::forget(&context.node, &context.environment.id);
    super::create::keep_record(context).await
}

/// Destroys the parts that this operation made, and stops those that did not run before.
pub(super) async fn undo(context: &mut Context) -> Result<(), Problem> {
    let before = context.request.environment.parts.clone();
    for (there, id) in context.environment.parts.clone() {
        if before.get(&there) == Some(&id) {
            continue;
        }
        farewell(&context.node, &context.operation, &there, &id).await?;
        context.environment.parts.remove(&there);
    }
    if !context.request.before.ran && !before.is_empty() {
        stop(context).await?;
    }
    place_back(context).await?;
    if context.node.store.environment(&context.environment.id).await.or_problem()?.is_some() {
        super::create::keep_record(context).await?;
    }
    Ok(())
}

/// Places the services as they were, with the stand-ins for that.
pub(super) async fn place_back(context: &mut Context) -> Result<(), Problem> {
    let had = &context.request.environment;
    let same = context.environment.placement == had.placement;
    context.environment.placement.clone_from(&had.placement);
    context.environment.options.placement = had.options.placement.clone();
    if same || context.environment.origin.is_some() {
        return Ok(());
    }
    let (node, environment) = (&context.node, &context.environment);
    let Some(placement) = &environment.placement else {
        return standin::none(node, &environment.id);
    };
    let Some(reading) = whole_reading(context).await? else { return Ok(()) };
    let exposed = super::images::exposed(node, &reading.project, placement).await?;
    let home = part_of(&reading, placement, environment, &exposed, &NodeName::local())?;
    standin::keep(node, &environment.id, &home.away)?;
    let services = standin::of_home(environment, &home.away);
    standin::plan(node, environment, &services).await.map(drop)
}

/// The project as this operation read it, or as it was read last.
async fn whole_reading(context: &Context) -> Result<Option<Reading>, Problem> {
    let model = match &context.reading {
        Some(reading) => Some(reading.project.clone()),
        None => super::up::last_model(&context.node, &context.environment.id),
    };
    let Some(model) = model else { return Ok(None) };
    let config = project::load(context.environment.directory()).await?;
    super::up::reading(model, config, Default::default()).map(Some)
}

/// Sends what a node is to have of an environment as it is placed now; `None` where that is
/// nothing.
pub(super) async fn deliver_again(
    context: &Context,
    there: &NodeName,
) -> Result<Option<Delivery>, Problem> {
    let (node, environment) = (&context.node, &context.environment);
    let Some(placement) = environment.placement.as_ref() else { return Ok(None) };
    if !placement.others().contains(there) {
        return Ok(None);
    }
    let Some(reading) = whole_reading(context).await? else { return Ok(None) };
    let exposed = super::images::exposed(node, &reading.project, placement).await?;
    let part = part_of(&reading, placement, environment, &exposed, there)?;
    let packed = pack(&context.operation, environment, &reading.config, part)?;
    let delivery = deliver(node, environment, &context.operation, there, packed, false).await?;
    Ok(Some(delivery))
}

impl IntoProblem for dwell_core::placement::PlacementError {
    fn into_problem(self) -> Problem {
        Problem::new(Code::InvalidArgument, self.to_string())
            .hint("`dwell status` lists services, `dwell remote ls` nodes")
    }
}

impl IntoProblem for dwell_core::compose::AnchorError {
    fn into_problem(self) -> Problem {
        Problem::new(Code::InvalidCompose, self.to_string())
    }
}

impl IntoProblem for dwell_core::compose::PartError {
    fn into_problem(self) -> Problem {
        Problem::new(Code::InvalidCompose, self.to_string())
    }
}

impl IntoProblem for dwell_core::compose::TravelError {
    fn into_problem(self) -> Problem {
        match self {
            Self::Stuck { obstacles } => Problem::new(
                Code::InvalidCompose,
                "the services need what cannot be taken to another node",
            )
            .hint("keep those services here with --local-services")
            .details(obstacles.iter().map(ToString::to_string)),
            other => Problem::new(Code::InvalidCompose, other.to_string()),
        }
    }
}
