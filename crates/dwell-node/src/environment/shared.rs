//! Shared instances: one container set of a project's service for several environments, counted
//! by user, kept a grace period after the last, its volumes kept for ever after.

use std::collections::BTreeMap;

use dwell_api::{Code, Event, Problem};
use dwell_core::compose::{
    Port, Protocol, SHARED_NEED, Service, SharedDefinition, Sharing, shared_definition,
    shared_project_name,
};
use dwell_core::environment::Environment;
use dwell_core::observed::{Condition, condition, label};
use dwell_core::{ServiceName, SharedId};
use dwell_drivers::compose::{Stack, UpOptions};
use dwell_store::SharedRecord;
use futures_util::future::join_all;

use super::{networks_gone, subnet};
use crate::facts::{make_directory, write};
use crate::node::{Node, random};
use crate::operation::Context;
use crate::problem::OrProblem;
use crate::relay;

mod place;

/// Whether a service is to be the project's shared instance: asked for by flag or label, not
/// asked to be private, and to run here.
pub(super) fn is_shared(environment: &Environment, service: &Service) -> bool {
    let options = &environment.options;
    environment.elsewhere(&service.name).is_none()
        && !options.isolate.contains(&service.name)
        && (service.share || options.shared.contains(&service.name))
}

/// Starts the shared instances that the environment needs, counts it as their user, and plans a
/// relay for each.
pub(super) async fn start(context: &mut Context) -> Result<(), Problem> {
    let Some(reading) = &context.reading else { return Ok(()) };
    let options = &context.environment.options;
    let unknown = options.shared.iter().find(|name| !reading.services.contains_key(*name));
    if let Some(name) = unknown {
        return Err(Problem::new(
            Code::InvalidArgument,
            format!("there is no service `{name}` to share"),
        )
        .hint("`dwell status` lists the services"));
    }
    let wanted: Vec<ServiceName> = reading
        .services
        .values()
        .filter(|s| is_shared(&context.environment, s))
        .map(|s| s.name.clone())
        .collect();
    let node = context.node.clone();
    let _one_at_a_time = node.sharing.lock().await;
    let mut instances = BTreeMap::new();
    for name in &wanted {
        instances.insert(name.clone(), instance(&node, context, name).await?);
    }
    let peers: BTreeMap<ServiceName, SharedId> =
        instances.iter().map(|(name, record)| (name.clone(), record.id.clone())).collect();
    let mut waiting: Vec<ServiceName> = wanted;
    let mut started: BTreeMap<ServiceName, Instance> = BTreeMap::new();
    while !waiting.is_empty() {
        let mut left = Vec::new();
        let before = waiting.len();
        for name in waiting {
            let Some(record) = instances.get(&name) else { continue };
            let definition = definition(&node, context, &name, record, &peers).await?;
            if definition.requires.keys().all(|needed| started.contains_key(needed)) {
                let (network, host) = (definition.network.clone(), definition.host.clone());
                let ports = bring_up(&node, context, record.clone(), definition).await?;
                started.insert(name, Instance { network, host, ports });
            } else {
                left.push(name);
            }
        }
        if left.len() == before {
            let names = left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(Problem::new(
                Code::InvalidCompose,
                format!("shared services wait for each other: {names}"),
            ));
        }
        waiting = left;
    }
    let kept: Vec<SharedId> = instances.values().map(|record| record.id.clone()).collect();
    node.store.release_shared(&context.environment.id, &kept, node.now()).await.or_problem()?;
    plan_relays(&node, context, &started).await
}

/// Where relays find a shared instance.
struct Instance {
    network: String,
    host: String,
    ports: Vec<Port>,
}

async fn plan_relays(
    node: &Node,
    context: &mut Context,
    instances: &BTreeMap<ServiceName, Instance>,
) -> Result<(), Problem> {
    let Some(reading) = &mut context.reading else { return Ok(()) };
    if instances.is_empty() {
        return Ok(());
    }
    let image = node.relay.tag(node).await?;
    for (name, instance) in instances {
        let Some(service) = reading.services.get(name) else { continue };
        let mut facts = service.clone();
        facts.ports.clone_from(&instance.ports);
        let networks = vec![instance.network.clone()];
        let spec = relay::spec(&image, &facts, &instance.host, networks)?;
        reading.relays.insert(name.clone(), spec);
    }
    Ok(())
}

/// The record of a service's shared instance; a new one where there is none.
async fn instance(
    node: &Node,
    context: &Context,
    service: &ServiceName,
) -> Result<SharedRecord, Problem> {
    let project = &context.environment.project;
    if let Some(record) = node.store.shared_of(project, service).await.or_problem()? {
        return Ok(record);
    }
    let record = SharedRecord {
        id: SharedId::from_random(random()?),
        project: project.clone(),
        service: service.clone(),
        hash: String::new(),
        definition: serde_json::Value::Null,
        idle_since: Some(node.now()),
    };
    node.store.put_shared(&record).await.or_problem()?;
    Ok(record)
}

async fn definition(
    node: &Node,
    context: &Context,
    service: &ServiceName,
    record: &SharedRecord,
    all: &BTreeMap<ServiceName, SharedId>,
) -> Result<SharedDefinition, Problem> {
    let Some(reading) = &context.reading else {
        return Err(Problem::new(Code::Internal, "the compose project was not read"));
    };
    let wanted = [("default".to_owned(), SHARED_NEED)];
    let subnets = subnet::subnets(node, record.id.as_str(), &wanted).await?;
    let Some(subnet) = subnets.get("default") else {
        return Err(Problem::new(Code::Internal, "a shared network has no subnet"));
    };
    let mut peers = all.clone();
    peers.remove(service);
    shared_definition(&Sharing {
        model: &reading.model,
        service,
        node: &node.id,
        id: &record.id,
        project: &context.environment.project,
        directory: context.environment.tree.as_ref().map_or(&context.environment.root, |t| &t.root),
        subnet: *subnet,
        peers: &peers,
    })
    .or_problem()
}

/// Counts the environment as a user and makes sure that the instance runs. Gives its ports.
async fn bring_up(
    node: &Node,
    context: &Context,
    mut record: SharedRecord,
    definition: SharedDefinition,
) -> Result<Vec<Port>, Problem> {
    let users = node.store.shared_users(&record.id).await.or_problem()?;
    let others = users.iter().filter(|user| **user != context.environment.id).count();
    let drifted = !record.hash.is_empty() && record.hash != definition.hash;
    let runs = runs(node, &record.id).await?;
    // Nobody holds to the old one; its subnet may be another's by now.
    let replace = record.definition.is_null() || (others == 0 && (drifted || !runs));
    if drifted && others > 0 {
        context.operation.note(format!(
            "shared service `{}` is defined differently here than in the {others} environment(s) that use it; theirs goes on running",
            record.service
        ));
    }
    if replace {
        record.hash = definition.hash.clone();
        record.definition = definition.compose.clone();
        if let Some(tree) = &context.environment.tree {
            for path in place::at_source(&mut record.definition, tree) {
                let service = &record.service;
                context
                    .operation
                    .note(format!("shared service `{service}` uses {path} of the source"));
            }
        }
        node.store.put_shared(&record).await.or_problem()?;
    }
    node.store.use_shared(&record.id, &context.environment.id).await.or_problem()?;
    if replace || !runs {
        compose_up(node, context, &record).await?;
    }
    if definition.ports.is_empty() {
        return exposed(node, &record.id).await;
    }
    Ok(definition.ports)
}

async fn runs(node: &Node, id: &SharedId) -> Result<bool, Problem> {
    let labelled = format!("{}={id}", label::SHARED);
    let found = node.engine.containers(&labelled).await.or_problem()?;
    let all: Vec<_> = found.iter().collect();
    Ok(!all.is_empty() && condition(&all, 1) == Condition::Well)
}

/// The ports that the instance's image says.
async fn exposed(node: &Node, id: &SharedId) -> Result<Vec<Port>, Problem> {
    let labelled = format!("{}={id}", label::SHARED);
    let found = node.engine.containers(&labelled).await.or_problem()?;
    let Some(container) = found.first() else { return Ok(Vec::new()) };
    let texts = node.engine.exposed_ports(&container.id).await.or_problem()?;
    Ok(texts
        .iter()
        .filter_map(|text| Port::read(text))
        .filter(|port| port.protocol != Protocol::Sctp)
        .collect())
}

async fn compose_up(node: &Node, context: &Context, record: &SharedRecord) -> Result<(), Problem> {
    context.operation.note(format!("starting shared service `{}`", record.service));
    let directory = node.paths.state.join("shared").join(record.id.as_str());
    make_directory(&directory)?;
    let stack = Stack {
        name: shared_project_name(&record.service, &record.id),
        file: directory.join(super::up::COMPOSE_FILE),
        directory,
    };
    let text = serde_json::to_vec(&record.definition).map_err(|e| {
        Problem::new(Code::Internal, format!("a definition cannot be written: {e}"))
    })?;
    write(&stack.file, &text)?;
    let options = UpOptions { wait: !is_job(context, &record.service), ..UpOptions::default() };
    let operation = context.operation.clone();
    let line = move |line| operation.tell(Event::Output { line });
    let result = super::up::bring_up(node, &stack, options, line).await;
    let labelled = format!("{}={}", label::SHARED, record.id);
    super::up::told_with_last_words(node, &labelled, result).await
}

/// `--wait` fails on services that end, however well.
fn is_job(context: &Context, service: &ServiceName) -> bool {
    let services = context.reading.as_ref().map(|reading| &reading.services);
    services.and_then(|all| all.get(service)).is_some_and(|service| service.completes)
}

/// Ends the environment's use of all shared instances but those kept.
pub(super) async fn release(context: &mut Context, keep: &[SharedId]) -> Result<(), Problem> {
    let node = &context.node;
    node.store.release_shared(&context.environment.id, keep, node.now()).await.or_problem()?;
    node.reconcile.notify_one();
    Ok(())
}

/// Makes the environment a user of the shared instances that it used before, and of no others.
pub(super) async fn undo(context: &mut Context) -> Result<(), Problem> {
    let before = context.request.before.shared.clone();
    for id in &before {
        context.node.store.use_shared(id, &context.environment.id).await.or_problem()?;
    }
    release(context, &before).await
}

/// Ends shared instances that nobody has used for the grace period. Their volumes and their
/// identity stay, so the next user finds its data. Gives the seconds until the next is due.
pub(crate) async fn end_idle(node: &Node) -> Result<Option<u64>, Problem> {
    let _one_at_a_time = node.sharing.lock().await;
    let grace = i64::from(node.config.shared.grace_seconds);
    let mut next = None;
    for record in node.store.shared().await.or_problem()? {
        let Some(since) = record.idle_since else { continue };
        let labelled = format!("{}={}", label::SHARED, record.id);
        let found = node.engine.containers(&labelled).await.or_problem()?;
        let subnets = node.store.subnets_of(record.id.as_str()).await.or_problem()?;
        // A start that was cut off may leave a network that nobody asked for any more.
        let networks = node.engine.networks(Some(&labelled)).await.or_problem()?;
        if found.is_empty() && subnets.is_empty() && networks.is_empty() {
            continue;
        }
        let left = since + grace * 1_000_000 - node.now();
        if left > 0 {
            let seconds = u64::try_from(left / 1_000_000 + 1).unwrap_or(1);
            next = Some(next.map_or(seconds, |soonest: u64| soonest.min(seconds)));
            continue;
        }
        tracing::info!(service = %record.service, project = %record.project, "ending an idle shared service");
        let ends = found.iter().map(|container| async {
            node.engine.stop(&container.id).await?;
            node.engine.remove(&container.id).await
        });
        for result in join_all(ends).await {
            result.or_problem()?;
        }
        networks_gone(node, &labelled).await?;
        node.store.release_subnets(record.id.as_str()).await.or_problem()?;
    }
    Ok(next)
}

/// Starts shared instances again that have users and do not run, after the engine came back.
pub(crate) async fn start_again(node: &Node) -> Result<(), Problem> {
    let _one_at_a_time = node.sharing.lock().await;
    for record in node.store.shared().await.or_problem()? {
        let used = record.idle_since.is_none() && !record.definition.is_null();
        if !used || runs(node, &record.id).await? {
            continue;
        }
        let directory = node.paths.state.join("shared").join(record.id.as_str());
        let stack = Stack {
            name: shared_project_name(&record.service, &record.id),
            file: directory.join(super::up::COMPOSE_FILE),
            directory,
        };
        if stack.file.is_file() {
            super::up::bring_up(node, &stack, UpOptions::default(), |_| {}).await.or_problem()?;
        }
    }
    Ok(())
}
