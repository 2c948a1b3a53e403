//! HTTP services for other machines of a mesh: from names and addresses to the configuration of
//! Caddy or nginx. It listens at one address only, knows the names of the services, and answers
//! nothing for others.

mod caddy;
mod nginx;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::str::FromStr;

pub use caddy::{CaddyFiles, caddy, idle_caddy};
pub use nginx::nginx;

use crate::compose::Service;
use crate::name::ServiceName;
use crate::published::{Place, address_holder};
use crate::remote::MeshAddress;

/// The longest DNS name, without the root's dot.
const NAME_MAX: usize = 253;

/// Where the proxy listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// The node's address in the mesh.
    pub address: MeshAddress,
    /// The TCP port.
    pub port: NonZeroU16,
}

/// A name that is answered: DNS labels in lower case. A wildcard means all names below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteName {
    name: String,
    wildcard: bool,
}

/// Text that is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a name that can be answered")]
pub struct RouteNameError {
    /// The text given, escaped.
    pub given: String,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its names that nobody else can have.
    pub names: BTreeSet<RouteName>,
    /// Its names that an environment of another project may have too.
    pub short_names: BTreeSet<RouteName>,
    /// Where it is, at least one.
    pub upstreams: BTreeSet<SocketAddr>,
}

impl FromStr for RouteName {
    type Err = RouteNameError;
    fn from_str(text: &str) -> Result<Self, RouteNameError> {
        let name = text.strip_prefix("*.").unwrap_or(text);
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if name.len() > NAME_MAX || !name.split('.').all(label) {
            return Err(RouteNameError { given: text.escape_debug().to_string() });
        }
        Ok(Self { name: name.to_owned(), wildcard: name.len() != text.len() })
    }
}

impl fmt::Display for RouteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*." } else { "" }, self.name)
    }
}

/// The routes of an environment: one for each service that has an HTTP port and a running
/// container. `observed` are the addresses of running containers.
pub fn routes(
    place: &Place<'_>,
    services: &BTreeMap<ServiceName, Service>,
    observed: &BTreeMap<ServiceName, Vec<Ipv4Addr>>,
) -> Vec<Route> {
    let running = services.values().filter(|service| observed.contains_key(&service.name));
    let found = running.filter_map(|service| {
        let port = service.http_port?;
        let holder = address_holder(service, services);
        let on_host = services.get(holder).is_some_and(|holder| holder.host_network);
        let loopback = [Ipv4Addr::LOCALHOST];
        let addresses = if on_host {
            &loopback[..]
        } else {
            observed.get(holder).map_or(&[][..], Vec::as_slice)
        };
        let upstreams: BTreeSet<_> =
            addresses.iter().map(|address| SocketAddr::new(IpAddr::V4(*address), port)).collect();
        let (mut names, mut short_names) = (BTreeSet::new(), BTreeSet::new());
        for own in place.names(service, services) {
            let names = if own.short { &mut short_names } else { &mut names };
            let text = if own.wildcard { format!("*.{}", own.name) } else { own.name };
            names.extend(text.parse::<RouteName>());
        }
        (!upstreams.is_empty()).then_some(Route { names, short_names, upstreams })
    });
    found.collect()
}

/// Every name with the addresses behind it, exact names before wildcards, those with more labels
/// first. A name that two routes claim is nobody's.
fn table(routes: &[Route]) -> Vec<(Vec<&RouteName>, &BTreeSet<SocketAddr>)> {
    let mut claims: BTreeMap<&RouteName, usize> = BTreeMap::new();
    let names = |route: &'_ Route| route.names.iter().chain(&route.short_names).count();
    for name in routes.iter().flat_map(|route| route.names.iter().chain(&route.short_names)) {
        *claims.entry(name).or_default() += 1;
    }
    let mut rows = Vec::with_capacity(routes.iter().map(names).sum());
    for route in routes.iter().filter(|route| !route.upstreams.is_empty()) {
        let own: BTreeSet<_> = route.names.iter().chain(&route.short_names).collect();
        let own = own.into_iter().filter(|name| claims.get(name) == Some(&1));
        let (wildcards, exact): (Vec<_>, Vec<_>) = own.partition(|name| name.wildcard);
        if !exact.is_empty() {
            rows.push((exact, &route.upstreams));
        }
        rows.extend(wildcards.into_iter().map(|name| (vec![name], &route.upstreams)));
    }
    let key = |names: &[&RouteName]| {
        let first = names.first().copied();
        let wildcard = first.is_some_and(|name| name.wildcard);
        let labels = first.map_or(0, |name| name.name.split('.').count());
        (wildcard, std::cmp::Reverse(labels), first.cloned())
    };
    rows.sort_by_cached_key(|(names, _)| key(names));
    rows
}

#[cfg(test)]
mod tests;
