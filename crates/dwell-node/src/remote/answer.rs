//! What is dialled on this node: its API, a service of an environment, whether a service is
//! ready. A stream is accepted only once its far end is there.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dwell_api::remote::{READY, Target};
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;
use dwell_core::observed::{Container, Health, State};
use dwell_core::published::address_holder;
use dwell_core::{EnvironmentId, NodeName, ServiceName};
use dwell_net::mux::{self, Arrival};
use dwell_net::relay::udp;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::doors::Stream;
use crate::node::Node;
use crate::problem::OrProblem;
use crate::world;

/// How long a service may take to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Who dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The same user on another machine, over a link that it made to this node.
    User,
    /// A node that this one made the link to: it may reach only what its environments were
    /// given.
    Node(NodeName),
}

/// Answers one stream, in a task of its own.
pub(crate) fn answer(node: &Arc<Node>, caller: Caller, arrival: Arrival) {
    let node = node.clone();
    tokio::spawn(async move {
        let target = match serde_json::from_slice::<Target>(arrival.head()) {
            Ok(target) => target,
            Err(error) => {
                let problem = Problem::new(Code::Usage, format!("an unknown target: {error}"));
                return refuse(arrival, &problem);
            }
        };
        match target {
            Target::Api if caller == Caller::User => {
                // The daemon is ending when nobody takes it any more.
                let _ = node.doors.send(Box::new(arrival.accept())).await;
            }
            Target::Api => refuse(arrival, &not_given("its API")),
            Target::Service { environment, service, port, datagrams } => {
                let port = Port { number: port, datagrams };
                serve(&node, &caller, arrival, &environment, &service, port).await;
            }
            Target::Ready { environment, service, completed } => {
                let ready = is_ready(&node, &caller, &environment, &service, completed).await;
                let mut stream = arrival.accept();
                if ready {
                    let _ = stream.write_all(READY).await;
                }
                let _ = stream.shutdown().await;
            }
        }
    });
}

#[derive(Debug, Clone, Copy)]
struct Port {
    number: u16,
    datagrams: bool,
}

fn refuse(arrival: Arrival, problem: &Problem) {
    arrival.refuse(serde_json::to_vec(problem).unwrap_or_default());
}

fn not_given(what: &str) -> Problem {
    Problem::new(Code::NotFound, format!("this node does not give {what} to the caller"))
}

/// Where a service is to be found.
enum Place {
    /// In a container here.
    Here(SocketAddr),
    /// On another node, as part of the environment there.
    There(NodeName, EnvironmentId),
}

async fn serve(
    node: &Arc<Node>,
    caller: &Caller,
    arrival: Arrival,
    environment: &EnvironmentId,
    service: &ServiceName,
    port: Port,
) {
    let place = match find(node, caller, environment, service, port.number).await {
        Ok(place) => place,
        Err(problem) => return refuse(arrival, &problem),
    };
    match place {
        Place::Here(address) if port.datagrams => {
            if let Err(error) = udp::to_address(arrival.accept(), address).await {
                tracing::debug!(%error, %address, "datagrams ended");
            }
        }
        Place::Here(address) => match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(far)) => {
                // Without it small pieces are only later.
                let _ = far.set_nodelay(true);
                drop(mux::pump(arrival.accept(), far).await);
            }
            Ok(Err(error)) => {
                let message = format!("service `{service}` took no connection: {error}");
                refuse(arrival, &Problem::new(Code::NotRunning, message));
            }
            Err(_) => {
                let message = format!("service `{service}` took no connection in time");
                refuse(arrival, &Problem::new(Code::Timeout, message));
            }
        },
        Place::There(name, part) => {
            let target = Target::Service {
                environment: part,
                service: service.clone(),
                port: port.number,
                datagrams: port.datagrams,
            };
            match node.remotes.dial(&name, &target).await {
                Ok(mut far) => {
                    // What goes wrong is for both ends to see.
                    let mut near = arrival.accept();
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
                Err(problem) => refuse(arrival, &problem),
            }
        }
    }
}

/// A stream to a port of a service of an environment of this node, for its user.
pub(crate) async fn reach(
    node: &Node,
    environment: &Environment,
    service: &ServiceName,
    port: u16,
) -> Result<Box<dyn Stream>, Problem> {
    let no = |why: &str| {
        let label = environment.label();
        let message = format!("service `{service}` of `{label}` took no connection: {why}");
        Problem::new(Code::NotRunning, message)
    };
    match find(node, &Caller::User, &environment.id, service, port).await? {
        Place::Here(address) => match timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                Ok(Box::new(stream))
            }
            Ok(Err(error)) => Err(no(&error.to_string())),
            Err(_) => Err(no("it did not answer in time")),
        },
        Place::There(name, part) => {
            let (environment, service) = (part, service.clone());
            let target = Target::Service { environment, service, port, datagrams: false };
            Ok(Box::new(node.remotes.dial(&name, &target).await?))
        }
    }
}

/// Finds a service that the caller may reach.
async fn find(
    node: &Node,
    caller: &Caller,
    id: &EnvironmentId,
    service: &ServiceName,
    port: u16,
) -> Result<Place, Problem> {
    let missing =
        || Problem::new(Code::NotFound, format!("there is no service `{service}` of `{id}`"));
    let environment = node.store.environment(id).await.or_problem()?.ok_or_else(missing)?;
    if let Some(there) = elsewhere(&environment, caller, service)? {
        return Ok(there);
    }
    let label = environment.label();
    let facts = node.facts.get(id).ok_or_else(missing)?;
    let known = facts.services.get(service).ok_or_else(missing)?;
    let observed = world::addresses(&node.world.containers(id));
    let not_running =
        || Problem::new(Code::NotRunning, format!("service `{service}` of `{label}` does not run"));
    if known.host_network {
        return Ok(Place::Here(SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
    }
    let holder = address_holder(known, &facts.services);
    let address = observed.get(holder).and_then(|all| all.first()).ok_or_else(not_running)?;
    Ok(Place::Here(SocketAddr::new(IpAddr::V4(*address), port)))
}

/// The other node on which a service runs; a problem where the caller was not given it.
fn elsewhere(
    environment: &Environment,
    caller: &Caller,
    service: &ServiceName,
) -> Result<Option<Place>, Problem> {
    let place = environment.elsewhere(service);
    if let Caller::Node(name) = caller {
        let of_caller = environment.parts.contains_key(name);
        let placement = environment.placement.as_ref();
        let given = placement.is_some_and(|placement| placement.reaches(name, service));
        if !of_caller || !given {
            return Err(not_given(&format!("service `{service}`")));
        }
    }
    let Some(name) = place else { return Ok(None) };
    let part = environment.parts.get(name).ok_or_else(|| {
        let label = environment.label();
        Problem::new(Code::NotRunning, format!("`{label}` does not run on node `{name}`"))
    })?;
    Ok(Some(Place::There(name.clone(), part.clone())))
}

/// Whether a service of an environment of this node is ready.
pub(crate) async fn is_ready_here(
    node: &Arc<Node>,
    id: &EnvironmentId,
    service: &ServiceName,
    completed: bool,
) -> bool {
    is_ready(node, &Caller::User, id, service, completed).await
}

async fn is_ready(
    node: &Arc<Node>,
    caller: &Caller,
    id: &EnvironmentId,
    service: &ServiceName,
    completed: bool,
) -> bool {
    let Ok(Some(environment)) = node.store.environment(id).await else { return false };
    match elsewhere(&environment, caller, service) {
        Err(_) => false,
        Ok(Some(Place::There(name, part))) => {
            let target = Target::Ready { environment: part, service: service.clone(), completed };
            node.remotes.is_ready(&name, &target).await
        }
        Ok(_) => {
            let containers = node.world.containers(id);
            let own: Vec<&Container> =
                containers.iter().filter(|c| c.service.as_ref() == Some(service)).collect();
            if completed {
                return !own.is_empty() && own.iter().all(|c| c.state == State::Exited(0));
            }
            let runs = own.iter().any(|c| c.runs());
            let checked = node.facts.get(id).is_some_and(|facts| {
                facts.services.get(service).is_some_and(|known| known.has_healthcheck)
            });
            // Of one that has just started, the engine may not tell its health yet.
            let well = |c: &&Container| is_well(c) && !(checked && c.health.is_none());
            runs && own.iter().filter(|c| c.runs()).all(well) && accepts(node, id, service).await
        }
    }
}

fn is_well(container: &Container) -> bool {
    container.health.is_none_or(|health| health == Health::Healthy)
}

/// Whether a service without a healthcheck takes connections at its first TCP port.
async fn accepts(node: &Node, id: &EnvironmentId, service: &ServiceName) -> bool {
    let Some(facts) = node.facts.get(id) else { return false };
    let Some(known) = facts.services.get(service) else { return false };
    let tcp = known.ports.iter().find(|p| p.protocol == dwell_core::compose::Protocol::Tcp);
    let (Some(port), false) = (tcp, known.has_healthcheck) else { return true };
    match find(node, &Caller::User, id, service, port.number).await {
        Ok(Place::Here(address)) => {
            matches!(timeout(CONNECT_LIMIT, TcpStream::connect(address)).await, Ok(Ok(_)))
        }
        _ => false,
    }
}
