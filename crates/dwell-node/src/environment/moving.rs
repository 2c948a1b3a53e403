//! Moving: an environment, or some of its services, is made where it is to go, gets its data, and
//! runs there before anything of the old is removed. Until then a failure leaves it where it was.

mod halted;
pub(crate) mod place;
mod plan;
mod services;
mod whole;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dwell_api::environment::{Destroy, Up};
use dwell_api::event::Outcome;
use dwell_api::moving::{Move, MovePlan, VolumeFate};
use dwell_api::{Code, Event, Problem, StepState};
use dwell_core::moving::{Moving, What};
use dwell_core::operation::Step;
use dwell_core::{ProjectName, ServiceName, VolumeName};

use super::request::{acquire, before, refuse_half_gone, volumes};
use crate::node::Node;
use crate::operation::{Context, Operation, Request, run};
use crate::volumes as content;

use halted::Halted;
use place::Place;
use plan::{Subject, mounts, place_on};

pub(crate) use halted::revive_what_is_left;
pub(crate) use services::{drop_parts, settle, start, unstart};
pub(crate) use whole::{arrive, leave, send, switch, tree, unsend};

/// How long a daemon that starts waits for each node of a move that it finds unfinished.
const MEET_LIMIT: Duration = Duration::from_secs(10);

/// What a move would do.
pub(crate) async fn planned(
    node: &Arc<Node>,
    name: &str,
    project: Option<&ProjectName>,
    wanted: &Move,
) -> Result<MovePlan, Problem> {
    let subject = Subject::find(node, name, project).await?;
    plan::plan(node, &subject, wanted).await
}

/// Moves an environment or services of it.
pub(crate) async fn begin(
    node: Arc<Node>,
    operation: Arc<Operation>,
    key: &str,
    name: &str,
    project: Option<&ProjectName>,
    mut wanted: Move,
) -> Result<(), Problem> {
    let variables: BTreeMap<String, String> =
        std::mem::take(&mut wanted.variables).0.into_iter().collect();
    let subject = Subject::find(&node, name, project).await?;
    let planned = whole::stand_for(&node, &subject)?;
    let lock = node.operations.environment_lock(&planned.project, &planned.name);
    let _held = acquire(&lock, &operation, &planned).await;
    // It may have moved or gone while this waited.
    let subject = Subject::find(&node, subject.place().id.as_str(), None).await?;
    let plan = plan::plan(&node, &subject, &wanted).await?;
    if plan.nothing_to_do {
        let outcome = whole::already_there(&node, &subject, &wanted).await;
        operation.end(Ok(outcome));
        return Ok(());
    }
    refuse(&subject.label(), &plan, wanted.force)?;
    let context = if wanted.services.is_empty() {
        whole::prepare(&node, &operation, &subject, &wanted, variables).await?
    } else {
        of_services(&node, &operation, &subject, &wanted, plan, variables).await?
    };
    run(context, key).await
}

/// Refuses what ends or replaces something that nobody gave up.
fn refuse(label: &str, plan: &MovePlan, force: bool) -> Result<(), Problem> {
    let mut details: Vec<String> =
        plan.sessions.iter().map(|name| format!("running session: {name}")).collect();
    let replaced = plan.volumes.iter().filter(|volume| volume.fate == VolumeFate::Replaces);
    details.extend(replaced.map(|v| format!("volume on `{}` already: {}", plan.to, v.name)));
    details.extend(plan.losses.iter().cloned());
    if details.is_empty() || force {
        return Ok(());
    }
    Err(Problem::new(Code::UnsavedWork, format!("moving `{label}` would end or lose something"))
        .hint("`--force` gives it up")
        .details(details))
}

async fn of_services(
    node: &Arc<Node>,
    operation: &Arc<Operation>,
    subject: &Subject,
    wanted: &Move,
    plan: MovePlan,
    variables: BTreeMap<String, String>,
) -> Result<Context, Problem> {
    let environment = node.find(subject.place().id.as_str(), None).await?;
    refuse_half_gone(&environment)?;
    let there = match place_on(&environment, &wanted.to) {
        Some(place) => place.volumes(node).await?.into_iter().map(|v| v.name).collect(),
        None => BTreeSet::new(),
    };
    let moving = Moving {
        to: wanted.to.clone(),
        with_volumes: wanted.with_volumes,
        there,
        what: What::Services(plan.services),
    };
    let up = Up { placement: moving.flags(), strict: wanted.strict, ..Up::default() };
    let mut before = before(node, &environment).await?;
    before.volumes = volumes(node, &environment).await?;
    let kind = moving.kind();
    let request = Request {
        environment,
        create: None,
        up,
        destroy: Destroy::default(),
        moving: Some(moving),
        before,
    };
    Ok(Context::new(node.clone(), operation.clone(), kind, request, variables))
}

/// Whether a step has nothing to do, because what moves does not run.
pub(crate) fn rests(context: &Context, step: Step) -> bool {
    use Step::{Arrive, Containers, Halt, Model, Parts, Shared, Subnets, WantRunning};
    let starts = [Arrive, Containers, Halt, Model, Parts, Shared, Subnets, WantRunning];
    let whole = context.request.moving.as_ref().and_then(Moving::whole);
    whole.is_some_and(|whole| !whole.runs) && starts.contains(&step)
}

/// The move of an operation that is one.
fn moving(context: &Context) -> Result<Moving, Problem> {
    let missing = || Problem::new(Code::Internal, "the operation moves nothing");
    context.request.moving.clone().ok_or_else(missing)
}

/// Waits a moment for the nodes of an interrupted move, whose links are just being made.
pub(crate) async fn meet(context: &Context) {
    let Some(moving) = &context.request.moving else { return };
    let mut nodes = moving.left();
    nodes.insert(&moving.to);
    nodes.extend(moving.whole().map(|whole| &whole.from));
    for name in nodes.into_iter().filter(|name| !name.is_local()).collect::<Vec<_>>() {
        if let Ok(peer) = context.node.remotes.peer(name) {
            // Without it, what is to be done there is done when it is back.
            let _ = tokio::time::timeout(MEET_LIMIT, peer.ping()).await;
        }
    }
}

/// Ends the sessions of a whole environment where it leaves.
pub(crate) async fn sessions(context: &Context) -> Result<(), Problem> {
    match moving(context)?.whole() {
        Some(whole) => Place::new(&whole.from, &whole.old).end_sessions(&context.node).await,
        None => Ok(()),
    }
}

/// A volume to be carried: where it is, and where it goes.
struct Load {
    volume: VolumeName,
    from: Place,
    to: Place,
    /// The service that mounts it, where services move.
    service: Option<ServiceName>,
}

/// The volumes that go along, as they are now.
async fn loads(context: &Context, moving: &Moving) -> Result<Vec<Load>, Problem> {
    if !moving.with_volumes {
        return Ok(Vec::new());
    }
    let node = &context.node;
    let mut loads = Vec::new();
    if let Some(whole) = moving.whole() {
        let to = Place::new(&moving.to, &whole.new);
        let parts = context.request.environment.parts.iter();
        let mut places = vec![Place::new(&whole.from, &whole.old)];
        places.extend(parts.map(|(there, id)| Place::new(there, id)));
        for from in places {
            for volume in from.volumes(node).await?.iter().filter(|v| content::moves(v)) {
                let (volume, from) = (volume.name.clone(), from.clone());
                loads.push(Load { volume, from, to: to.clone(), service: None });
            }
        }
        return Ok(loads);
    }
    let Some(to) = place_on(&context.environment, &moving.to) else { return Ok(loads) };
    let mounts = mounts(node, &context.environment)?;
    for (service, from) in moving.services() {
        let Some(from) = place_on(&context.environment, from) else { continue };
        let own = mounts.get(service).cloned().unwrap_or_default();
        for volume in from.volumes(node).await?.iter().filter(|v| content::moves(v)) {
            let is_new = !loads.iter().any(|load: &Load| load.volume == volume.name);
            if own.contains(&volume.name) && is_new {
                let (volume, from) = (volume.name.clone(), from.clone());
                let service = Some(service.clone());
                loads.push(Load { volume, from, to: to.clone(), service });
            }
        }
    }
    Ok(loads)
}

/// Stops what moves: all of an environment, or the services whose data goes along.
pub(crate) async fn halt(context: &Context) -> Result<(), Problem> {
    let moving = moving(context)?;
    let (node, operation) = (&context.node, &context.operation);
    let halted = |place: &Place, service: Option<&ServiceName>| Halted {
        operation: operation.id.clone(),
        node: place.node.clone(),
        environment: place.id.clone(),
        service: service.cloned(),
    };
    if let Some(whole) = moving.whole() {
        let old = Place::new(&whole.from, &whole.old);
        halted::note(node, vec![halted(&old, None)]).await?;
        return old.stop_all(node).await;
    }
    let loads = loads(context, &moving).await?;
    let stopped = loads.iter().filter_map(|load| Some((&load.from, load.service.as_ref()?)));
    let stopped: BTreeMap<&ServiceName, &Place> = stopped.map(|(p, s)| (s, p)).collect();
    let all = stopped.iter().map(|(service, place)| halted(place, Some(service))).collect();
    halted::note(node, all).await?;
    for (service, place) in stopped {
        place.halt(node, service).await?;
    }
    Ok(())
}

/// Starts again what was stopped.
pub(crate) async fn revive(context: &Context) -> Result<(), Problem> {
    for problem in halted::revive(&context.node, &context.operation.id).await {
        context
            .operation
            .note(format!("{problem}; it is started again as soon as that is possible"));
    }
    Ok(())
}

/// Carries the data that goes along.
pub(crate) async fn carry(context: &Context) -> Result<(), Problem> {
    let moving = moving(context)?;
    let node = &context.node;
    for Load { volume, from, to, .. } in loads(context, &moving).await? {
        let step = format!("carrying volume {volume}");
        let tell = |state| context.operation.tell(Event::Step { step: step.clone(), state });
        tell(StepState::Started);
        if moving.there.contains(&volume) {
            to.remove(node, &volume).await?;
        }
        let length = from.carry(node, &volume, &to).await?;
        tell(StepState::Done);
        context.operation.note(format!("volume `{volume}`: {}", size(length)));
    }
    Ok(())
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} bytes carried"),
        10_000..=9_999_999 => format!("{} kB carried", bytes / 1000),
        _ => format!("{} MB carried", bytes / 1_000_000),
    }
}

/// Removes what was carried where it went: it is still where it was.
pub(crate) async fn uncarry(context: &Context) -> Result<(), Problem> {
    let moving = moving(context)?;
    let node = &context.node;
    match moving.whole() {
        // Elsewhere it goes with the environment.
        Some(_) if !moving.to.is_local() => {}
        Some(whole) => {
            let here = Place::new(&moving.to, &whole.new);
            for volume in here.volumes(node).await? {
                here.remove(node, &volume.name).await?;
            }
        }
        None => {
            let is_new = !moving.to.is_local()
                && !context.request.environment.parts.contains_key(&moving.to);
            let Some(to) = place_on(&context.environment, &moving.to).filter(|_| !is_new) else {
                return Ok(());
            };
            let mounts = mounts(node, &context.environment)?;
            let own = moving.services().filter_map(|(service, _)| mounts.get(service)).flatten();
            let own: BTreeSet<&VolumeName> = own.collect();
            for volume in own {
                if !moving.there.contains(volume) {
                    to.remove(node, volume).await?;
                }
            }
        }
    }
    Ok(())
}

/// What a move left, for `outcome`.
pub(crate) async fn moved(context: &Context) -> Result<Outcome, Problem> {
    let moving = moving(context)?;
    let label = context.environment.label();
    let to = if moving.to.is_local() { "here".to_owned() } else { format!("to `{}`", moving.to) };
    let summary = match moving.whole() {
        Some(_) => format!("moved `{label}` {to}"),
        None => {
            let names: Vec<String> = moving.services().map(|(name, _)| name.to_string()).collect();
            format!("moved {} of `{label}` {to}", names.join(", "))
        }
    };
    let environment = whole::outcome(context, &moving).await;
    Ok(Outcome {
        environment: environment.map(Box::new),
        changed: true,
        summary,
        ..Outcome::default()
    })
}
