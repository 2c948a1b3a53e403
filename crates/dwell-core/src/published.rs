//! The names that an environment publishes, and the addresses behind them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::compose::Service;
use crate::name::{EnvironmentName, ProjectName, ServiceName, Suffix};

/// The longest DNS name, without the root's dot.
const NAME_MAX: usize = 253;

/// Where an environment's names hang.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The environment.
    pub environment: &'a EnvironmentName,
    /// Its project.
    pub project: &'a ProjectName,
    /// The DNS suffix.
    pub suffix: &'a Suffix,
}

/// A name that a service has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnName {
    /// The name in lower case, without a trailing dot.
    pub name: String,
    /// Whether all names below it are meant, and not the name itself.
    pub wildcard: bool,
    /// Whether an environment of the same name in another project may have it too.
    pub short: bool,
}

/// A name that a node answers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PublishedName {
    /// The name in lower case, without a trailing dot.
    pub name: String,
    /// Whether all names below it are meant, and not the name itself. An exact name wins over it.
    pub wildcard: bool,
    /// Whether an environment of the same name in another project may publish it too. If one
    /// does, neither is to be answered.
    pub short: bool,
    /// The addresses, sorted, at least one.
    pub addresses: Vec<IpAddr>,
}

impl Place<'_> {
    /// All names of a service: short and full ones by its label and its custom names, and, for
    /// the ingress, the apex and the wildcard below it. A service that is called like the
    /// project keeps its name; the wildcard is still the ingress's.
    pub fn names(
        &self,
        service: &Service,
        services: &BTreeMap<ServiceName, Service>,
    ) -> Vec<OwnName> {
        let Self { environment, project, suffix } = self;
        let mut names = Vec::new();
        let mut add = |name: String, wildcard, short| {
            if name.len() <= NAME_MAX {
                names.push(OwnName { name, wildcard, short });
            }
        };
        let custom = service.hostnames.iter().map(|hostname| hostname.as_str());
        for label in std::iter::once(service.label.as_str()).chain(custom) {
            let is_apex = service.ingress && label == project.as_str();
            if !is_apex {
                add(format!("{label}.{environment}.{suffix}"), false, true);
            }
            add(format!("{label}.{environment}.{project}.{suffix}"), false, false);
        }
        if service.ingress {
            let apex = format!("{project}.{environment}.{suffix}");
            let others = services.values().filter(|other| other.name != service.name);
            let taken = |other: &Service| {
                let mut hostnames = other.hostnames.iter().map(|hostname| hostname.as_str());
                other.label == project.as_str() || hostnames.any(|name| name == project.as_str())
            };
            if !others.into_iter().any(taken) {
                add(apex.clone(), false, false);
            }
            add(apex, true, false);
        }
        names
    }
}

/// The service that has the address: the service itself, or the one in whose network namespace
/// it lives.
pub fn address_holder<'a>(
    service: &'a Service,
    services: &'a BTreeMap<ServiceName, Service>,
) -> &'a ServiceName {
    let mut holder = service;
    for _ in 0..services.len() {
        match holder.netns_of.as_ref().and_then(|owner| services.get(owner)) {
            Some(owner) => holder = owner,
            None => break,
        }
    }
    &holder.name
}

/// The names of an environment whose services run now. `observed` has an entry for every service
/// with a running container, and the addresses of these; a service without an entry has no
/// names. One in another's network namespace has that one's addresses, one in the host's network
/// the loopback address.
pub fn published(
    place: &Place<'_>,
    services: &BTreeMap<ServiceName, Service>,
    observed: &BTreeMap<ServiceName, Vec<Ipv4Addr>>,
) -> Vec<PublishedName> {
    let mut found = Vec::new();
    for service in services.values().filter(|service| observed.contains_key(&service.name)) {
        let holder = address_holder(service, services);
        let on_host = services.get(holder).is_some_and(|holder| holder.host_network);
        let mut addresses: Vec<IpAddr> = if on_host {
            vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]
        } else {
            observed.get(holder).into_iter().flatten().copied().map(IpAddr::V4).collect()
        };
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            continue;
        }
        found.extend(place.names(service, services).into_iter().map(|own| PublishedName {
            name: own.name,
            wildcard: own.wildcard,
            short: own.short,
            addresses: addresses.clone(),
        }));
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests;
