//! From a request to an operation: names resolved, trust checked, what was there before
//! recorded, one operation an environment at a time.

mod home;
mod losses;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dwell_api::environment::{CreateEnvironment, Destroy, Up, Variables};
use dwell_api::event::Outcome;
use dwell_api::remote::Delivery;
use dwell_api::{Code, Problem};
use dwell_core::admission::Demand;
use dwell_core::config::ProjectConfig;
use dwell_core::environment::{Desired, Environment, Options};
use dwell_core::operation::Kind;
use dwell_core::placement::Choices;
use dwell_core::{EnvironmentId, EnvironmentName, Generation, NodeName, ProjectName};

use losses::refuse_losses;

use super::{admission, bare};
use crate::node::{Node, random};
use crate::operation::{Before, Context, Operation, Request, run};
use crate::problem::OrProblem;
use crate::{ingress, project, view};

pub(crate) use losses::{losses, volumes};

/// How long another operation may hold an environment before somebody who waits is told.
const PATIENCE: Duration = Duration::from_millis(300);

/// Makes an environment.
pub(crate) async fn begin_create(
    node: Arc<Node>,
    operation: Arc<Operation>,
    key: &str,
    create: CreateEnvironment,
) -> Result<(), Problem> {
    let mut create = create;
    let delivery = create.delivery.take();
    let environment = match &delivery {
        Some(delivery) => super::delivery::planned(&node, &create, delivery)?,
        None => planned(&node, &create).await?,
    };
    let lock = node.operations.environment_lock(&environment.project, &environment.name);
    let _held = acquire(&lock, &operation, &environment).await;
    if let Some(there) = exists(&node, &environment).await? {
        refuse_half_gone(&there)?;
        let label = environment.label();
        return Err(Problem::new(Code::Exists, format!("environment `{label}` exists already"))
            .hint("use `dwell up`, or another name"));
    }
    refuse_what_is_there(&environment)?;
    let here = BTreeMap::from([(NodeName::local(), Demand::default())]);
    for note in admission::admit(&node, &here, admission::Manner::of(create.strict)).await? {
        operation.note(note);
    }
    let variables: BTreeMap<String, String> = create.variables.0.iter().cloned().collect();
    let request = Request {
        environment,
        create: Some(CreateEnvironment { variables: Default::default(), ..create }),
        up: Up::default(),
        destroy: Destroy::default(),
        moving: None,
        before: nothing_before(),
    };
    let id = request.environment.id.clone();
    let is_delivered = delivery.is_some();
    let context = Context::new(node.clone(), operation, Kind::Create, request, variables.clone());
    run(context.delivered(delivery), key).await?;
    if !is_delivered {
        super::up::read_ahead(&node, &id, &variables).await;
    }
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
    let delivery = up.delivery.take();
    if delivery.is_none()
        && let Some((there, existing)) = home::elsewhere(&node, name, project, &up).await?
    {
        up.variables = Variables(variables.into_iter().collect());
        let done = crate::remote::up(&node, &operation, key, &there, existing, up).await;
        operation.end(done);
        return Ok(());
    }
    let found = match (&up.create, &delivery) {
        (Some(create), Some(delivery)) => {
            let project = &delivery.specification.project;
            node.store.environment_named(project, &create.name).await.or_problem()?
        }
        (Some(create), None) => meant(&node, name, project, create).await?,
        (None, _) => Some(node.find(name, project).await?),
    };
    let (environment, create) = match (found, up.create.take()) {
        (Some(environment), _) => (environment, None),
        (None, Some(create)) => {
            let planned = match &delivery {
                Some(delivery) => super::delivery::planned(&node, &create, delivery)?,
                None => planned(&node, &create).await?,
            };
            (planned, Some(create))
        }
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
    match kind {
        Kind::Up => refuse_half_gone(&environment)?,
        _ => refuse_what_is_there(&environment)?,
    }
    if kind == Kind::Up
        && let Some(outcome) =
            nothing_to_do(&node, &environment, &up, &variables, delivery.as_ref()).await
    {
        operation.end(Ok(outcome));
        return Ok(());
    }
    let mut before = before(&node, &environment).await?;
    if kind == Kind::Up {
        before.volumes = volumes(&node, &environment).await?;
    }
    if up.ingress == Some(true) {
        ingress::require(&node).await?;
    }
    if up.strict && delivery.is_none() {
        let ran = before.ran;
        admission::check_ahead(&node, &environment, &up.placement, &variables, ran).await?;
    }
    let create = create.map(|c| CreateEnvironment { variables: Default::default(), ..c });
    let (destroy, moving) = (Destroy::default(), None);
    let mut request = Request { environment, create, up, destroy, moving, before };
    merge_choices(&mut request);
    let context = Context::new(node, operation, kind, request, variables);
    run(context.delivered(delivery), key).await
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
        moving: None,
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
    let (up, moving) = (Up::default(), None);
    let request = Request { environment, create: None, up, destroy, moving, before };
    run(Context::new(node, operation, Kind::Destroy, request, BTreeMap::new()), key).await
}

/// An environment can only be made where nothing is: what is there is somebody's.
pub(super) fn refuse_what_is_there(environment: &Environment) -> Result<(), Problem> {
    let root = &environment.root;
    if *root == environment.source || std::fs::symlink_metadata(root).is_err() {
        return Ok(());
    }
    Err(Problem::new(Code::Exists, format!("there is something in {} already", root.display()))
        .hint("move it away, or choose another name"))
}

/// An environment whose destruction has begun can only be destroyed.
pub(super) fn refuse_half_gone(environment: &Environment) -> Result<(), Problem> {
    if environment.desired != Desired::Destroyed {
        return Ok(());
    }
    let label = environment.label();
    Err(Problem::new(Code::Conflict, format!("`{label}` is being destroyed"))
        .hint("wait until it is gone, or finish it now with `dwell destroy --force`"))
}

pub(super) async fn acquire<'a>(
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

pub(super) fn nothing_before() -> Before {
    Before {
        desired: Desired::Stopped,
        ran: false,
        subnets: Vec::new(),
        volumes: Vec::new(),
        shared: Vec::new(),
    }
}

pub(super) async fn before(node: &Node, environment: &Environment) -> Result<Before, Problem> {
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
        subnets,
        volumes: Vec::new(),
        shared,
    })
}

/// The record of an environment that is to be made.
pub(crate) async fn planned(
    node: &Node,
    create: &CreateEnvironment,
) -> Result<Environment, Problem> {
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
    let options = options(node, create, &source, &config)?;
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
        options,
        created: node.now(),
        notes: Vec::new(),
        origin: None,
        placement: None,
        parts: BTreeMap::new(),
    })
}

/// How a project is to be read. One that has no compose file is refused before anything of it is
/// copied, unless it may be without; a hook may make one, which compose will tell.
fn options(
    node: &Node,
    create: &CreateEnvironment,
    source: &Path,
    config: &ProjectConfig,
) -> Result<Options, Problem> {
    let copy = create.copy.iter().cloned().chain(config.copy.iter().map(ToString::to_string));
    let options = Options {
        compose_files: create.compose_files.clone(),
        env_files: create.env_files.clone(),
        profiles: create.profiles.clone(),
        compose_variables: create.compose_variables.clone(),
        shared: Vec::new(),
        isolate: Vec::new(),
        placement: Choices::default(),
        ingress: false,
        copy: copy.collect(),
        bare: false,
    };
    if bare::has_compose_file(source, bare::repository(source), config, &options) {
        return Ok(options);
    }
    let hooks = !config.hooks.setup.is_empty() || !config.hooks.run.is_empty();
    if !create.bare {
        return if hooks || create.empty { Ok(options) } else { Err(bare::missing(source)) };
    }
    if !create.empty && !create.in_place {
        bare::refuse_home(node, source)?;
    }
    Ok(Options { bare: true, ..options })
}

/// The environment that somebody means who would make it if it were missing: the one of the
/// project that they are in. Only outside of any project does the name alone find one.
async fn meant(
    node: &Node,
    name: &str,
    project: Option<&ProjectName>,
    create: &CreateEnvironment,
) -> Result<Option<Environment>, Problem> {
    let own = match project.or(create.project.as_ref()) {
        Some(given) => Some(given.clone()),
        None if is_project(create) => Some(own_project(create).await?),
        None => None,
    };
    match own {
        Some(own) => node.store.environment_named(&own, &create.name).await.or_problem(),
        None => match node.find(name, None).await {
            Err(problem) if problem.code == Code::NotFound => Ok(None),
            found => found.map(Some),
        },
    }
}

/// The project of a source: the one that it says, else its directory's name.
async fn own_project(create: &CreateEnvironment) -> Result<ProjectName, Problem> {
    let source = source_directory(&create.source).await?;
    let configured = project::load(&source).await?.project;
    configured.map_or_else(|| project_of(&source), Ok)
}

/// Whether a directory is a project, or is said to be one.
fn is_project(create: &CreateEnvironment) -> bool {
    let said = create.empty
        || !create.compose_files.is_empty()
        || create.compose_variables.contains_key("COMPOSE_FILE");
    let marks = [dwell_core::config::PROJECT_FILE, dwell_core::config::CILO_FILE];
    let marks = super::stamp::DEFAULTS.iter().chain(&marks);
    said || marks.into_iter().any(|mark| create.source.join(mark).is_file())
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

/// Flags that choose what is shared, and who reaches it, are kept with the environment.
fn merge_choices(request: &mut Request) {
    let options = &mut request.environment.options;
    let up = &request.up;
    options.ingress = up.ingress.unwrap_or(options.ingress);
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
    delivery: Option<&Delivery>,
) -> Option<Outcome> {
    let asks = up.build
        || up.recreate
        || !up.shared.is_empty()
        || !up.isolate.is_empty()
        || !up.placement.is_empty()
        || up.ingress.is_some_and(|ingress| ingress != environment.options.ingress)
        // What runs elsewhere may need its sources anew.
        || !environment.parts.is_empty();
    if asks || environment.desired != Desired::Running {
        return None;
    }
    let facts = node.facts.get(&environment.id)?;
    let stamp = if environment.origin.is_some() {
        super::delivery::reads_the_same(node, environment, delivery)?
    } else {
        let config = project::load(environment.directory()).await.ok()?;
        super::stamp::stamp(environment, &config, variables)
    };
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
    let summary = if facts.services.is_empty() {
        bare::explained(environment)
    } else {
        format!("`{}` is up already", environment.label())
    };
    let environment = Some(Box::new(node.see(environment).await));
    Some(Outcome { environment, changed: false, summary, ..Outcome::default() })
}
