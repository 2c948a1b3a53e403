//! Publishing: from what runs to the names that DNS and the proxy answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use dwell_core::environment::Environment;
use dwell_core::observed::Container;
use dwell_core::published::{Place, published};
use dwell_core::{EnvironmentId, ServiceName};
use dwell_net::names::Name;

use crate::facts::Facts;
use crate::node::Node;
use crate::{remote, world};

/// Where an environment's services are found that run, here and elsewhere, and why what cannot be
/// reached cannot.
pub(crate) fn observed(
    node: &Node,
    environment: &Environment,
    facts: &Facts,
    containers: &[Container],
) -> (BTreeMap<ServiceName, Vec<Ipv4Addr>>, BTreeMap<IpAddr, String>) {
    let mut observed = world::addresses(containers);
    let mut down = BTreeMap::new();
    for service in facts.services.values() {
        let Some(there) = environment.elsewhere(&service.name) else { continue };
        // What stands in for it in the environment's network is not where others find it.
        observed.remove(&service.name);
        let Some(part) = environment.parts.get(there) else { continue };
        if let Some(address) = node.remotes.address(there, part, &service.name)
            && node.remotes.serves(there, part, &service.name)
        {
            observed.insert(service.name.clone(), vec![address]);
            if let Some(why) = node.remotes.down(there) {
                let why = format!("node {there} cannot be reached: {why}");
                down.insert(IpAddr::V4(address), why);
            }
        }
    }
    (observed, down)
}

/// The names of one environment as they follow from its containers.
fn names(node: &Node, environment: &Environment, containers: &[Container]) -> Vec<Name> {
    let Some(facts) = node.facts.get(&environment.id) else { return Vec::new() };
    let place = Place {
        environment: &environment.name,
        project: &environment.project,
        suffix: &environment.suffix,
    };
    let (observed, down) = observed(node, environment, &facts, containers);
    let label = environment.label();
    let ports: std::collections::HashMap<String, u16> = facts
        .services
        .values()
        .flat_map(|service| {
            let port = service.http_port;
            place
                .names(service, &facts.services)
                .into_iter()
                .filter_map(move |own| Some((own.name, port?)))
        })
        .collect();
    published(&place, &facts.services, &observed)
        .into_iter()
        .map(|own| {
            let full = own.short.then(|| full_name(&own.name, environment)).flatten();
            Name {
                unreachable: own.addresses.iter().find_map(|address| down.get(address).cloned()),
                http_port: ports.get(&own.name).copied(),
                fqdn: own.name,
                wildcard: own.wildcard,
                short: own.short,
                full,
                owner_label: label.clone(),
                addresses: own.addresses,
            }
        })
        .collect()
}

/// `web.a1.test` is `web.a1.shop.test` in full.
pub(crate) fn full_name(short: &str, environment: &Environment) -> Option<String> {
    let stem = short.strip_suffix(&format!(".{}", environment.suffix))?;
    Some(format!("{stem}.{}.{}", environment.project, environment.suffix))
}

/// Publishes one environment's names.
pub(crate) async fn publish(node: &Node, id: &EnvironmentId) {
    match node.store.environment(id).await {
        Ok(Some(environment)) => set(node, &environment, &node.world.containers(id)),
        Ok(None) => {
            node.ingress.touch();
            node.names.remove(id.as_str());
        }
        // What cannot be read is not known to be gone.
        Err(error) => tracing::warn!(%error, environment = %id, "its names were not published"),
    }
}

fn set(node: &Node, environment: &Environment, containers: &[Container]) {
    node.listeners.serve(&environment.suffix);
    node.ingress.touch();
    let names = names(node, environment, containers);
    if let Err(error) = node.names.set(environment.id.as_str(), names) {
        tracing::warn!(%error, environment = %environment.label(), "a name was not published");
    }
}

/// Publishes all names and takes back those of environments that are gone.
pub(crate) async fn publish_all(node: &Node) {
    let environments = match node.store.environments().await {
        Ok(environments) => environments,
        Err(error) => {
            tracing::warn!(%error, "names were not published");
            return;
        }
    };
    node.ingress.touch();
    let mut containers = node.world.by_environment();
    let all: Vec<(String, Vec<Name>)> = environments
        .iter()
        .map(|environment| {
            node.listeners.serve(&environment.suffix);
            let own = containers.remove(&environment.id).unwrap_or_default();
            (environment.id.to_string(), names(node, environment, &own))
        })
        .collect();
    if let Err(error) = node.names.replace_all(all, remote::owns) {
        tracing::warn!(%error, "a name was not published");
    }
}
