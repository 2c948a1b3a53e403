//! An environment whose home is another node: its project is resolved here, its sources are sent
//! there, and that node's daemon does the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dwell_api::client::Lines;
use dwell_api::environment::{CreateEnvironment, InProject, Sync, TextReport, Up, Variables};
use dwell_api::event::Outcome;
use dwell_api::remote::{Delivery, SeenEnvironment};
use dwell_api::{ClientError, Code, Event, Problem, StepState, endpoint};
use dwell_core::admission::Demand;
use dwell_core::compose::{self, Journey, Specification};
use dwell_core::environment::Environment;
use dwell_core::tree::TreePath;
use dwell_core::{EnvironmentId, NodeName, ServiceName};

use crate::environment::{Manner, admit, creation, delivered, for_files, planned, say_farewell};
use crate::node::Node;
use crate::operation::Operation;
use crate::problem::OrProblem;
use crate::{project, travel};

/// How often a broken link is made anew while an operation goes on at its other end.
const RECONNECTS: u32 = 5;
/// How long to wait before that.
const RECONNECT: Duration = Duration::from_secs(1);
/// How long the node may be away meanwhile.
const AWAY_LIMIT: Duration = Duration::from_secs(60);

/// Brings an environment up on its home, another node.
pub(crate) async fn up(
    node: &Arc<Node>,
    operation: &Arc<Operation>,
    key: &str,
    there: &NodeName,
    existing: Option<EnvironmentId>,
    mut up: Up,
) -> Result<Outcome, Problem> {
    let peer = node.remotes.peer(there)?;
    let known = existing.as_ref().and_then(|id| peer.mirror.environment(id));
    let variables: BTreeMap<String, String> =
        std::mem::take(&mut up.variables).0.into_iter().collect();
    let create = match (up.create.take(), &known) {
        (Some(create), Some(seen)) => Some(as_it_was_made(create, seen, node)),
        (create, _) => create,
    };
    if let Some(create) = create {
        let telling = Telling::begin(operation, &format!("sending sources to {there}"));
        let runs = existing.as_ref().is_some_and(|id| node.remotes.runs(there, id));
        let admission = (!runs).then(|| Manner::of(up.strict));
        let (delivery, notes) =
            deliver(node, there, &create, up.force, &variables, admission).await?;
        for note in notes {
            operation.note(note);
        }
        telling.done();
        let values = for_files(&delivery.specification.model, &variables);
        up.variables = Variables(values.into_iter().collect());
        up.delivery = Some(delivery);
        if existing.is_none() {
            up.create =
                Some(CreateEnvironment { variables: Default::default(), delivery: None, ..create });
        }
    }
    let (name, project) = match (&known, &up.create) {
        (Some(seen), _) => (seen.environment.id.to_string(), None),
        (None, Some(create)) => (create.name.to_string(), create.project.clone()),
        (None, None) => return Err(Problem::new(Code::NotFound, "there is no such environment")),
    };
    let path = endpoint::query(&endpoint::fill(endpoint::UP, &[&name]), &InProject { project });
    let far = Far { there, key, path: &path, named: false };
    let mut outcome = follow(node, operation, far, &up).await?;
    // So that its names and addresses are there when the caller hears of it.
    if let Err(problem) = node.remotes.look(node, there).await {
        tracing::info!(%problem, node = %there, "it is not shown yet");
    }
    if let Some(environment) = outcome.environment.take() {
        outcome.environment = Some(Box::new(node.remotes.shown_now(there, &node.id, *environment)));
    }
    Ok(outcome)
}

/// What made an environment holds for it: a later `up` is of the same source.
fn as_it_was_made(
    create: CreateEnvironment,
    seen: &SeenEnvironment,
    node: &Node,
) -> CreateEnvironment {
    let ours = seen.origin.as_ref().filter(|origin| origin.node == node.id);
    let source = ours.map_or(create.source, |origin| origin.source.clone());
    CreateEnvironment { source, project: Some(seen.environment.project.clone()), ..create }
}

/// Resolves a project here and sends its sources, if the other node has room for what is to start
/// there; gives what it needs besides, and what people should know.
async fn deliver(
    node: &Arc<Node>,
    there: &NodeName,
    create: &CreateEnvironment,
    force: bool,
    variables: &BTreeMap<String, String>,
    admission: Option<Manner>,
) -> Result<(Delivery, Vec<String>), Problem> {
    let planned = Environment { tree: None, ..planned(node, create).await? };
    let environment = Environment { root: planned.source.clone(), ..planned };
    let mut resolved = resolve(node, &environment, variables).await?;
    if let Some(manner) = admission {
        let demand = BTreeMap::from([(there.clone(), resolved.demand)]);
        resolved.notes.extend(admit(node, &demand, manner).await?);
    }
    // What is to be gone there may have the name of what is to come.
    say_farewell(node, there).await;
    let sent = travel::send(node, there, &environment, &resolved.extra, force).await?;
    let delivery = Delivery {
        from: node.id.clone(),
        source: environment.source.clone(),
        sent: Some(sent.sent),
        force,
        specification: resolved.specification,
        id: None,
        part_of: None,
        trusted: resolved.trusted,
    };
    Ok((delivery, sent.notes.into_iter().chain(resolved.notes).collect()))
}

/// How an environment of this node is made on another one, but for its tree; and what people
/// should know. What it is resolved from is its own tree.
pub(crate) async fn delivery_of(
    node: &Arc<Node>,
    environment: &Environment,
    variables: &BTreeMap<String, String>,
) -> Result<(Delivery, Vec<String>), Problem> {
    let directory = environment.directory();
    let config = project::load(directory).await?;
    let may = project::require_trust_in(node, &environment.source, directory, &config).await;
    let subject = project::trust_subject(directory, &config).await.filter(|_| may.is_ok());
    let (specification, notes) = match delivered(node, &environment.id) {
        Some(delivered) => (delivered.specification, Vec::new()),
        None => {
            let resolved = resolve(node, environment, variables).await?;
            (resolved.specification, resolved.notes)
        }
    };
    let origin = environment.origin.as_ref();
    let delivery = Delivery {
        from: origin.map_or_else(|| node.id.clone(), |origin| origin.node.clone()),
        source: origin.map_or_else(|| environment.source.clone(), |origin| origin.source.clone()),
        sent: None,
        force: false,
        specification,
        part_of: None,
        id: None,
        trusted: subject.map(|subject| subject.hash),
    };
    Ok((delivery, notes))
}

/// Brings the source's work into an environment on another node.
pub(crate) async fn sync(
    node: &Arc<Node>,
    there: &NodeName,
    id: &EnvironmentId,
    force: bool,
) -> Result<TextReport, Problem> {
    let seen = node.remotes.peer(there)?.mirror.environment(id);
    let missing = || Problem::new(Code::NotFound, format!("there is no environment `{id}`"));
    let create = of_ours(node, &seen.ok_or_else(missing)?)?;
    let variables = std::env::vars().collect();
    let (delivery, notes) = deliver(node, there, &create, force, &variables, None).await?;
    let body = Sync { force, delivery: Some(delivery) };
    let path = endpoint::fill(endpoint::SYNC, &[id.as_str()]);
    let key = format!("sync-{id}-{}", node.now());
    let mut client = node.remotes.client(there).await?;
    let mut report: TextReport =
        client.post(&path, &key, &body).await.map_err(ClientError::into_problem)?;
    report.notes.extend(notes);
    Ok(report)
}

/// What made an environment of this node's source on another node.
pub(crate) fn of_ours(node: &Node, seen: &SeenEnvironment) -> Result<CreateEnvironment, Problem> {
    let environment = &seen.environment;
    let Some(origin) = seen.origin.as_ref().filter(|origin| origin.node == node.id) else {
        let label = format!("{}/{}", environment.project, environment.name);
        let message = format!("`{label}` was not made from a source on this machine");
        return Err(
            Problem::new(Code::InvalidArgument, message).hint("run this where its source is")
        );
    };
    Ok(creation(&environment.name, &environment.project, &origin.source))
}

/// A project as it was resolved here.
pub(super) struct Resolved {
    pub(super) specification: Specification,
    /// What it asks of its node.
    pub(super) demand: Demand,
    /// Paths of the source tree that the services need.
    pub(super) extra: Vec<TreePath>,
    /// What people should know.
    pub(super) notes: Vec<String>,
    /// The hash of its commands, which the user trusted here.
    pub(super) trusted: Option<String>,
}

async fn resolve(
    node: &Node,
    environment: &Environment,
    variables: &BTreeMap<String, String>,
) -> Result<Resolved, Problem> {
    let config = project::load(environment.directory()).await?;
    let trusted = project::trust_subject(environment.directory(), &config).await;
    let model = node.remotes.readings.model(environment, &config, variables).await?;
    let root = travel::root(node, environment.directory()).await?;
    let services: BTreeSet<ServiceName> =
        compose::services(&model).or_problem()?.into_keys().collect();
    let journey =
        Journey { model: &model, services: &services, root: &root, host: &config.sync.host };
    let luggage = compose::travel(&journey).or_problem()?;
    let specification = Specification::new(
        environment.project.clone(),
        environment.suffix.clone(),
        &model,
        &root,
        environment.directory(),
    )
    .or_problem()?;
    Ok(Resolved {
        specification: Specification {
            ingress: config.ingress.clone(),
            hostnames: project::hostnames(&config)?,
            ..specification
        },
        demand: compose::demand(&model, &services).or_problem()?,
        extra: luggage.needs.into_iter().map(|luggage| luggage.path).collect(),
        notes: luggage.notes.iter().map(ToString::to_string).collect(),
        trusted: trusted.map(|subject| subject.hash),
    })
}

/// An operation of another node.
pub(crate) struct Far<'a> {
    pub(crate) there: &'a NodeName,
    pub(crate) key: &'a str,
    pub(crate) path: &'a str,
    /// Whether its steps are told with the node's name, as they are among others.
    pub(crate) named: bool,
}

/// Has another node do an operation and tells its events as ours; finds it again when the link
/// breaks meanwhile, and cancels it there when it is cancelled here.
pub(crate) async fn follow(
    node: &Arc<Node>,
    operation: &Arc<Operation>,
    far: Far<'_>,
    body: &impl serde::Serialize,
) -> Result<Outcome, Problem> {
    let Far { there, key, path, named } = far;
    let mut left = RECONNECTS;
    let of = named.then_some(there);
    let mut following = Following { operation, of, id: None, seen: 0 };
    let (mut begun, mut away) = (false, None);
    loop {
        let mut client = match node.remotes.client(there).await {
            // What was begun goes on there, and the link comes back.
            Err(problem) if begun && problem.code == Code::NodeUnreachable => {
                if away.get_or_insert_with(Instant::now).elapsed() > AWAY_LIMIT {
                    return Err(problem);
                }
                tokio::select! {
                    _ = async { node.remotes.peer(there)?.ping().await } => {}
                    () = operation.cancelled() => return Err(problem),
                }
                tokio::time::sleep(RECONNECT).await;
                continue;
            }
            client => client?,
        };
        (begun, away) = (true, None);
        let lines = match &following.id {
            Some(id) => client.lines(&endpoint::fill(endpoint::OPERATION, &[id])).await,
            None => client.operate(path, key, body).await,
        };
        let ended = match lines {
            Ok(mut lines) => tokio::select! {
                ended = following.tell(&mut lines) => ended,
                () = operation.cancelled() => {
                    following.cancel(node, there).await;
                    following.tell(&mut lines).await
                }
            },
            Err(error) => Err(error),
        };
        match ended {
            Ok(result) => return result,
            Err(ClientError::Connection(why)) if left > 0 => {
                left -= 1;
                tracing::info!(%why, node = %there, "an operation there is followed anew");
                tokio::time::sleep(RECONNECT).await;
            }
            Err(error) => {
                return Err(error.into_problem().hint(format!(
                    "what was begun on `{there}` goes on or is undone there; see `dwell status`"
                )));
            }
        }
    }
}

struct Following<'a> {
    operation: &'a Arc<Operation>,
    /// The node that its steps are told with.
    of: Option<&'a NodeName>,
    id: Option<String>,
    /// Events told, so that a second look does not tell them again.
    seen: usize,
}

impl Following<'_> {
    async fn tell(&mut self, lines: &mut Lines) -> Result<Result<Outcome, Problem>, ClientError> {
        let mut place = 0;
        while let Some(event) = lines.next::<Event>().await? {
            place += 1;
            let fresh = place > self.seen;
            self.seen = self.seen.max(place);
            match event {
                Event::Accepted { operation } => self.id = Some(operation),
                Event::Done { result } => return Ok(Ok(result)),
                Event::Failed { problem } => return Ok(Err(problem)),
                other if fresh => self.operation.tell(self.named(other)),
                _ => {}
            }
        }
        Err(ClientError::Connection("the stream ended before the operation did".to_owned()))
    }

    fn named(&self, event: Event) -> Event {
        match (self.of, event) {
            (Some(there), Event::Step { step, state }) => {
                Event::Step { step: format!("{there}: {step}"), state }
            }
            (Some(there), Event::Note { text }) => Event::Note { text: format!("{there}: {text}") },
            (_, event) => event,
        }
    }

    async fn cancel(&self, node: &Arc<Node>, there: &NodeName) {
        let Some(id) = &self.id else { return };
        let path = endpoint::fill(endpoint::OPERATION_CANCEL, &[id]);
        let key = format!("cancel-{id}");
        if let Ok(mut client) = node.remotes.client(there).await {
            // That it was asked shows in the events.
            let _ = client.post::<_, serde_json::Value>(&path, &key, &serde_json::json!({})).await;
        }
    }
}

/// A step that is told while it runs.
pub(super) struct Telling<'a> {
    operation: &'a Operation,
    step: String,
}

impl<'a> Telling<'a> {
    pub(super) fn begin(operation: &'a Operation, step: &str) -> Self {
        operation.tell(Event::Step { step: step.to_owned(), state: StepState::Started });
        Self { operation, step: step.to_owned() }
    }

    pub(super) fn done(self) {
        self.operation.tell(Event::Step { step: self.step, state: StepState::Done });
    }
}
