//! From records and what was seen to what people are shown. Status is observation: a record
//! alone never makes an environment look as if it ran.

use dwell_api::environment::{Environment as Shown, Service as ShownService, ServiceRole, Status};
use dwell_core::compose::{Role, Service};
use dwell_core::environment::Environment;
use dwell_core::observed::{Condition, Container, condition};
use dwell_core::operation::Kind;
use dwell_core::published::{Place, address_holder};

use crate::elsewhere::Elsewhere;
use crate::facts::Facts;
use crate::node::Node;
use crate::world::{self, EngineState};

/// One environment as it is shown.
pub(crate) fn environment(
    node: &Node,
    environment: &Environment,
    containers: &[Container],
    sessions: u32,
) -> Shown {
    let facts = node.facts.get(&environment.id);
    let engine = node.world.engine();
    let elsewhere = Elsewhere::of(node, environment);
    let services = facts
        .as_deref()
        .map(|facts| services(environment, facts, containers, &engine, &elsewhere))
        .unwrap_or_default();
    let url = services.iter().find(|s| s.ingress).and_then(|s| s.url.clone());
    let notes = elsewhere.notes().into_iter().chain(environment.notes.iter().cloned());
    let model_notes = facts.iter().flat_map(|f| f.notes.iter().map(ToString::to_string));
    Shown {
        id: environment.id.clone(),
        name: environment.name.clone(),
        project: environment.project.clone(),
        source: environment.source.clone(),
        tree: environment.root.clone(),
        directory: environment.directory().to_owned(),
        tree_kind: environment.tree.as_ref().map(|tree| tree.kind),
        branch: environment.branch().map(str::to_owned),
        suffix: environment.suffix.to_string(),
        generation: environment.generation,
        desired: environment.desired,
        status: status(node, environment, facts.as_deref(), containers, &engine, &elsewhere),
        services,
        subnets: facts.as_ref().map(|f| f.subnets.clone()).unwrap_or_default(),
        url,
        sessions,
        created: environment.created,
        node: None,
        seen: None,
        notes: notes.chain(model_notes).chain(node.ingress.note(environment)).collect(),
    }
}

fn of<'a>(service: &Service, containers: &'a [Container]) -> Vec<&'a Container> {
    containers.iter().filter(|c| c.service.as_ref() == Some(&service.name)).collect()
}

fn status(
    node: &Node,
    environment: &Environment,
    facts: Option<&Facts>,
    containers: &[Container],
    engine: &EngineState,
    elsewhere: &Elsewhere<'_>,
) -> Status {
    match node.operations.active(environment.id.as_str()) {
        Some(Kind::Up | Kind::CreateUp | Kind::MoveServices | Kind::MoveIn) => {
            return Status::Starting;
        }
        Some(Kind::Destroy) => return Status::Destroying,
        Some(Kind::Create | Kind::Down | Kind::MoveOut | Kind::MoveOn) | None => {}
    }
    // One without a compose file has no services to be seen.
    let Some(facts) = facts.filter(|facts| !facts.services.is_empty()) else {
        return Status::Created;
    };
    if *engine != EngineState::Up {
        return Status::Unknown;
    }
    let conditions: Vec<Condition> = facts
        .services
        .values()
        .map(|service| match elsewhere.is_well(&service.name) {
            None => condition(&of(service, containers), service.replicas),
            Some(true) => Condition::Well,
            Some(false) => Condition::Partly,
        })
        .collect();
    // Jobs that ended well do not make an environment run.
    if !containers.iter().any(Container::runs) {
        return Status::Stopped;
    }
    if conditions.iter().all(|c| *c == Condition::Well) {
        Status::Running
    } else {
        Status::Degraded
    }
}

/// Whether everything that should run does; for `wait` and for knowing that nothing is to do.
pub(crate) fn is_well(facts: &Facts, containers: &[Container], healthy: bool) -> bool {
    facts.services.values().all(|service| {
        let own = of(service, containers);
        let ready = !healthy
            || own.iter().filter(|c| c.runs()).all(|c| {
                c.health.is_none_or(|health| health == dwell_core::observed::Health::Healthy)
            });
        ready && condition(&own, service.replicas) == Condition::Well
    })
}

fn services(
    environment: &Environment,
    facts: &Facts,
    containers: &[Container],
    engine: &EngineState,
    elsewhere: &Elsewhere<'_>,
) -> Vec<ShownService> {
    let observed = world::addresses(containers);
    let place = Place {
        environment: &environment.name,
        project: &environment.project,
        suffix: &environment.suffix,
    };
    facts
        .services
        .values()
        .map(|service| {
            let own = of(service, containers);
            let running = own.iter().filter(|c| c.runs()).count();
            let holder = address_holder(service, &facts.services);
            let names: Vec<String> = if running == 0 {
                Vec::new()
            } else {
                place
                    .names(service, &facts.services)
                    .into_iter()
                    .filter(|name| !name.wildcard)
                    .map(|name| name.name)
                    .collect()
            };
            if let Some(shown) = elsewhere.service(service, &place, &facts.services) {
                return shown;
            }
            ShownService {
                name: service.name.clone(),
                role: if service.role == Role::Relay {
                    ServiceRole::Shared
                } else {
                    ServiceRole::Isolated
                },
                state: state(&own, engine),
                health: health(&own),
                replicas: (u32::try_from(running).unwrap_or(u32::MAX), service.replicas),
                addresses: observed
                    .get(holder)
                    .into_iter()
                    .flatten()
                    .map(ToString::to_string)
                    .collect(),
                ports: ports(service, &own),
                url: url(service, &names),
                names,
                ingress: service.ingress,
                node: None,
            }
        })
        .collect()
}

/// The URL of a service whose HTTP port is known: the apex for the ingress, where it has one.
pub(crate) fn url(service: &Service, names: &[String]) -> Option<String> {
    let port = service.http_port?;
    let name = if service.ingress { names.last().or(names.first()) } else { names.first() }?;
    Some(if port == 80 { format!("http://{name}") } else { format!("http://{name}:{port}") })
}

/// The ports that the project says, else those that the image does.
fn ports(service: &Service, own: &[&Container]) -> Vec<String> {
    let said = own.first().map(|container| container.ports.iter()).unwrap_or_default();
    let said = said.filter(|_| service.ports.is_empty());
    service.ports.iter().chain(said).map(ToString::to_string).collect()
}

fn state(own: &[&Container], engine: &EngineState) -> String {
    if *engine != EngineState::Up {
        return "unknown".to_owned();
    }
    // The most telling: something that does not run, when not all do.
    let worst = own.iter().find(|c| !c.runs()).or_else(|| own.first());
    worst.map_or_else(|| "missing".to_owned(), |container| container.state.text())
}

fn health(own: &[&Container]) -> Option<String> {
    use dwell_core::observed::Health;
    let known: Vec<Health> = own.iter().filter(|c| c.runs()).filter_map(|c| c.health).collect();
    let any = |health| known.contains(&health);
    let health = if any(Health::Unhealthy) {
        Health::Unhealthy
    } else if any(Health::Starting) {
        Health::Starting
    } else {
        known.first().copied()?
    };
    Some(health.text().to_owned())
}
