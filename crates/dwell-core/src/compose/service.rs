//! What the rest of dwell needs to know about a service, without reading compose again.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::IsolationError;
use super::hostname::{Hostname, HostnameError};
use super::model::{Model, Namespace, Networking, Object, is_true, label, labels, replicas, text};
use super::note::{NoteKind, Notes};
use super::port::{Port, Protocol, ports};
use super::scope::Role;
use crate::name::{NodeName, ServiceName};

/// The service names that are taken for the ingress where nothing else says which it is.
const INGRESS_NAMES: [&str; 4] = ["nginx", "web", "app", "frontend"];

/// One service of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, as compose has it.
    pub name: ServiceName,
    /// Its name as a DNS label, unique within the environment.
    pub label: String,
    /// Whether it runs here or a relay stands in for it.
    pub role: Role,
    /// How many containers it has; 1 for a relay.
    pub replicas: u32,
    /// The container ports that the project names, published ones first.
    pub ports: Vec<Port>,
    /// The port that speaks HTTP, if one is named or likely: the label `dwell.port`, else the
    /// first TCP port that is not known for another protocol.
    pub http_port: Option<u16>,
    /// Whether the environment's apex name is its name.
    pub ingress: bool,
    /// Its custom names.
    pub hostnames: Vec<Hostname>,
    /// Whether its labels ask for one instance for all environments.
    pub share: bool,
    /// The node on which its labels place it.
    #[serde(default)]
    pub place: Option<NodeName>,
    /// Whether its labels let services on other nodes reach it while it runs on this one.
    #[serde(default)]
    pub reverse: bool,
    /// The keys of the networks in which it has an address.
    pub networks: Vec<String>,
    /// The service in whose network namespace it lives.
    pub netns_of: Option<ServiceName>,
    /// Whether it uses the host's network, by its label `dwell.network`.
    pub host_network: bool,
    /// What has to be there before it, by name.
    pub depends_on: BTreeMap<ServiceName, Dependency>,
    /// Whether a healthcheck says when it is ready.
    pub has_healthcheck: bool,
    /// Whether it is a one-shot job: another service waits for it to end, or its label `dwell.job`
    /// says so.
    pub completes: bool,
}

/// One service's dependency on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What is waited for.
    pub condition: Condition,
    /// Whether the project cannot start without it.
    pub required: bool,
}

/// The state that a dependent waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// It has been started.
    Started,
    /// Its healthcheck has passed.
    Healthy,
    /// It has ended with exit code 0.
    Completed,
}

impl Condition {
    /// The condition as compose spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "service_started",
            Self::Healthy => "service_healthy",
            Self::Completed => "service_completed_successfully",
        }
    }
}

/// The services that a service depends on, from the long or the short form.
pub(super) fn dependencies(service: &Object) -> Vec<(String, Dependency)> {
    let started = Dependency { condition: Condition::Started, required: true };
    match service.get("depends_on") {
        Some(Value::Object(map)) => map
            .iter()
            .map(|(name, long)| {
                let condition = match long.get("condition").and_then(Value::as_str) {
                    Some("service_healthy") => Condition::Healthy,
                    Some("service_completed_successfully") => Condition::Completed,
                    _ => Condition::Started,
                };
                let required = long.get("required").and_then(Value::as_bool).unwrap_or(true);
                (name.clone(), Dependency { condition, required })
            })
            .collect(),
        short => super::model::texts(short).into_iter().map(|name| (name, started)).collect(),
    }
}

/// A DNS label for every service of a project, each another: a service whose name is a label
/// already keeps it, and of others that give the same one the later get `-2`, `-3`.
pub(super) fn unique_labels(model: &Model<'_>, notes: &mut Notes) -> BTreeMap<ServiceName, String> {
    let names: BTreeSet<&ServiceName> = model.services().map(|(name, _)| name).collect();
    let (exact, others): (Vec<&ServiceName>, Vec<_>) =
        names.into_iter().partition(|name| name.as_str() == name.label());
    let mut used: BTreeSet<String> = exact.iter().map(|name| name.label()).collect();
    let mut found: BTreeMap<_, _> =
        exact.into_iter().map(|name| (name.clone(), name.label())).collect();
    for name in others {
        let mut label = name.label();
        let mut count = 2;
        while !used.insert(label.clone()) {
            label = format!("{:.60}-{count}", name.label());
            count += 1;
        }
        if label != name.label() {
            let text =
                format!("another service is called `{}`, so its name is `{label}`", name.label());
            notes.service(NoteKind::Choice, name, text);
        }
        found.insert(name.clone(), label);
    }
    found
}

/// Whether something says that the service is ready; a relay's is decided by its specification.
fn has_healthcheck(service: &Object) -> bool {
    let Some(check) = service.get("healthcheck").and_then(Value::as_object) else { return false };
    let disabled = check.get("disable").and_then(Value::as_bool).unwrap_or(false);
    let none = super::model::texts(check.get("test")).first().is_some_and(|test| test == "NONE");
    !disabled && !none
}

/// Ports whose registered or customary use is not HTTP: mail, SSH, DNS, databases, queues.
const OTHER_PROTOCOLS: &[u16] = &[
    21, 22, 23, 25, 53, 110, 143, 389, 465, 587, 636, 993, 995, 1025, 1433, 1521, 1883, 2049, 2181,
    3306, 4222, 5432, 5672, 6379, 6380, 8883, 9042, 9092, 9094, 11211, 26257, 27017, 33060, 50051,
];

fn http_port(
    name: &ServiceName,
    service: &Object,
    ports: &[Port],
) -> Result<Option<u16>, IsolationError> {
    let Some(value) = label(service, "port") else {
        let likely = |port: &&Port| {
            port.protocol == Protocol::Tcp && !OTHER_PROTOCOLS.contains(&port.number)
        };
        return Ok(ports.iter().find(likely).map(|port| port.number));
    };
    match value.trim().parse::<u16>() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(IsolationError::Label {
            service: name.clone(),
            label: "dwell.port".to_owned(),
            value: value.escape_default().to_string(),
            why: "it is not a port number",
        }),
    }
}

fn hostnames(name: &ServiceName, service: &Object) -> Result<Vec<Hostname>, IsolationError> {
    let value = label(service, "hostnames").unwrap_or_default();
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            part.parse().map_err(|_| IsolationError::Label {
                service: name.clone(),
                label: "dwell.hostnames".to_owned(),
                value: part.escape_default().to_string(),
                why: HostnameError::WHY,
            })
        })
        .collect()
}

/// The node that the label `dwell.place`, or else Cilo's `cilo.remote`, names.
fn place(name: &ServiceName, service: &Object) -> Result<Option<NodeName>, IsolationError> {
    let labels = labels(service);
    let label = ["dwell.place", "cilo.remote"].into_iter().find(|key| labels.contains_key(*key));
    let Some((label, value)) = label.and_then(|key| Some((key, labels.get(key)?))) else {
        return Ok(None);
    };
    if value.trim().is_empty() {
        return Ok(None);
    }
    value.trim().parse().map(Some).map_err(|_| IsolationError::Label {
        service: name.clone(),
        label: label.to_owned(),
        value: value.escape_default().to_string(),
        why: "it is not the name of a node: letters, digits and `-`",
    })
}

/// The facts of one service; what concerns several is filled in by [`settle`].
fn read(
    model: &Model<'_>,
    name: &ServiceName,
    service: &Object,
    labels: &BTreeMap<ServiceName, String>,
) -> Result<Service, IsolationError> {
    let networking = model.networking(service);
    let ports = ports(service);
    let depends_on = dependencies(service)
        .into_iter()
        .map(|(other, dependency)| Ok((other.parse()?, dependency)))
        .collect::<Result<_, IsolationError>>()?;
    let netns_of = match &networking {
        Networking::OfService(owner) => Some(owner.parse()?),
        _ => None,
    };
    Ok(Service {
        name: name.clone(),
        label: labels.get(name).cloned().unwrap_or_else(|| name.label()),
        role: Role::Service,
        replicas: replicas(service),
        http_port: http_port(name, service, &ports)?,
        ports,
        ingress: false,
        hostnames: hostnames(name, service)?,
        share: label(service, "share").is_some_and(|value| is_true(&value)),
        place: place(name, service)?,
        reverse: label(service, "reverse").is_some_and(|value| is_true(&value)),
        networks: networking.keys(),
        netns_of,
        host_network: networking == Networking::Host,
        depends_on,
        has_healthcheck: has_healthcheck(service),
        completes: label(service, "job").is_some_and(|value| is_true(&value)),
    })
}

/// The facts of all services, as the project alone gives them.
pub(super) fn services(
    model: &Model<'_>,
    labels: &BTreeMap<ServiceName, String>,
) -> Result<BTreeMap<ServiceName, Service>, IsolationError> {
    let mut found = BTreeMap::new();
    for (name, service) in model.services() {
        found.insert(name.clone(), read(model, name, service, labels)?);
    }
    let awaited: BTreeSet<ServiceName> = found
        .values()
        .flat_map(|service| &service.depends_on)
        .filter(|(_, dependency)| dependency.condition == Condition::Completed)
        .map(|(name, _)| name.clone())
        .collect();
    for service in found.values_mut() {
        service.completes |= awaited.contains(&service.name);
    }
    Ok(found)
}

/// Chooses the ingress service: the one labelled so, else the configured one, else by name
/// (`nginx`, `web`, `app`, `frontend`), else the only one that has custom names.
pub(super) fn choose_ingress(
    model: &Model<'_>,
    services: &BTreeMap<ServiceName, Service>,
    configured: Option<&ServiceName>,
    notes: &mut Notes,
) -> Option<ServiceName> {
    let said = |name: &ServiceName| label(model.service(name)?, "ingress").map(|v| is_true(&v));
    let labelled: Vec<_> = services.keys().filter(|name| said(name) == Some(true)).collect();
    if let Some(first) = labelled.first() {
        if labelled.len() > 1 {
            let text = "several services are labelled as ingress; the first by name is taken";
            notes.service(NoteKind::Choice, first, text);
        }
        return Some((*first).clone());
    }
    if let Some(configured) = configured {
        if services.contains_key(configured) {
            return Some(configured.clone());
        }
        let text = "it is configured as ingress, but is not among the active services";
        notes.service(NoteKind::Choice, configured, text);
    }
    let allowed = |name: &&ServiceName| said(name) != Some(false);
    let named = INGRESS_NAMES.iter().find_map(|conventional| {
        services.keys().filter(allowed).find(|name| name.as_str() == *conventional)
    });
    let mut with_names =
        services.values().filter(|s| !s.hostnames.is_empty()).map(|s| &s.name).filter(allowed);
    let only = with_names.next().filter(|_| with_names.next().is_none());
    named.or(only).cloned()
}

/// Marks the ingress, gives it the configured names, and drops names that two services want.
pub(super) fn settle(
    services: &mut BTreeMap<ServiceName, Service>,
    ingress: Option<&ServiceName>,
    configured: &[Hostname],
    notes: &mut Notes,
) {
    if let Some(service) = ingress.and_then(|name| services.get_mut(name)) {
        service.ingress = true;
        let missing = configured.iter().filter(|name| !service.hostnames.contains(name));
        let missing: Vec<_> = missing.cloned().collect();
        service.hostnames.extend(missing);
    }
    let mut taken: BTreeMap<String, ServiceName> =
        services.values().map(|s| (s.label.clone(), s.name.clone())).collect();
    for service in services.values_mut() {
        let own = service.name.clone();
        service.hostnames.retain(|hostname| {
            let owner = taken.entry(hostname.to_string()).or_insert_with(|| own.clone());
            if *owner != own {
                let text =
                    format!("its custom name `{hostname}` is dropped; it belongs to `{owner}`");
                notes.service(NoteKind::Choice, &own, text);
            }
            *owner == own
        });
        let mut seen = BTreeSet::new();
        let label = service.label.clone();
        service
            .hostnames
            .retain(|hostname| hostname.as_str() != label && seen.insert(hostname.clone()));
    }
}

/// The services in groups to be stopped one after the other, dependents before what they depend
/// on; those of a group at once. Starting goes through the groups backwards.
pub fn levels(services: &BTreeMap<ServiceName, Service>) -> Vec<Vec<ServiceName>> {
    let mut left: BTreeMap<&ServiceName, BTreeSet<&ServiceName>> = services
        .values()
        .map(|service| {
            let needs = service.depends_on.keys().chain(&service.netns_of);
            (&service.name, needs.filter(|name| services.contains_key(name)).collect())
        })
        .collect();
    let mut levels = Vec::new();
    while !left.is_empty() {
        let needed: BTreeSet<_> = left.values().flatten().copied().collect();
        let mut free: Vec<_> = left.keys().copied().filter(|name| !needed.contains(name)).collect();
        if free.is_empty() {
            free = left.keys().copied().collect();
        }
        left.retain(|name, _| !free.contains(name));
        levels.push(free.into_iter().cloned().collect());
    }
    levels
}

/// The service that a `pid` or `ipc` value refers to.
pub(super) fn namespace_owner(model: &Model<'_>, service: &Object, key: &str) -> Option<String> {
    let mode = service.get(key).and_then(text)?;
    match Namespace::parse(&mode) {
        Namespace::Service(name) => Some(name.to_owned()),
        Namespace::Container(name) => {
            model.service_of_container(name).map(|name| name.as_str().to_owned())
        }
        _ => None,
    }
}
