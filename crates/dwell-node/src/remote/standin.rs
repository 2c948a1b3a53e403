//! Stand-ins: in an environment's network a relay has the place of each service that runs on
//! another node. It reaches this daemon through sockets in a directory that it alone sees, one
//! socket a port, so that it can dial nothing else.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dwell_api::Problem;
use dwell_api::remote::Target;
use dwell_core::compose::{Away, DONE_SOCKET, HEALTH_SOCKET, Protocol, RelaySpec, port_socket};
use dwell_core::environment::Environment;
use dwell_core::{EnvironmentId, NodeId, NodeName, ServiceName};
use dwell_net::forward::{Dial, Forward, Listen};
use dwell_net::mux::Stream;
use futures_util::future::BoxFuture;

use super::{Dialer, publish};
use crate::environment::delivered;
use crate::facts::{make_directory, write};
use crate::node::Node;

/// The file at an environment's home that tells which of its services run elsewhere.
const FILE: &str = "away.json";

/// Who is dialled for a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// A registered node, on which the environment has this part.
    There(NodeName, EnvironmentId),
    /// The environment's home, which made the link to this node, by its identity there.
    Home(NodeId, EnvironmentId),
}

/// Dials the node that made a link to this one.
struct Back {
    node: Weak<Node>,
    home: NodeId,
}

impl Dial for Back {
    fn dial(&self, head: Bytes) -> BoxFuture<'static, io::Result<Stream>> {
        let (node, home) = (self.node.upgrade(), self.home.clone());
        Box::pin(async move {
            let node = node.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            node.remotes.dial_back(&home, head).await.map_err(io::Error::other)
        })
    }
}

/// Plans a relay for each service that runs elsewhere, and listens for them.
pub(crate) async fn plan(
    node: &Arc<Node>,
    environment: &Environment,
    services: &BTreeMap<ServiceName, (Away, Way)>,
) -> Result<BTreeMap<ServiceName, RelaySpec>, Problem> {
    listen(node, &environment.id, services)?;
    let mut specs = BTreeMap::new();
    if services.is_empty() {
        return Ok(specs);
    }
    let image = node.relay.tag(node).await?;
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let user = format!("{}:{}", user.0, user.1);
    for (name, (away, _)) in services {
        let directory = directory(node, &environment.id, name);
        specs.insert(name.clone(), away.relay(&image, &directory, &user));
    }
    Ok(specs)
}

fn directory(node: &Node, id: &EnvironmentId, service: &ServiceName) -> PathBuf {
    node.directory(id).join("dial").join(service.as_str())
}

/// Listens on the sockets of an environment's stand-ins, and on no others of it.
fn listen(
    node: &Arc<Node>,
    id: &EnvironmentId,
    services: &BTreeMap<ServiceName, (Away, Way)>,
) -> Result<(), Problem> {
    let mut forwards = Vec::new();
    for (name, (away, way)) in services {
        let directory = directory(node, id, name);
        make_directory(&directory)?;
        let (dialer, environment): (Arc<dyn Dial>, &EnvironmentId) = match way {
            Way::There(peer, part) => {
                (Arc::new(Dialer(Arc::downgrade(&node.remotes.peer(peer)?))), part)
            }
            Way::Home(home, at_home) => {
                (Arc::new(Back { node: Arc::downgrade(node), home: home.clone() }), at_home)
            }
        };
        let mut add = |file: &str, target: &Target| {
            let listen = Listen::Unix(directory.join(file));
            let head = publish::head(target);
            forwards.push(Forward { listen, head, dialer: dialer.clone() });
        };
        for (file, completed) in [(HEALTH_SOCKET, false), (DONE_SOCKET, true)] {
            let (environment, service) = (environment.clone(), name.clone());
            add(file, &Target::Ready { environment, service, completed });
        }
        for port in &away.ports {
            let target = Target::Service {
                environment: environment.clone(),
                service: name.clone(),
                port: port.number,
                datagrams: port.protocol == Protocol::Udp,
            };
            add(&port_socket(*port), &target);
        }
    }
    match node.remotes.forwards.set(&owner(id), forwards).first() {
        Some(failed) => Err(Problem::new(dwell_api::Code::State, failed.to_string())),
        None => Ok(()),
    }
}

fn owner(id: &EnvironmentId) -> String {
    format!("standin:{id}")
}

/// Stops listening for an environment that is gone.
pub(crate) fn forget(node: &Node, id: &EnvironmentId) {
    node.remotes.forwards.set(&owner(id), Vec::new());
}

/// The services of an environment that run elsewhere, and the ways to them.
pub(crate) fn services(
    node: &Node,
    environment: &Environment,
) -> BTreeMap<ServiceName, (Away, Way)> {
    if let Some(origin) = &environment.origin {
        let Some(home) = &origin.part_of else { return BTreeMap::new() };
        let kept = delivered(node, &environment.id).map(|kept| kept.specification.away);
        let kept = kept.unwrap_or_default();
        let way = Way::Home(origin.node.clone(), home.clone());
        return kept.into_iter().map(|(name, it)| (name, (it, way.clone()))).collect();
    }
    let kept = std::fs::read(node.directory(&environment.id).join(FILE)).ok();
    let kept = kept.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    of_home(environment, &kept)
}

/// The ways from an environment's home to its services elsewhere.
pub(crate) fn of_home(
    environment: &Environment,
    away: &BTreeMap<ServiceName, Away>,
) -> BTreeMap<ServiceName, (Away, Way)> {
    let way = |away: &Away| {
        Some(Way::There(away.node.clone(), environment.parts.get(&away.node)?.clone()))
    };
    let found = away.iter().filter_map(|(name, it)| Some((name.clone(), (it.clone(), way(it)?))));
    found.collect()
}

/// Stands in for nothing any more: all services of an environment run here.
pub(crate) fn none(node: &Node, id: &EnvironmentId) -> Result<(), Problem> {
    forget(node, id);
    let path = node.directory(id).join(FILE);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(crate::problem::file("removing", &path, &error))
        }
        _ => Ok(()),
    }
}

/// Remembers which services of an environment run elsewhere, for the next life of the daemon.
pub(crate) fn keep(
    node: &Node,
    id: &EnvironmentId,
    away: &BTreeMap<ServiceName, Away>,
) -> Result<(), Problem> {
    write(&node.directory(id).join(FILE), &serde_json::to_vec(away).unwrap_or_default())
}

/// Listens again for the stand-ins of all environments, after the daemon started.
pub(crate) async fn listen_again(node: &Arc<Node>) {
    let environments = match node.store.environments().await {
        Ok(environments) => environments,
        Err(error) => {
            tracing::warn!(%error, "stand-ins are not served");
            return;
        }
    };
    for environment in environments {
        let services = services(node, &environment);
        if services.is_empty() {
            continue;
        }
        if let Err(problem) = listen(node, &environment.id, &services) {
            tracing::warn!(%problem, environment = %environment.label(), "its stand-ins are not served");
        }
    }
}
