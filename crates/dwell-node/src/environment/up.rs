//! Bringing an environment up: reading its project, isolating it, starting its containers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dwell_api::environment::{Up, Variables};
use dwell_api::{Code, Event, Problem};
use dwell_core::EnvironmentId;
use dwell_core::compose::{self, Isolated, Isolation};
use dwell_core::config::ProjectConfig;
use dwell_core::environment::{Desired, Environment};
use dwell_core::observed::{Container, State, label};
use dwell_core::operation::Kind;
use dwell_drivers::compose::{ComposeError, Stack, UpOptions};
use dwell_drivers::docker::LogOptions;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::Value;

use super::{Reading, bare, create, delivery, former, is_bare, remove_containers, stamp, subnet};
use crate::facts::{Facts, Stamp, write};
use crate::node::Node;
use crate::operation::Context;
use crate::problem::{IntoProblem, OrProblem};
use crate::{project, world};

/// How long reading the last words of a container may take.
const LOG_LIMIT: Duration = Duration::from_secs(2);
/// How often names and subnets are chosen anew that somebody else took.
const CHOICES: u32 = 3;
const MODEL_FILE: &str = "model.json";
/// The compose file of the isolated environment.
pub(crate) const COMPOSE_FILE: &str = "compose.json";

/// Reads the compose project, or takes the last reading when nothing that it was made from has
/// changed.
async fn read(
    node: &Node,
    environment: &Environment,
    variables: &BTreeMap<String, String>,
) -> Result<(Value, ProjectConfig, Stamp), Problem> {
    let config = project::load(environment.directory()).await?;
    let stamp = stamp::stamp(environment, &config, variables);
    let file = node.directory(&environment.id).join(MODEL_FILE);
    if let Some(model) = kept(&file, &stamp) {
        return Ok((model, config, stamp));
    }
    let model = read_model(environment, &config, variables).await?;
    keep(&file, &stamp, &model)?;
    Ok((model, config, stamp))
}

/// The model of the project in an environment's directory, as compose and the configuration say.
pub(super) async fn read_model(
    environment: &Environment,
    config: &ProjectConfig,
    variables: &BTreeMap<String, String>,
) -> Result<Value, Problem> {
    if let Some(model) = bare::model(environment, config) {
        return Ok(model);
    }
    let read = project::compose(environment, config, variables);
    let mut model = read.config().await.map_err(|e| explain(e, environment.directory()))?;
    project::label_model(&mut model, config);
    Ok(model)
}

/// Reads the project of an environment that may not be there yet: from its source, if so.
pub(super) async fn read_without_keeping(
    environment: &Environment,
    variables: &BTreeMap<String, String>,
) -> Result<Reading, Problem> {
    let source = Environment { root: environment.source.clone(), ..environment.clone() };
    let place = if environment.tree.is_some() { environment } else { &source };
    let config = project::load(place.directory()).await?;
    let model = read_model(place, &config, variables).await?;
    reading(model, config, Stamp::default())
}

pub(super) fn reading(
    model: Value,
    config: ProjectConfig,
    stamp: Stamp,
) -> Result<Reading, Problem> {
    Ok(Reading {
        services: compose::services(&model).or_problem()?,
        project: model.clone(),
        model,
        config,
        relays: BTreeMap::new(),
        away: BTreeMap::new(),
        subnets: BTreeMap::new(),
        stamp,
    })
}

/// Reads a new environment's project before anybody asks for it, so that its first `up` need not.
/// What is wrong with the project is told by that `up`.
pub(super) async fn read_ahead(
    node: &Node,
    id: &EnvironmentId,
    variables: &BTreeMap<String, String>,
) {
    if let Ok(Some(environment)) = node.store.environment(id).await {
        let _ = read(node, &environment, variables).await;
    }
}

/// Reads the environment's compose project.
pub(super) async fn model(context: &mut Context) -> Result<(), Problem> {
    let environment = &context.environment;
    let (model, config, stamp) = match &environment.origin {
        Some(_) => delivery::read(&context.node, environment).await?,
        None => read(&context.node, environment, &context.variables).await?,
    };
    let reading = reading(model, config, stamp)?;
    if reading.services.is_empty() {
        bare::check(&context.node, environment)?;
    }
    context.reading = Some(reading);
    super::parts::decide(context)?;
    super::admission::check(context).await
}

/// The problem of a project that compose does not read.
fn explain(error: ComposeError, directory: &std::path::Path) -> Problem {
    let missing = matches!(&error, ComposeError::Invalid { why, .. } if why.contains("no configuration file"));
    let problem = error.into_problem();
    if missing { bare::missing(directory) } else { problem }
}

fn kept(file: &std::path::Path, stamp: &Stamp) -> Option<Value> {
    if stamp.hash.is_empty() {
        return None;
    }
    let text = std::fs::read(file).ok()?;
    let (hash, model): (String, Value) = serde_json::from_slice(&text).ok()?;
    (hash == stamp.hash).then_some(model)
}

/// The model of an environment's project as it was read last; `None` before the first time.
pub(crate) fn last_model(node: &Node, id: &EnvironmentId) -> Option<Value> {
    let text = std::fs::read(node.directory(id).join(MODEL_FILE)).ok()?;
    let (_, model): (String, Value) = serde_json::from_slice(&text).ok()?;
    Some(model)
}

fn keep(file: &std::path::Path, stamp: &Stamp, model: &Value) -> Result<(), Problem> {
    let text = serde_json::to_vec(&(&stamp.hash, model))
        .map_err(|e| Problem::new(Code::Internal, format!("the model cannot be kept: {e}")))?;
    write(file, &text)
}

/// Isolates the project, writes the environment's compose file and has compose start it.
pub(super) async fn containers(context: &mut Context) -> Result<(), Problem> {
    remove_leftovers(context).await?;
    if is_bare(context) {
        return keep_facts(context, &Isolated::default());
    }
    let isolated = isolate(context)?;
    for note in &isolated.notes {
        context.operation.note(note.to_string());
    }
    let node = context.node.clone();
    let id = context.environment.id.clone();
    former::keep(context)?;
    keep_facts(context, &isolated)?;
    if context.kind == Kind::MoveServices {
        super::moving::start(context, isolated).await?;
        tell_of_listeners(context);
        return Ok(());
    }
    // Each side may wait for services of the other.
    let elsewhere = super::parts::bring_up(
        node.clone(),
        context.operation.clone(),
        context.environment.clone(),
        std::mem::take(&mut context.deliveries),
        with_values(context),
    );
    tokio::try_join!(start_here(context, isolated), elsewhere)?;
    world::look_at(&node, &id).await;
    tell_of_listeners(context);
    Ok(())
}

/// What was asked for, with the caller's variables.
pub(super) fn with_values(context: &Context) -> Up {
    let variables = Variables(context.variables.clone().into_iter().collect());
    Up { variables, ..context.request.up.clone() }
}

fn tell_of_listeners(context: &Context) {
    for part in context.node.listeners.parts().into_iter().filter(|part| !part.ok) {
        context.operation.note(format!("names are not served by {}: {}", part.name, part.detail));
    }
}

fn keep_facts(context: &Context, isolated: &Isolated) -> Result<(), Problem> {
    let facts = Facts {
        services: isolated.services.clone(),
        notes: isolated.notes.clone(),
        subnets: subnet_texts(context),
        stamp: context.reading.as_ref().map(|r| r.stamp.clone()).unwrap_or_default(),
    };
    let (node, id) = (&context.node, &context.environment.id);
    node.facts.put(id, &node.directory(id), facts)
}

/// Starts what runs here. What others took meanwhile is left to them.
pub(super) async fn start_here(
    context: &mut Context,
    mut isolated: Isolated,
) -> Result<(), Problem> {
    for _ in 0..CHOICES {
        let result = start(context, &isolated.compose).await;
        match &result {
            // A phantom of a container that the engine lost still holds the name.
            Err(ComposeError::Failed { why, .. })
                if why.contains("is already in use by container") =>
            {
                context.environment.generation = context.environment.generation.next();
                create::keep_record(context).await?;
                remove_leftovers(context).await?;
            }
            // Another user's daemon on the same engine took the subnet.
            Err(ComposeError::Failed { why, .. })
                if why.contains("Pool overlaps") && subnet::give_way(context).await? => {}
            _ => return explain_failure(context, result).await,
        }
        isolated = isolate(context)?;
        keep_facts(context, &isolated)?;
    }
    let result = start(context, &isolated.compose).await;
    explain_failure(context, result).await
}

/// A failure to start says more when it comes with the last words of what ended.
async fn explain_failure(
    context: &Context,
    result: Result<(), ComposeError>,
) -> Result<(), Problem> {
    let labelled = format!("{}={}", label::ENVIRONMENT, context.environment.id);
    told_with_last_words(&context.node, &labelled, result).await
}

/// The problem of a failed start, with what the containers with a label said last.
pub(super) async fn told_with_last_words(
    node: &Node,
    labelled: &str,
    result: Result<(), ComposeError>,
) -> Result<(), Problem> {
    let Err(error) = result else { return Ok(()) };
    // That the engine went away says more than what compose made of it.
    if let Err(gone) = node.engine.ping(Duration::from_secs(2)).await {
        return Err(gone.into_problem().details([error.to_string()]));
    }
    let mut problem = error.into_problem();
    let found = node.engine.containers(labelled).await.unwrap_or_default();
    let ended = |c: &&Container| matches!(c.state, State::Exited(code) if code != 0);
    for container in found.iter().filter(ended).take(3) {
        let service = container.service.as_ref().map(ToString::to_string).unwrap_or_default();
        problem.details.push(format!("{service}: {}", container.state.text()));
        let options = LogOptions { tail: Some(5), ..LogOptions::default() };
        let mut log = Box::pin(node.engine.logs(&container.id, options));
        while let Ok(Some(Ok(piece))) = tokio::time::timeout(LOG_LIMIT, log.next()).await {
            let text = String::from_utf8_lossy(&piece.bytes).into_owned();
            problem.details.extend(text.lines().map(|line| format!("{service} | {line}")));
        }
    }
    Err(problem)
}

fn subnet_texts(context: &Context) -> Vec<String> {
    let subnets = context.reading.iter().flat_map(|reading| reading.subnets.values());
    subnets.map(ToString::to_string).collect()
}

fn isolate(context: &Context) -> Result<Isolated, Problem> {
    let Some(reading) = &context.reading else {
        return Err(Problem::new(Code::Internal, "the compose project was not read"));
    };
    let environment = &context.environment;
    let hostnames = project::hostnames(&reading.config)?;
    compose::isolate(&Isolation {
        model: &reading.model,
        node: &context.node.id,
        id: &environment.id,
        user: Some(&context.node.user),
        name: &environment.name,
        project: &environment.project,
        suffix: &environment.suffix,
        generation: environment.generation,
        directory: environment.tree.as_ref().map_or(environment.root.as_path(), |t| &t.root),
        subnets: &reading.subnets,
        relays: &reading.relays,
        ingress: reading.config.ingress.as_ref(),
        hostnames: &hostnames,
    })
    .or_problem()
}

/// The environment's stack.
pub(crate) fn stack(node: &Node, environment: &dwell_core::environment::Environment) -> Stack {
    Stack {
        name: environment.compose_project(),
        file: node.directory(&environment.id).join(COMPOSE_FILE),
        directory: environment.directory().to_owned(),
    }
}

/// Those of the caller's variables whose values become secrets or configs of a project.
pub(crate) fn for_files(
    model: &Value,
    variables: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let wanted = compose::file_variables(model).into_iter();
    wanted.filter_map(|name| Some((name.clone(), variables.get(&name)?.clone()))).collect()
}

async fn start(context: &Context, compose: &Value) -> Result<(), ComposeError> {
    let stack = stack(&context.node, &context.environment);
    let text = serde_json::to_vec(compose).unwrap_or_default();
    if let Err(problem) = write(&stack.file, &text) {
        return Err(ComposeError::Failed { verb: "up".to_owned(), why: problem.message });
    }
    let up = &context.request.up;
    let options = UpOptions {
        variables: for_files(compose, &context.variables),
        build: up.build,
        recreate: up.recreate,
        wait: up.wait,
    };
    let operation = context.operation.clone();
    bring_up(&context.node, &stack, options, move |line| operation.tell(Event::Output { line }))
        .await
}

/// Has compose bring a stack up, for as long as the engine answers.
pub(super) async fn bring_up(
    node: &Node,
    stack: &Stack,
    options: UpOptions,
    line: impl FnMut(String),
) -> Result<(), ComposeError> {
    tokio::select! {
        result = stack.up(options, line) => result,
        error = world::lost(node) => Err(error.into()),
    }
}

/// Containers of other generations of this environment are leftovers.
async fn remove_leftovers(context: &Context) -> Result<(), Problem> {
    let labelled = format!("{}={}", label::ENVIRONMENT, context.environment.id);
    let found = context.node.engine.containers(&labelled).await.or_problem()?;
    for container in found.iter().filter(|c| c.generation != context.environment.generation) {
        context.node.engine.remove(&container.id).await.or_problem()?;
    }
    Ok(())
}

/// Removes what this operation started. An environment that ran before runs again as it did.
pub(super) async fn undo_containers(context: &mut Context) -> Result<(), Problem> {
    if context.kind == Kind::MoveServices {
        super::moving::unstart(context).await?;
    }
    let restored = former::restore(context)?;
    if context.request.before.ran {
        if restored {
            bring_former_back(context).await?;
        }
    } else {
        let (node, environment) = (&context.node, &context.environment);
        remove_containers(node, environment, super::containers::Manner::AtOnce).await?;
    }
    if matches!(context.kind, Kind::CreateUp | Kind::MoveIn) {
        super::remove::volumes(context).await?;
    } else {
        remove_new_volumes(context).await?;
    }
    world::look_at(&context.node, &context.environment.id).await;
    Ok(())
}

/// Brings an environment's stack up as it was, and looks at what came of it.
pub(crate) async fn bring_back(
    node: &Node,
    environment: &dwell_core::environment::Environment,
) -> Result<(), Problem> {
    let stack = stack(node, environment);
    if !stack.file.is_file() {
        return Ok(());
    }
    let result = bring_up(node, &stack, UpOptions::default(), |_| {}).await;
    world::look_at(node, &environment.id).await;
    result.or_problem()
}

/// Has compose make what ran before, as it was, and removes the networks that are not part of it.
async fn bring_former_back(context: &Context) -> Result<(), Problem> {
    let (node, environment) = (&context.node, &context.environment);
    let stack = stack(node, environment);
    if !stack.file.is_file() {
        return Ok(());
    }
    let operation = context.operation.clone();
    let line = move |line| operation.tell(Event::Output { line });
    bring_up(node, &stack, UpOptions::default(), line).await.or_problem()?;
    let file = std::fs::read_to_string(&stack.file).unwrap_or_default();
    let labelled = format!("{}={}", label::ENVIRONMENT, environment.id);
    for network in node.engine.networks(Some(&labelled)).await.or_problem()? {
        if !file.contains(&format!("\"{}\"", network.name)) {
            node.engine.remove_network(&network.id).await.or_problem()?;
        }
    }
    Ok(())
}

/// Removes the volumes that this operation made.
async fn remove_new_volumes(context: &Context) -> Result<(), Problem> {
    let engine = &context.node.engine;
    let labelled = format!("{}={}", label::ENVIRONMENT, context.environment.id);
    for volume in engine.volumes(&labelled).await.or_problem()? {
        if !context.request.before.volumes.contains(&volume) {
            engine.remove_volume(&volume).await.or_problem()?;
        }
    }
    Ok(())
}

/// Records what is wanted of the environment.
pub(super) async fn want(context: &mut Context, desired: Desired) -> Result<(), Problem> {
    context.environment.desired = desired;
    if context.node.store.environment(&context.environment.id).await.or_problem()?.is_none() {
        return Ok(());
    }
    create::keep_record(context).await
}

/// The ids of the images that these containers were made from, as their names mean them now.
pub(super) async fn image_ids(node: &Node, containers: &[Container]) -> BTreeMap<String, String> {
    let names: BTreeSet<&str> = containers.iter().map(|c| c.image.as_str()).collect();
    let ids = names.into_iter().map(|name| async move {
        let id = node.engine.image_id(name).await.ok().flatten();
        // An image whose name is gone is not a newer one.
        (name.to_owned(), id.unwrap_or_default())
    });
    join_all(ids).await.into_iter().collect()
}

/// Whether the images that containers were made from are still what their names mean.
pub(super) fn images_unchanged(
    containers: &[Container],
    images: &BTreeMap<String, String>,
) -> bool {
    containers.iter().all(|container| {
        // The engine shows the id where the name that it was made from means another image now.
        let named = container.image != container.image_id;
        named
            && images
                .get(&container.image)
                .is_some_and(|id| id.is_empty() || *id == container.image_id)
    })
}
