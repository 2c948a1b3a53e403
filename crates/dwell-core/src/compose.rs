//! A compose project made an environment: one pure function from the canonical model, which
//! `docker compose config --format json` prints, to the model that is given to
//! `docker compose -p <project> -f <file>`. The user's files are never changed, and what is not
//! about isolation is not touched.
//!
//! The result has absolute paths only. Values that compose reads when it starts containers
//! (secrets and configs from the environment) need the project's own directory, so `up` is to be
//! run with `--project-directory` set to it.

mod anchor;
mod bond;
mod demand;
mod error;
mod hostname;
mod image;
mod inputs;
mod model;
mod networks;
mod note;
mod part;
mod port;
mod relay;
mod rewrite;
mod scope;
mod service;
mod shared;
mod specification;
mod storage;
mod travel;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

pub use anchor::{AnchorError, anchor, unanchor};
pub use bond::{Bond, bonds};
pub use demand::demand;
pub use error::IsolationError;
pub use hostname::{Hostname, HostnameError};
pub use inputs::{Inputs, inputs, variables};
pub use networks::{NetworkNeed, needs};
pub use note::{Note, NoteKind};
pub use part::{
    Away, DIAL_DIRECTORY, DONE_SOCKET, Division, HEALTH_SOCKET, Part, PartError, part, port_socket,
    silent_images,
};
pub use port::{Port, Protocol};
pub use relay::{Mount, RelaySpec};
pub use scope::{Role, project_name, shared_project_name};
pub use service::{Condition, Dependency, Service, levels};
pub use shared::{SHARED_NEED, SharedDefinition, Sharing, shared_definition};
pub use specification::Specification;
pub use storage::mounted;
pub use travel::{
    Journey, Luggage, Obstacle, Reason, Travel, TravelError, Why, file_variables, travel,
};

use crate::id::{EnvironmentId, Generation, NodeId};
use crate::name::{EnvironmentName, ProjectName, ServiceName, Suffix};
use crate::published::Place;
use image::Images;
use model::{Model, Object};
use networks::Networks;
use note::Notes;
use rewrite::Rewriter;
use scope::Scope;

/// A project, and the environment that it is to become.
#[derive(Debug, Clone, Copy)]
pub struct Isolation<'a> {
    /// What `docker compose config --format json` prints in the environment's source tree.
    pub model: &'a Value,
    /// The node on which it runs.
    pub node: &'a NodeId,
    /// The environment.
    pub id: &'a EnvironmentId,
    /// The Unix user that it belongs to, where several may share the engine.
    pub user: Option<&'a str>,
    /// Its name.
    pub name: &'a EnvironmentName,
    /// Its project.
    pub project: &'a ProjectName,
    /// The DNS suffix.
    pub suffix: &'a Suffix,
    /// The generation of its containers.
    pub generation: Generation,
    /// The absolute path of its source tree. Bind mounts inside are private.
    pub directory: &'a Path,
    /// A subnet for each network that [`needs`] names.
    pub subnets: &'a BTreeMap<String, Ipv4Net>,
    /// The services that run elsewhere, and what stands in for them.
    pub relays: &'a BTreeMap<ServiceName, RelaySpec>,
    /// The configured ingress service. A service's label wins over it.
    pub ingress: Option<&'a ServiceName>,
    /// The configured custom names of the ingress service.
    pub hostnames: &'a [Hostname],
}

/// An environment's model and what is to be known about it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Isolated {
    /// The self-contained compose model. Equal input gives equal bytes.
    pub compose: Value,
    /// The facts of every service.
    pub services: BTreeMap<ServiceName, Service>,
    /// What is shared, changed or chosen.
    pub notes: Vec<Note>,
}

/// The services of a project as it is, before anything is isolated: enough to choose what is
/// shared and what becomes a relay.
///
/// # Errors
/// When the model is not one, or a name or label in it cannot be used.
pub fn services(model: &Value) -> Result<BTreeMap<ServiceName, Service>, IsolationError> {
    let model = Model::parse(model)?;
    let mut notes = Notes::default();
    let labels = service::unique_labels(&model, &mut notes);
    let mut services = service::services(&model, &labels)?;
    let ingress = service::choose_ingress(&model, &services, None, &mut notes);
    service::settle(&mut services, ingress.as_ref(), &[], &mut notes);
    Ok(services)
}

/// Makes a project an environment.
///
/// # Errors
/// When the model is not one, when a name or label in it cannot be used, when a subnet is
/// missing or too small, or when a service needs what a relay cannot give.
pub fn isolate(isolation: &Isolation<'_>) -> Result<Isolated, IsolationError> {
    let Isolation { node, id, project, name, generation, relays, .. } = *isolation;
    let model = Model::parse(isolation.model)?;
    let mut notes = Notes::default();
    let scope = Scope::environment(node, id, project, name, generation, isolation.user);

    let labels = service::unique_labels(&model, &mut notes);
    let services = facts(isolation, &model, &labels, &mut notes)?;
    relay::check(&model, &services, relays)?;

    let mut networks = Networks::read(&model, |name| relays.contains_key(name));
    networks.place(isolation.subnets, &mut notes)?;
    let images = Images::plan(&model, &labels, &scope);
    let aliases = aliases(isolation, &model, &services);
    let rewriter = Rewriter {
        model: &model,
        scope: &scope,
        directory: isolation.directory,
        networks: &networks,
        images: &images,
        aliases: &aliases,
    };
    let mut bodies = Map::new();
    for (name, given) in model.services() {
        let body = match relays.get(name) {
            Some(spec) => rewriter.relay(name, given, relay_body(name, given, spec, &services)),
            None => rewriter.service(name, given, &mut notes),
        };
        bodies.insert(name.to_string(), Value::Object(body));
    }

    let volumes = storage::volumes(&model, &scope, |name| relays.contains_key(name), &mut notes);
    let mut compose = model.root().clone();
    compose.insert("name".to_owned(), json!(project_name(name, id, generation)));
    compose.insert("services".to_owned(), Value::Object(bodies));
    let mut section = networks.into_section(&scope, &mut notes);
    section.extend(outer_networks(relays));
    set_section(&mut compose, "networks", section);
    set_section(&mut compose, "volumes", volumes);
    for key in ["secrets", "configs"] {
        let files = storage::files(&model, key, &scope, &mut notes);
        set_section(&mut compose, key, files);
    }
    Ok(Isolated { compose: Value::Object(compose), services, notes: notes.into_vec() })
}

fn set_section(compose: &mut Object, key: &str, section: Object) {
    if section.is_empty() {
        compose.shift_remove(key);
    } else {
        compose.insert(key.to_owned(), Value::Object(section));
    }
}

/// The facts of the environment's services, relays among them.
fn facts(
    isolation: &Isolation<'_>,
    model: &Model<'_>,
    labels: &BTreeMap<ServiceName, String>,
    notes: &mut Notes,
) -> Result<BTreeMap<ServiceName, Service>, IsolationError> {
    let mut services = service::services(model, labels)?;
    let ingress = service::choose_ingress(model, &services, isolation.ingress, notes);
    service::settle(&mut services, ingress.as_ref(), isolation.hostnames, notes);
    for (name, spec) in isolation.relays {
        let Some(service) = services.get_mut(name) else { continue };
        if let Some(body) = model.service(name) {
            service.networks = model.networking(body).relay_keys();
        }
        service.role = Role::Relay;
        service.replicas = 1;
        service.netns_of = None;
        service.host_network = false;
        service.depends_on = BTreeMap::new();
        service.has_healthcheck = spec.healthcheck.is_some();
    }
    Ok(services)
}

fn relay_body(
    name: &ServiceName,
    given: &Object,
    spec: &RelaySpec,
    services: &BTreeMap<ServiceName, Service>,
) -> Object {
    let awaited = services.values().any(|service| {
        service.depends_on.get(name).is_some_and(|d| d.condition == Condition::Healthy)
    });
    let mut body = relay::body(spec, awaited, port::expose(given));
    let outer: Object =
        spec.networks.iter().map(|network| (relay::network_key(network), Value::Null)).collect();
    if !outer.is_empty() {
        body.insert("networks".to_owned(), Value::Object(outer));
    }
    body
}

/// The networks through which relays reach the far end.
fn outer_networks(relays: &BTreeMap<ServiceName, RelaySpec>) -> Object {
    let names: BTreeSet<_> = relays.values().flat_map(|spec| &spec.networks).collect();
    names
        .into_iter()
        .map(|name| (relay::network_key(name), json!({"name": name, "external": true})))
        .collect()
}

/// The names that every service's containers answer to in the environment's networks: the full
/// ones, the service's name as a DNS label, and the container name that it had. A service in
/// another one's network namespace is found there.
fn aliases(
    isolation: &Isolation<'_>,
    model: &Model<'_>,
    services: &BTreeMap<ServiceName, Service>,
) -> BTreeMap<ServiceName, Vec<String>> {
    let place =
        Place { environment: isolation.name, project: isolation.project, suffix: isolation.suffix };
    let mut found: BTreeMap<ServiceName, Vec<String>> = BTreeMap::new();
    for service in services.values() {
        let mut own = Vec::new();
        if service.label != service.name.as_str() {
            own.push(service.label.clone());
        }
        let container = model.service(&service.name).and_then(|body| body.get("container_name"));
        own.extend(container.and_then(model::text));
        let names = place.names(service, services).into_iter().filter(|name| !name.wildcard);
        own.extend(names.map(|name| name.name));
        let holder = crate::published::address_holder(service, services);
        found.entry(holder.clone()).or_default().extend(own);
    }
    found
}

#[cfg(test)]
mod tests;
