//! The names of what runs on another node, followed from end to end: from dwell's own DNS to the
//! address here that stands for the service, and through the link to the service.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use dwell_api::environment::Service;
use dwell_api::node::Finding;
use dwell_api::remote::Target;
use dwell_core::compose::{Port, Protocol};
use dwell_core::{EnvironmentId, NodeName, ServiceName};
use dwell_net::dns::{RecordType, query};
use dwell_net::forward::Listen;
use futures_util::future::join_all;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::node::Node;
use crate::remote::RAISED;

/// What the system says of a code that means a name is not one owner's.
const REFUSED: u16 = 5;

/// A service on another node, as it is found here.
struct Way {
    environment: EnvironmentId,
    service: ServiceName,
    address: Ipv4Addr,
    /// Its first TCP port.
    port: Option<u16>,
    names: Vec<String>,
}

/// Follows every name of what runs on a node. Until `limit`, what was not heard of is told so.
pub(super) async fn examine(node: &Node, there: &NodeName, limit: Instant) -> Vec<Finding> {
    let Some(server) = node.listeners.dns() else { return Vec::new() };
    let ways = ways(node, there).await;
    let followed = ways.iter().map(|way| async move {
        let late = || Err("no answer in time".to_owned());
        let reached = timeout_at(limit, reach(node, there, way));
        let asked = join_all(way.names.iter().map(|name| ask(server, name, way, limit)));
        let (reached, asked) = tokio::join!(reached, asked);
        let reached = reached.unwrap_or_else(|_| late());
        way.names.iter().zip(asked).map(|(name, asked)| told(name, way, asked, &reached)).collect()
    });
    let found: Vec<Vec<Finding>> = join_all(followed).await;
    found.into_iter().flatten().collect()
}

/// The services on a node that have names here: of environments that have their home there, and of
/// this node's own.
async fn ways(node: &Node, there: &NodeName) -> Vec<Way> {
    let addresses = node.remotes.addresses(there);
    let mut shown = node.remotes.services_on(there, &node.id);
    for environment in node.store.environments().await.unwrap_or_default() {
        let Some(part) = environment.parts.get(there) else { continue };
        let seen = node.see(&environment).await;
        shown.push((part.clone(), seen.services));
    }
    let on_it = |service: &Service| service.node.as_ref() == Some(there);
    shown
        .into_iter()
        .flat_map(|(environment, services)| {
            let own = services.into_iter().filter(on_it).map(move |own| (environment.clone(), own));
            own.collect::<Vec<_>>()
        })
        .filter_map(|(environment, service)| {
            let address = *addresses.get(&(environment.clone(), service.name.clone()))?;
            let mut ports = service.ports.iter().filter_map(|text| Port::read(text));
            let port = ports.find(|port| port.protocol == Protocol::Tcp).map(|port| port.number);
            let (names, service) = (service.names, service.name);
            Some(Way { environment, service, address, port, names })
        })
        .collect()
}

/// Connects as a program here would, and dials what that leads to. Gives the port at which it was
/// reached.
async fn reach(node: &Node, there: &NodeName, way: &Way) -> Result<Option<u16>, String> {
    let Some(port) = way.port else { return Ok(None) };
    let at = |port| SocketAddr::new(IpAddr::V4(way.address), port);
    let listens = |port| node.remotes.forwards.listens(&Listen::Tcp(at(port)));
    let raised = port.checked_add(RAISED).filter(|raised| !listens(port) && listens(*raised));
    let here = at(raised.unwrap_or(port));
    match TcpStream::connect(here).await {
        Ok(_) => {}
        // It listens, and was refused at the other end before this was told: that is asked next.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => {
            // Why the daemon could not listen; nothing where it could now.
            let why = TcpListener::bind(here).await.err().map(|why| format!(": {why}"));
            return Err(format!("{here}: {error}{}", why.unwrap_or_default()));
        }
    }
    let target = Target::Service {
        environment: way.environment.clone(),
        service: way.service.clone(),
        port,
        datagrams: false,
    };
    let dialled = node.remotes.dial(there, &target).await;
    dialled.map(|_| Some(here.port())).map_err(|problem| problem.message)
}

/// Whether dwell's DNS answers a name with the service's address; otherwise what it says, and
/// whether that is as it should be.
async fn ask(
    server: SocketAddr,
    name: &str,
    way: &Way,
    limit: Instant,
) -> Result<(), (bool, String)> {
    let left = limit.saturating_duration_since(Instant::now());
    match query(server, name, RecordType::A, left).await {
        Ok(answer) if answer.addresses == [IpAddr::V4(way.address)] => Ok(()),
        Ok(answer) => {
            let why = answer.error.clone().map(|why| format!(" ({why})")).unwrap_or_default();
            let code = if answer.addresses.is_empty() { answer.code() } else { "another address" };
            Err((answer.rcode == REFUSED, format!("dwell's DNS answers {code}{why}")))
        }
        Err(error) => Err((false, error.to_string())),
    }
}

fn told(
    name: &str,
    way: &Way,
    asked: Result<(), (bool, String)>,
    reached: &Result<Option<u16>, String>,
) -> Finding {
    let fix = "`dwell doctor --fix` publishes names and listens anew; `dwell status` tells whether the service is well";
    let (ok, detail) = match (asked, reached) {
        (Err((ok, why)), _) => (ok, why),
        (Ok(()), Err(why)) => (false, why.clone()),
        (Ok(()), Ok(None)) => (true, format!("{}, without a TCP port", way.address)),
        (Ok(()), Ok(Some(port))) => (true, format!("{}:{port} and there", way.address)),
    };
    Finding { what: name.to_owned(), ok, detail, fix: (!ok).then(|| fix.to_owned()) }
}
