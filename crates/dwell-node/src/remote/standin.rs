//! Stand-ins: in an environment's network a relay has the place of each service that runs on
//! another node. It reaches this daemon through sockets in a directory that it alone sees, one
//! socket a port, so that it can dial nothing else.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use dwell_api::Problem;
use dwell_api::remote::{Elsewhere, Target};
use dwell_core::compose::{Mount, Protocol, RelaySpec};
use dwell_core::environment::Environment;
use dwell_core::{EnvironmentId, NodeId, NodeName, ServiceName};
use dwell_net::forward::{Dial, Forward, Listen};
use dwell_net::mux::Stream;
use futures_util::future::BoxFuture;

use super::{Dialer, publish};
use crate::environment::delivered;
use crate::facts::make_directory;
use crate::node::Node;
use crate::relay::no_ports;

/// Where the sockets are in a stand-in.
const PLACE: &str = "/dial";

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
    services: &BTreeMap<ServiceName, (Elsewhere, Way)>,
) -> Result<BTreeMap<ServiceName, RelaySpec>, Problem> {
    listen(node, &environment.id, services)?;
    let mut specs = BTreeMap::new();
    if services.is_empty() {
        return Ok(specs);
    }
    let image = node.relay.tag(node).await?;
    for (name, (elsewhere, _)) in services {
        let directory = directory(node, &environment.id, name);
        specs.insert(name.clone(), spec(&image, name, elsewhere, directory)?);
    }
    Ok(specs)
}

fn directory(node: &Node, id: &EnvironmentId, service: &ServiceName) -> PathBuf {
    node.directory(id).join("dial").join(service.as_str())
}

fn spec(
    image: &str,
    name: &ServiceName,
    elsewhere: &Elsewhere,
    directory: PathBuf,
) -> Result<RelaySpec, Problem> {
    let socket = |name: &str| format!("unix:{PLACE}/{name}.sock");
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut spec = RelaySpec {
        image: image.to_owned(),
        command: vec!["relay".to_owned()],
        healthcheck: None,
        completes: elsewhere.completes,
        networks: Vec::new(),
        mounts: vec![Mount { source: directory, target: PLACE.to_owned() }],
        user: Some(format!("{}:{}", user.0, user.1)),
    };
    if elsewhere.completes {
        spec.command.push(format!("--until={}", socket("done")));
        return Ok(spec);
    }
    if elsewhere.ports.is_empty() {
        return Err(no_ports(name, "run on another node"));
    }
    for port in &elsewhere.ports {
        let (number, kind) = (port.number, kind(port.protocol));
        let Some(kind) = kind else { continue };
        spec.command.push(format!("--forward={kind}:{number}={}", socket(&format!("{number}-{kind}"))));
    }
    let probe = format!("--probe={}", socket("ready"));
    spec.healthcheck = Some(vec!["/dwell".to_owned(), "relay".to_owned(), probe]);
    Ok(spec)
}

fn kind(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Tcp => Some("tcp"),
        Protocol::Udp => Some("udp"),
        Protocol::Sctp => None,
    }
}

/// Listens on the sockets of an environment's stand-ins, and on no others of it.
fn listen(
    node: &Arc<Node>,
    id: &EnvironmentId,
    services: &BTreeMap<ServiceName, (Elsewhere, Way)>,
) -> Result<(), Problem> {
    let mut forwards = Vec::new();
    for (name, (elsewhere, way)) in services {
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
        let mut add = |file: String, target: &Target| {
            let listen = Listen::Unix(directory.join(format!("{file}.sock")));
            let head = publish::head(target);
            forwards.push(Forward { listen, head, dialer: dialer.clone() });
        };
        for (file, completed) in [("ready", false), ("done", true)] {
            let (environment, service) = (environment.clone(), name.clone());
            add(file.to_owned(), &Target::Ready { environment, service, completed });
        }
        for port in &elsewhere.ports {
            let Some(kind) = kind(port.protocol) else { continue };
            let target = Target::Service {
                environment: environment.clone(),
                service: name.clone(),
                port: port.number,
                datagrams: kind == "udp",
            };
            add(format!("{}-{kind}", port.number), &target);
        }
    }
    for failed in node.remotes.forwards.set(&owner(id), forwards) {
        return Err(Problem::new(dwell_api::Code::State, failed.to_string()));
    }
    Ok(())
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
) -> BTreeMap<ServiceName, (Elsewhere, Way)> {
    if let Some(origin) = &environment.origin {
        let Some(home) = &origin.part_of else { return BTreeMap::new() };
        let kept = delivered(node, &environment.id).map(|kept| kept.elsewhere).unwrap_or_default();
        let way = Way::Home(origin.node.clone(), home.clone());
        return kept.into_iter().map(|(name, it)| (name, (it, way.clone()))).collect();
    }
    let Some(facts) = node.facts.get(&environment.id) else { return BTreeMap::new() };
    let mut found = BTreeMap::new();
    for service in facts.services.values() {
        let Some(peer) = environment.elsewhere(&service.name) else { continue };
        let Some(part) = environment.parts.get(peer) else { continue };
        let elsewhere = Elsewhere { ports: service.ports.clone(), completes: service.completes };
        let way = Way::There(peer.clone(), part.clone());
        found.insert(service.name.clone(), (elsewhere, way));
    }
    found
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
