//! From a request to an operation: names resolved, trust checked, what was there before
//! recorded, one operation an environment at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dwell_api::environment::{CreateEnvironment, Destroy, Losses, Up};
use dwell_api::event::Outcome;
use dwell_api::{Code, Problem};
use dwell_core::environment::{Desired, Environment, Options};
use dwell_core::operation::Kind;
use dwell_core::{EnvironmentId, EnvironmentName, Generation, ProjectName};

use crate::node::{Node, random};
use crate::operation::{Before, Context, Operation, Request, run};
use crate::problem::OrProblem;
use crate::{project, view};

/// How long another operation may hold an environment before somebody who waits is told.
const PATIENCE: Duration = Duration::from_millis(300);

/// Makes an environment.
pub(crate) async fn begin_create(
    node: Arc<Node>,
    operation: Arc<Operation>,
    key: &str,
    create: CreateEnvironment,
) -> Result<(), Problem> {
    let environment = planned(&node, &create).await?;
    let lock = node.operations.environment_lock(&environment.project, &environment.name);
    let _held = acquire(&lock, &operation, &environment).await;
    if exists(&node, &environment).await?.is_some() {
        let label = environment.label();
        return Err(Problem::new(Code::Exists, format!("environment `{label}` exists already"))
            .hint("use `dwell up`, or another name"));
    }
    let variables: BTreeMap<String, String> = create.variables.0.iter().cloned().collect();
    let request = Request {
        environment,
        create: Some(CreateEnvironment { variables: Default::default(), ..create }),
        up: Up::default(),
        destroy: Destroy::default(),
        before: nothing_before(),
    };
    let id = request.environment.id.clone();
    let context = Context::new(node.clone(), operation, Kind::Create, request, variables.clone());
    run(context, key).await?;
    super::up::read_ahead(&node, &id, &variables).await;
    Ok(())
}

/// Brings an environment up, making it first if it is missing and the request says how.
pub(crate) async fn begin_up(
    node: Arc<Node>,
    operation: Arc<Operation>,
    key: &str,
    name: &str,
    project: Option<&ProjectName>,
    mut up: Up,
) -> Result<(), Problem> {
    let variables: BTreeMap<String, String> =
        std::mem::take(&mut up.variables).0.into_iter().collect();
    let found = match node.find(name, project).await {
        Err(problem) if problem.code == Code::NotFound && up.create.is_some() => None,
        found => Some(found?),
    };
    let (environment, create) = match (found, up.create.take()) {
        (Some(environment), _) => (environment, None),
        (None, Some(create)) => (planned(&node, &create).await?, Some(create)),
        (None, None) => {
            return Err(Problem::new(Code::NotFound, format!("there is no environment `{name}`")));
        }
    };
    let lock = node.operations.environment_lock(&environment.project, &environment.name);
    let _held = acquire(&lock, &operation, &environment).await;
    // Somebody else may have made or destroyed it while this waited.
    let (environment, kind, create) = match (exists(&node, &environment).await?, create) {
        (Some(there), _) => (there, Kind::Up, None),
        (None, Some(create)) => (environment, Kind::CreateUp, Some(create)),
        (None, None) => {
            return Err(Problem::new(
                Code::NotFound,
                format!("there is no environment `{name}` any more"),
            ));
        }
    };
    if kind == Kind::Up
        && let Some(outcome) = nothing_to_do(&node, &environment, &up, &variables).await
    {
        operation.end(Ok(outcome));
        return Ok(());
    }
    let before = before(&node, &environment).await?;
    let create = create.map(|c| CreateEnvironment { variables: Default::default(), ..c });
    let mut request = Request { environment, create, up, destroy: Destroy::default(), before };
    merge_choices(&mut request);
    run(Context::new(node, operation, kind, request, variables), key).await
}

/// Takes an environment down.
pub(crate) async fn begin_down(
    node: Arc<Node>,
    operation: Arc<Operation>,
    key: &str,
    name: &str,
    project: Option<&ProjectName>,
) -> Result<(), Problem> {
    let found = node.find(name, project).await?;
    let lock = node.operations.environment_lock(&found.project, &found.name);
    let _held = acquire(&lock, &operation, &found).await;
    let environment = node.find(found.id.as_str(), None).await?;
    let before = before(&node, &environment).await?;
    let request = Request {
        environment,
        create: None,
        up: Up::default(),
        destroy: Destroy::default(),
        before,
    };
    run(Context::new(node, operation, Kind::Down, request, BTreeMap::new()), key).await
}

/// Destroys an environment, unless work would be lost that the request does not give up.
pub(crate) async fn begin_destroy(
    node: Arc<Node>,
    operation: Arc<Operation>,
    key: &str,
    name: &str,
    project: Option<&ProjectName>,
    destroy: Destroy,
) -> Result<(), Problem> {
    let found = node.find(name, project).await?;
    let lock = node.operations.environment_lock(&found.project, &found.name);
    let _held = acquire(&lock, &operation, &found).await;
    let environment = node.find(found.id.as_str(), None).await?;
    if !destroy.force {
        let losses = losses(&node, &environment).await?;
        refuse_losses(&environment, &losses, destroy.keep_workspace)?;
    }
    let before = before(&node, &environment).await?;
    let request = Request { environment, create: None, up: Up::default(), destroy, before };
    run(Context::new(node, operation, Kind::Destroy, request, BTreeMap::new()), key).await
}

fn refuse_losses(environment: &Environment, losses: &Losses, keeps: bool) -> Result<(), Problem> {
    let mut details = Vec::new();
    if !keeps {
        details.extend(losses.uncommitted.iter().map(|path| format!("uncommitted: {path}")));
    }
    details.extend(losses.sessions.iter().map(|name| format!("running session: {name}")));
    if details.is_empty() {
        return Ok(());
    }
    let label = environment.label();
    Err(Problem::new(Code::UnsavedWork, format!("destroying `{label}` would lose work"))
        .hint("bring it back with `dwell merge`, keep the tree with `--keep-workspace`, or give it up with `--force`")
        .details(details))
}

/// What destroying an environment would lose.
pub(crate) async fn losses(node: &Node, environment: &Environment) -> Result<Losses, Problem> {
    let mut losses = Losses::default();
    if let Some(tree) = &environment.tree {
        let state = node.directory(&environment.id);
        let unsaved = dwell_drivers::tree::unsaved(tree, &state).await.or_problem()?;
        losses.uncommitted =
            unsaved.uncommitted.iter().map(|path| path.display().to_string()).collect();
        losses.unmerged_commits = unsaved.unmerged_commits;
    }
    losses.sessions = node.running_session_names(&environment.id).await;
    let labelled = format!("{}={}", dwell_core::observed::label::ENVIRONMENT, environment.id);
    losses.volumes = node.engine.volumes(&labelled).await.unwrap_or_default();
    Ok(losses)
}

async fn acquire<'a>(
    lock: &'a tokio::sync::Mutex<()>,
    operation: &Operation,
    environment: &Environment,
) -> tokio::sync::MutexGuard<'a, ()> {
    if let Ok(held) = tokio::time::timeout(PATIENCE, lock.lock()).await {
        return held;
    }
    operation.note(format!("waiting for another operation on `{}`", environment.label()));
    lock.lock().await
}

async fn exists(node: &Node, environment: &Environment) -> Result<Option<Environment>, Problem> {
    node.store.environment_named(&environment.project, &environment.name).await.or_problem()
}

fn nothing_before() -> Before {
    Before { desired: Desired::Stopped, ran: false, subnets: Vec::new(), shared: Vec::new() }
}

async fn before(node: &Node, environment: &Environment) -> Result<Before, Problem> {
    let subnets = node.store.subnets_of(environment.id.as_str()).await.or_problem()?;
    let mut shared = Vec::new();
    for instance in node.store.shared().await.or_problem()? {
        if node.store.shared_users(&instance.id).await.or_problem()?.contains(&environment.id) {
            shared.push(instance.id);
        }
    }
    Ok(Before {
        desired: environment.desired,
        ran: !node.world.containers(&environment.id).is_empty(),
        subnets: subnets.into_iter().map(|(key, _)| key).collect(),
        shared,
    })
}

/// The record of an environment that is to be made.
async fn planned(node: &Node, create: &CreateEnvironment) -> Result<Environment, Problem> {
    let source = source_directory(&create.source).await?;
    let config = project::load(&source).await?;
    project::require_trust(node, &source, &config).await?;
    let project = match (&create.project, &config.project) {
        (Some(given), _) => given.clone(),
        (None, Some(configured)) => configured.clone(),
        (None, None) => project_of(&source)?,
    };
    let name: EnvironmentName = create.name.clone();
    let root = if create.in_place { source.clone() } else { node.paths.tree(&project, &name) };
    Ok(Environment {
        id: EnvironmentId::from_random(random()?),
        name,
        project,
        source,
        root,
        tree: None,
        suffix: config.dns_suffix.clone().unwrap_or_default(),
        generation: Generation::FIRST,
        desired: Desired::Stopped,
        options: Options {
            compose_files: create.compose_files.clone(),
            env_files: create.env_files.clone(),
            profiles: create.profiles.clone(),
            compose_variables: create.compose_variables.clone(),
            shared: Vec::new(),
            isolate: Vec::new(),
            copy: create
                .copy
                .iter()
                .cloned()
                .chain(config.copy.iter().map(ToString::to_string))
                .collect(),
        },
        created: node.now(),
        notes: Vec::new(),
    })
}

async fn source_directory(given: &Path) -> Result<std::path::PathBuf, Problem> {
    let refuse = |why: String| {
        Problem::new(Code::InvalidArgument, format!("the source {} {why}", given.display()))
    };
    if !given.is_absolute() {
        return Err(refuse("is not an absolute path".to_owned()));
    }
    let source =
        tokio::fs::canonicalize(given).await.map_err(|e| refuse(format!("cannot be used: {e}")))?;
    if source.is_dir() { Ok(source) } else { Err(refuse("is not a directory".to_owned())) }
}

/// The project's name is its directory's, where nothing else says it.
fn project_of(source: &Path) -> Result<ProjectName, Problem> {
    let name =
        source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.trim_start_matches('.').parse().map_err(|error: dwell_core::NameError| {
        Problem::new(Code::InvalidName, error.to_string())
            .hint("set `project` in dwell.toml or use `--project`")
    })
}

/// Flags that choose what is shared are kept with the environment.
fn merge_choices(request: &mut Request) {
    let options = &mut request.environment.options;
    let up = &request.up;
    options.shared.retain(|service| !up.isolate.contains(service));
    options.isolate.retain(|service| !up.shared.contains(service) || up.isolate.contains(service));
    for service in &up.shared {
        if !options.shared.contains(service) && !up.isolate.contains(service) {
            options.shared.push(service.clone());
        }
    }
    for service in &up.isolate {
        if !options.isolate.contains(service) {
            options.isolate.push(service.clone());
        }
    }
}

/// The outcome of an `up` that has nothing to do: the project reads the same, and everything of
/// it was seen running as it should.
async fn nothing_to_do(
    node: &Node,
    environment: &Environment,
    up: &Up,
    variables: &BTreeMap<String, String>,
) -> Option<Outcome> {
    let asks = up.build || up.recreate || !up.shared.is_empty() || !up.isolate.is_empty();
    if asks || environment.desired != Desired::Running {
        return None;
    }
    let facts = node.facts.get(&environment.id)?;
    let config = project::load(environment.directory()).await.ok()?;
    let stamp = super::stamp::stamp(environment, &config, variables);
    if stamp.hash.is_empty() || stamp != facts.stamp {
        return None;
    }
    let labelled = format!("{}={}", dwell_core::observed::label::ENVIRONMENT, environment.id);
    let expected = node.world.containers(&environment.id);
    let (containers, images) =
        tokio::join!(node.engine.containers(&labelled), super::up::image_ids(node, &expected));
    let containers = containers.ok()?;
    let of_this = containers.iter().all(|c| c.generation == environment.generation);
    if !of_this || !view::is_well(&facts, &containers, up.wait) {
        return None;
    }
    if !super::up::images_unchanged(&containers, &images) {
        return None;
    }
    let summary = format!("`{}` is up already", environment.label());
    let environment = Some(Box::new(node.see(environment).await));
    Some(Outcome { environment, changed: false, summary })
}
