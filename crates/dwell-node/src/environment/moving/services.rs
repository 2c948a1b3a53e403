//! Services move: first the node that gets them, then this one, and last those that they leave.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dwell_api::remote::Target;
use dwell_api::{Code, Problem};
use dwell_core::compose::Isolated;
use dwell_core::environment::Environment;
use dwell_core::moving::Moving;
use dwell_core::{EnvironmentId, NodeName, ServiceName, VolumeName};

use super::super::{parts, up};
use super::place::{Place, farewell};
use super::plan::{mounts, place_on};
use super::{halted, moving};
use crate::node::Node;
use crate::operation::Context;
use crate::remote;

/// How long a service may take to become ready that brought its data along.
const READY_LIMIT: Duration = Duration::from_secs(300);
const READY_PAUSE: Duration = Duration::from_millis(300);

/// Starts what moves where it goes, and waits until it is ready if it brought its data; then what
/// runs here. The nodes that it leaves follow in [`settle`].
pub(crate) async fn start(context: &mut Context, isolated: Isolated) -> Result<(), Problem> {
    let moving = moving(context)?;
    let to = &moving.to;
    let first = context.deliveries.remove(to).map(|delivery| (to.clone(), delivery));
    parts::bring_up(
        context.node.clone(),
        context.operation.clone(),
        context.environment.clone(),
        first.into_iter().collect(),
        up::with_values(context),
    )
    .await?;
    let moved: Vec<ServiceName> = moving.services().map(|(name, _)| name.clone()).collect();
    if !to.is_local() && moving.with_volumes {
        ready(context, to, &moved).await?;
    }
    up::start_here(context, isolated).await?;
    crate::world::look_at(&context.node, &context.environment.id).await;
    if to.is_local() && moving.with_volumes {
        ready(context, to, &moved).await?;
    }
    Ok(())
}

/// Gives the services back to where they were: nothing that stands in for them, or waits for them,
/// may start before.
pub(crate) async fn unstart(context: &mut Context) -> Result<(), Problem> {
    let moving = moving(context)?;
    parts::place_back(context).await?;
    super::revive(context).await?;
    let to = &moving.to;
    if to.is_local() || !context.request.environment.parts.contains_key(to) {
        return Ok(());
    }
    let again = match parts::deliver_again(context, to).await {
        Ok(Some(delivery)) => {
            let (node, operation) = (context.node.clone(), context.operation.clone());
            let environment = context.environment.clone();
            let asked = up::with_values(context);
            let deliveries = std::iter::once((to.clone(), delivery)).collect();
            parts::bring_up(node, operation, environment, deliveries, asked).await
        }
        // A part that ran nothing is stopped.
        Ok(None) => match context.environment.parts.get(to) {
            Some(id) => parts::stop_one(&context.node, to, id).await,
            None => Ok(()),
        },
        Err(problem) => Err(problem),
    };
    if let Err(problem) = again {
        context.operation.note(format!("{problem}; `dwell up` puts it right there"));
    }
    Ok(())
}

async fn ready(
    context: &Context,
    there: &NodeName,
    services: &[ServiceName],
) -> Result<(), Problem> {
    let (node, environment) = (&context.node, &context.environment);
    let Some(place) = place_on(environment, there) else { return Ok(()) };
    for service in services {
        let since = Instant::now();
        while !is_ready(node, environment, &place, service).await {
            let label = environment.label();
            let not_ready = |code, why: &str| {
                Problem::new(code, format!("`{service}` of `{label}` {why} on `{there}`"))
                    .hint("it runs where it was, with its data; see `dwell logs` there")
            };
            if let Some(state) = broken(node, environment, &place, service) {
                return Err(not_ready(Code::NotRunning, &format!("is {state}")));
            }
            if since.elapsed() > READY_LIMIT {
                return Err(not_ready(Code::Timeout, "does not become ready"));
            }
            tokio::time::sleep(READY_PAUSE).await;
        }
    }
    Ok(())
}

async fn is_ready(
    node: &std::sync::Arc<Node>,
    environment: &Environment,
    place: &Place,
    service: &ServiceName,
) -> bool {
    let completed = completes(node, environment, service);
    if place.node.is_local() {
        return remote::is_ready_here(node, &place.id, service, completed).await;
    }
    let (environment, service) = (place.id.clone(), service.clone());
    let target = Target::Ready { environment, service, completed };
    node.remotes.is_ready(&place.node, &target).await
}

fn completes(node: &Node, environment: &Environment, service: &ServiceName) -> bool {
    let facts = node.facts.get(&environment.id);
    facts.is_some_and(|facts| facts.services.get(service).is_some_and(|s| s.completes))
}

/// The state of a service that will not become ready by itself.
fn broken(
    node: &Node,
    environment: &Environment,
    place: &Place,
    service: &ServiceName,
) -> Option<String> {
    use dwell_core::observed::{Health, State};
    if place.node.is_local() {
        let containers = node.world.containers(&environment.id);
        let own = containers.into_iter().filter(|c| c.service.as_ref() == Some(service));
        return own.into_iter().find_map(|container| match (container.state, container.health) {
            (State::Exited(_), _) => Some(container.state.text()),
            (_, Some(Health::Unhealthy)) => Some("unhealthy".to_owned()),
            _ => None,
        });
    }
    let (seen, _) = node.remotes.last(&place.node, &place.id);
    let seen = seen?.services.into_iter().find(|seen| seen.name == *service)?;
    let unhealthy = seen.health.as_deref() == Some("unhealthy");
    match seen.health {
        Some(health) if unhealthy => Some(health),
        _ => Some(seen.state).filter(|state| state.starts_with("exited")),
    }
}

/// Tells the nodes that services left, and removes the volumes whose data went along. What cannot
/// be done now does not bring the old back.
pub(crate) async fn settle(context: &mut Context) -> Result<(), Problem> {
    let moving = moving(context)?;
    let node = context.node.clone();
    halted::forget(&node, &context.operation.id).await?;
    let mut deliveries = std::mem::take(&mut context.deliveries);
    for from in moving.left() {
        // A daemon that started in between has nothing left to send.
        if !from.is_local() && !deliveries.contains_key(from) {
            match parts::deliver_again(context, from).await {
                Ok(delivery) => deliveries.extend(delivery.map(|it| (from.clone(), it))),
                Err(problem) => context.operation.note(format!("{problem}; `dwell up` repeats it")),
            }
        }
    }
    let asked = up::with_values(context);
    let (operation, environment) = (context.operation.clone(), context.environment.clone());
    let told = parts::bring_up(node.clone(), operation, environment, deliveries, asked).await;
    if let Err(problem) = told {
        context.operation.note(format!("{problem}; `dwell up` repeats it"));
    }
    if !moving.with_volumes {
        return Ok(());
    }
    remove_left(context, &moving).await
}

/// Removes the volumes whose data went along.
async fn remove_left(context: &Context, moving: &Moving) -> Result<(), Problem> {
    let (node, environment) = (&context.node, &context.environment);
    let needed = environment.placement.as_ref().map(|p| p.others()).unwrap_or_default();
    for from in moving.left() {
        // What runs nothing any more still holds them.
        if let Some(id) = environment.parts.get(from).filter(|_| !needed.contains(from))
            && let Err(problem) = parts::stop_one(node, from, id).await
        {
            context.operation.note(problem.to_string());
        }
    }
    let mounts = mounts(node, environment)?;
    let Some(to) = place_on(environment, &moving.to) else { return Ok(()) };
    let arrived: BTreeSet<VolumeName> = match to.volumes(node).await {
        Ok(volumes) => volumes.into_iter().map(|volume| volume.name).collect(),
        Err(problem) => {
            context.operation.note(format!("{problem}; the volumes stay where they were"));
            return Ok(());
        }
    };
    for (service, from) in moving.services() {
        let Some(from) = place_on(environment, from) else { continue };
        let own = mounts.get(service).cloned().unwrap_or_default();
        for volume in own.intersection(&arrived) {
            if let Err(problem) = from.remove(node, volume).await {
                context
                    .operation
                    .note(format!("volume `{volume}` stays on `{}`: {problem}", from.node));
            }
        }
    }
    Ok(())
}

/// Destroys the parts on nodes that run nothing of the environment any more. One that still has
/// data in volumes is only stopped: a service that comes back finds it.
pub(crate) async fn drop_parts(context: &mut Context) -> Result<(), Problem> {
    let environment = &context.environment;
    if environment.origin.is_some() {
        return Ok(());
    }
    let needed = environment.placement.as_ref().map(|p| p.others()).unwrap_or_default();
    let gone: Vec<(NodeName, EnvironmentId)> = environment
        .parts
        .iter()
        .filter(|(there, _)| !needed.contains(there))
        .map(|(there, id)| (there.clone(), id.clone()))
        .collect();
    let node = context.node.clone();
    for (there, id) in gone {
        let place = Place::new(&there, &id);
        match place.volumes(&node).await {
            Ok(volumes) if volumes.is_empty() => {
                farewell(&node, &context.operation, &there, &id).await?;
                context.environment.parts.remove(&there);
            }
            Ok(volumes) => {
                let names: Vec<&str> = volumes.iter().map(|v| v.name.as_str()).collect();
                let names = names.join(", ");
                context.operation.note(format!(
                    "the data in volume {names} stays on `{there}` until the environment is \
                     destroyed"
                ));
                if node.remotes.runs(&there, &id)
                    && let Err(problem) = parts::stop_one(&node, &there, &id).await
                {
                    context.operation.note(format!("{problem}; it is stopped with the next `up`"));
                }
            }
            Err(problem) if problem.code == Code::NotFound => {
                context.environment.parts.remove(&there);
            }
            Err(problem) => {
                context.operation.note(format!("{problem}; what is left there is removed later"));
            }
        }
    }
    super::super::create::keep_record(context).await
}
