//! The names of what runs on other nodes, and the loopback addresses behind them: one address a
//! service, on which this node listens at the service's ports and dials.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use dwell_api::environment::Service;
use dwell_api::remote::{SeenEnvironment, Target};
use dwell_api::{Code, Problem};
use dwell_core::address::{Destination, loopback_addresses};
use dwell_core::compose::{Port, Protocol};
use dwell_core::ports::PRIVILEGED;
use dwell_core::{EnvironmentId, NodeName, ServiceName};
use dwell_net::forward::{Forward, Listen};
use dwell_net::names::Name;
use dwell_store::LoopbackRecord;

use super::{Dialer, Peer};
use crate::node::Node;
use crate::problem::OrProblem;

/// Where a privileged port is found that cannot be had: this much higher.
pub(crate) const RAISED: u16 = 10_000;

/// The addresses of the services on one node.
pub(super) type Addresses = BTreeMap<(EnvironmentId, ServiceName), Ipv4Addr>;

/// Publishes what a node shows, or that it cannot be reached. Gives what people should know.
pub(super) async fn publish(node: &Arc<Node>, peer: &Arc<Peer>) -> Result<Vec<String>, Problem> {
    let name = &peer.remote.name;
    let mut shown = peer.mirror.last().map(|last| last.seen.environments).unwrap_or_default();
    shown.retain(|seen| node.remotes.shows(&seen.environment.id));
    let down = peer.down();
    let addresses = addresses(node, name, &shown, down.is_none()).await?;
    peer.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&addresses);
    let forwards = match &down {
        None => forwards(peer, &shown, &addresses),
        // What cannot be dialled is not listened for: it is refused at once.
        Some(_) => Vec::new(),
    };
    let (raised, mut notes) = listen(node, peer, &forwards);
    if !raised.is_empty() {
        notes.push(raised_note(&raised));
    }
    set_names(node, peer, &shown, &addresses, down.as_deref(), &raised);
    // The names of this node's own environments that have a part there.
    let homes = shown.iter().filter_map(|seen| seen.origin.as_ref()?.part_of.clone());
    for home in homes.collect::<HashSet<EnvironmentId>>() {
        node.publish(&home).await;
    }
    Ok(notes)
}

/// Listens where services are to be found, and on higher ports where that takes a privilege. Gives
/// the places that are higher, and what cannot be had.
fn listen(node: &Node, peer: &Peer, forwards: &[Forward]) -> (HashSet<SocketAddr>, Vec<String>) {
    let owner = format!("remote:{}", peer.remote.name);
    let mut raised = peer.raised.lock().unwrap_or_else(PoisonError::into_inner);
    // What was forbidden may be allowed now. What listens higher stays as it is otherwise: its
    // connections would end.
    raised.retain(|place| bind(&Listen::Tcp(*place)) == Some(ErrorKind::PermissionDenied));
    loop {
        let wanted = forwards.iter().map(|forward| match &forward.listen {
            Listen::Tcp(place) if raised.contains(place) => {
                let higher = SocketAddr::new(place.ip(), place.port() + RAISED);
                Forward { listen: Listen::Tcp(higher), ..forward.clone() }
            }
            _ => forward.clone(),
        });
        let (mut again, mut notes) = (false, Vec::new());
        for failed in node.remotes.forwards.set(&owner, wanted.collect()) {
            match &failed.listen {
                Listen::Tcp(place) if failed.source.kind() == ErrorKind::PermissionDenied => {
                    again |= raised.insert(*place);
                }
                _ => notes.push(failed.to_string()),
            }
        }
        if !again {
            return (raised.clone(), notes);
        }
    }
}

/// Why a place cannot be listened on at this moment; `None` where it can.
fn bind(listen: &Listen) -> Option<ErrorKind> {
    let bound = match listen {
        Listen::Tcp(place) => std::net::TcpListener::bind(place).map(drop),
        Listen::Udp(place) => std::net::UdpSocket::bind(place).map(drop),
        Listen::Unix(_) => Ok(()),
    };
    bound.err().map(|error| error.kind())
}

fn raised_note(raised: &HashSet<SocketAddr>) -> String {
    let ports: std::collections::BTreeSet<u16> = raised.iter().map(SocketAddr::port).collect();
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let ports = ports.join(", ");
    format!(
        "ports below {PRIVILEGED} of services on other nodes ({ports}) take a privilege: they are \
         {RAISED} higher until `dwell setup`; HTTP works through the proxy"
    )
}

/// The addresses of the services that are shown: kept where they have one, new where not, and
/// taken back from what is gone.
async fn addresses(
    node: &Node,
    name: &NodeName,
    shown: &[SeenEnvironment],
    reachable: bool,
) -> Result<Addresses, Problem> {
    let _one_at_a_time = node.allocation.lock().await;
    let to = |environment: &EnvironmentId, service: &ServiceName, node: &NodeName| Destination {
        node: node.clone(),
        environment: environment.clone(),
        service: service.clone(),
    };
    let services = shown.iter().flat_map(|seen| {
        let services = seen.environment.services.iter();
        services.map(|service| (to(&seen.environment.id, &service.name, name), service))
    });
    let ports: BTreeMap<Destination, &Service> = services.collect();
    let wanted: BTreeSet<Destination> = ports.keys().cloned().collect();
    let mut held = BTreeMap::new();
    for record in node.store.loopbacks().await.or_problem()? {
        let destination = to(&record.environment, &record.service, &record.node);
        if record.node == *name && !wanted.contains(&destination) {
            node.store.release_loopback(record.address).await.or_problem()?;
        } else {
            held.insert(destination, record.address);
        }
    }
    let pool = node.config.forward.pool;
    let mut busy = BTreeSet::new();
    let found = loop {
        let found = loopback_addresses(pool, &held, &busy, &wanted).map_err(|e| {
            Problem::new(Code::PoolExhausted, e.to_string())
                .hint("set a larger `[forward] pool` in the node's config.toml")
        })?;
        // Those of somebody else on this machine. What nobody listens on now may be anybody's.
        let checked = found.iter().filter(|(to, _)| reachable || !held.contains_key(to));
        let taken = checked.filter(|(to, address)| {
            let mut places = ports.get(to).into_iter().flat_map(|it| places(it, **address));
            places.any(|(_, place)| {
                !node.remotes.forwards.listens(&place) && bind(&place) == Some(ErrorKind::AddrInUse)
            })
        });
        let taken: Vec<Ipv4Addr> = taken.map(|(_, address)| *address).collect();
        if taken.is_empty() {
            break found;
        }
        busy.extend(taken);
    };
    for (destination, address) in &found {
        if held.get(destination) == Some(address) {
            continue;
        }
        let Destination { node: peer, environment, service } = destination.clone();
        let record = LoopbackRecord { address: *address, node: peer, environment, service };
        node.store.put_loopback(&record).await.or_problem()?;
    }
    let keyed = found.into_iter().map(|(to, address)| ((to.environment, to.service), address));
    Ok(keyed.collect())
}

fn forwards(peer: &Arc<Peer>, shown: &[SeenEnvironment], addresses: &Addresses) -> Vec<Forward> {
    let dialer: Arc<dyn dwell_net::forward::Dial> = Arc::new(Dialer(Arc::downgrade(peer)));
    let mut all = Vec::new();
    for seen in shown {
        for service in &seen.environment.services {
            let key = (seen.environment.id.clone(), service.name.clone());
            let Some(address) = addresses.get(&key) else { continue };
            for (port, listen) in places(service, *address) {
                let target = Target::Service {
                    environment: key.0.clone(),
                    service: key.1.clone(),
                    port: port.number,
                    datagrams: port.protocol == Protocol::Udp,
                };
                all.push(Forward { listen, head: head(&target), dialer: dialer.clone() });
            }
        }
    }
    all
}

/// Where a service's ports are at an address.
fn places(service: &Service, address: Ipv4Addr) -> impl Iterator<Item = (Port, Listen)> {
    service.ports.iter().filter_map(move |text| {
        let port = Port::read(text)?;
        let place = SocketAddr::new(IpAddr::V4(address), port.number);
        match port.protocol {
            Protocol::Tcp => Some((port, Listen::Tcp(place))),
            Protocol::Udp => Some((port, Listen::Udp(place))),
            Protocol::Sctp => None,
        }
    })
}

/// A target as the head of a stream.
pub(super) fn head(target: &Target) -> Bytes {
    serde_json::to_vec(target).unwrap_or_default().into()
}

fn set_names(
    node: &Node,
    peer: &Peer,
    shown: &[SeenEnvironment],
    addresses: &Addresses,
    down: Option<&str>,
    raised: &HashSet<SocketAddr>,
) {
    let name = &peer.remote.name;
    let mut gone: HashSet<String> = peer.published();
    // The parts of this node's own environments are published with those.
    let own = |seen: &&SeenEnvironment| {
        seen.origin.as_ref().is_none_or(|origin| origin.part_of.is_none())
    };
    let mut now = HashSet::new();
    for seen in shown.iter().filter(own) {
        let owner = super::owner(&seen.environment.id);
        gone.remove(&owner);
        let names = names(name, seen, addresses, down, raised);
        if let Ok(suffix) = seen.environment.suffix.parse() {
            node.listeners.serve(&suffix);
        }
        if let Err(error) = node.names.set(&owner, names) {
            tracing::warn!(%error, node = %name, "a name was not published");
        }
        now.insert(owner);
    }
    for owner in gone {
        node.names.remove(&owner);
    }
    peer.set_published(now);
}

fn names(
    node: &NodeName,
    seen: &SeenEnvironment,
    addresses: &Addresses,
    down: Option<&str>,
    raised: &HashSet<SocketAddr>,
) -> Vec<Name> {
    let environment = &seen.environment;
    let label = format!("{}/{} on {node}", environment.project, environment.name);
    let place =
        |service: &ServiceName| addresses.get(&(environment.id.clone(), service.clone())).copied();
    seen.names
        .iter()
        .filter_map(|own| {
            let address = IpAddr::V4(place(&own.service)?);
            let port = own.http_port.map(|port| {
                let is_raised = raised.contains(&SocketAddr::new(address, port));
                if is_raised { port + RAISED } else { port }
            });
            Some(Name {
                fqdn: own.fqdn.clone(),
                wildcard: own.wildcard,
                short: own.short,
                full: own.full.clone(),
                owner_label: label.clone(),
                addresses: vec![address],
                http_port: port,
                unreachable: down.map(|why| format!("node {node} cannot be reached: {why}")),
            })
        })
        .collect()
}
