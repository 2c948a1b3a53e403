//! The services of an environment of this node that run on other nodes, as they are shown here.

use std::collections::BTreeMap;

use dwell_api::environment::{Environment as Shown, Service as ShownService, ServiceRole};
use dwell_core::compose::Service;
use dwell_core::environment::Environment;
use dwell_core::observed::{Health, State};
use dwell_core::published::Place;
use dwell_core::{EnvironmentId, NodeName, ServiceName};

use crate::node::Node;
use crate::view;

/// Where an environment's services run that do not run here.
pub(crate) struct Elsewhere<'a> {
    node: &'a Node,
    environment: &'a Environment,
    /// What the parts were last seen to be, and whether their nodes can be reached.
    parts: BTreeMap<&'a NodeName, (&'a EnvironmentId, Option<Shown>, bool)>,
}

impl<'a> Elsewhere<'a> {
    /// Looks at the parts as they were seen last.
    pub(crate) fn of(node: &'a Node, environment: &'a Environment) -> Self {
        let parts = environment.parts.iter().map(|(there, id)| {
            let (seen, reachable) = node.remotes.last(there, id);
            (there, (id, seen, reachable))
        });
        Self { node, environment, parts: parts.collect() }
    }

    /// Whether one of those services was last seen as it should be, on a node that can be reached;
    /// `None` for a service that runs here.
    pub(crate) fn is_well(&self, service: &ServiceName) -> Option<bool> {
        let part = self.parts.get(self.environment.elsewhere(service)?);
        let seen = part.filter(|(.., reachable)| *reachable).and_then(|(_, seen, _)| seen.as_ref());
        let seen = seen.and_then(|seen| seen.services.iter().find(|s| s.name == *service));
        Some(seen.is_some_and(|seen| {
            let runs = seen.replicas.0 >= seen.replicas.1;
            let is_done = seen.state == State::Exited(0).text();
            is_done || (runs && seen.health.as_deref() != Some(Health::Unhealthy.text()))
        }))
    }

    /// What people should know of nodes that cannot be reached.
    pub(crate) fn notes(&self) -> Vec<String> {
        let away = self.parts.iter().filter(|(_, (.., reachable))| !reachable);
        let note = |(there, (_, seen, _)): (&&NodeName, &(_, Option<Shown>, bool))| {
            let services = seen.iter().flat_map(|seen| &seen.services);
            let own = services.filter(|s| self.environment.elsewhere(&s.name) == Some(*there));
            let last: Vec<String> = own.map(|s| format!("{} {}", s.name, s.state)).collect();
            format!("node `{there}` cannot be reached; last seen there: {}", last.join(", "))
        };
        away.map(note).collect()
    }

    /// One of those services; `None` for a service that runs here.
    pub(crate) fn service(
        &self,
        service: &Service,
        place: &Place<'_>,
        all: &BTreeMap<ServiceName, Service>,
    ) -> Option<ShownService> {
        let there = self.environment.elsewhere(&service.name)?;
        let part = self.parts.get(there);
        let seen = part.and_then(|(_, seen, _)| seen.as_ref());
        let seen = seen.and_then(|seen| seen.services.iter().find(|s| s.name == service.name));
        let reachable = part.is_some_and(|(_, _, reachable)| *reachable);
        let address = part.and_then(|(id, ..)| self.node.remotes.address(there, id, &service.name));
        let running = seen.filter(|_| reachable).map_or(0, |seen| seen.replicas.0);
        let names: Vec<String> = if running == 0 {
            Vec::new()
        } else {
            let own = place.names(service, all).into_iter().filter(|name| !name.wildcard);
            own.map(|name| name.name).collect()
        };
        let state = match seen {
            Some(seen) if reachable => seen.state.clone(),
            Some(_) => "unknown".to_owned(),
            None => "missing".to_owned(),
        };
        Some(ShownService {
            name: service.name.clone(),
            role: ServiceRole::Remote,
            state,
            health: seen.filter(|_| reachable).and_then(|seen| seen.health.clone()),
            replicas: (running, seen.map_or(service.replicas, |seen| seen.replicas.1)),
            addresses: address.iter().map(ToString::to_string).collect(),
            ports: match seen {
                Some(seen) if service.ports.is_empty() => seen.ports.clone(),
                _ => service.ports.iter().map(ToString::to_string).collect(),
            },
            url: view::url(service, &names),
            names,
            ingress: service.ingress,
            node: Some(there.clone()),
        })
    }
}
