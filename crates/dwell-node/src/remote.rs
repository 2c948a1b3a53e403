//! Other nodes: the links to those that the user registered, what is dialled over them and by
//! them, what they show, and the names of what runs there.

mod acquaint;
mod answer;
pub(crate) mod bridge;
mod connect;
mod follow;
mod mirror;
mod publish;
mod register;
mod show;
pub(crate) mod standin;
mod whole;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use dwell_api::environment::Environment;
use dwell_api::remote::{Pong, READY, Seen, SeenEnvironment, Target};
use dwell_api::session::Session;
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::remote::Remote;
use dwell_core::{EnvironmentId, NodeId, NodeName, ProjectName, ServiceName};
use dwell_net::carrier::{Carrier, DialError, State};
use dwell_net::forward::{Dial, Forwards};
use dwell_net::mux::{Mux, Refusal, Stream};
use futures_util::future::{BoxFuture, join_all};
use tokio::io::AsyncReadExt;

use crate::node::Node;

pub(crate) use bridge::listen;
pub(crate) use publish::{RAISED, port};
pub(crate) use register::{add, open, remove};
pub(crate) use whole::{follow, of_ours, sync, up};

use follow::republish;
use mirror::Mirror;

/// How long a link may take to come up for a ping.
const PING_LIMIT: Duration = Duration::from_secs(35);
/// How long a listing waits for a node.
const LIST_LIMIT: Duration = Duration::from_secs(2);
/// How long the other end of a dialled stream may take to say that it is there.
const ACCEPT_LIMIT: Duration = Duration::from_secs(5);

/// Whether names in the table are of what runs on another node.
pub(crate) fn owns(owner: &str) -> bool {
    owner.starts_with("remote:")
}

/// The owner of an environment's names, in the table.
fn owner(environment: &EnvironmentId) -> String {
    format!("remote:{environment}")
}

/// A registered node.
pub(crate) struct Peer {
    pub(crate) remote: Remote,
    carrier: Carrier,
    mirror: Mirror,
    /// The way over a mesh.
    way: Arc<acquaint::Way>,
    /// The owners of names that were published for it.
    published: Mutex<HashSet<String>>,
    /// The addresses here of the services there.
    addresses: Mutex<publish::Addresses>,
    /// What people should know about its names and addresses.
    notes: Mutex<Vec<String>>,
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

impl Peer {
    /// Why it cannot be reached; `None` while it can.
    pub(crate) fn down(&self) -> Option<String> {
        match &*self.carrier.state().borrow() {
            State::Up { .. } => None,
            State::Connecting { .. } => Some("the link is being made".to_owned()),
            State::Down { why, .. } => Some(why.to_string()),
        }
    }

    /// Measures a round trip, making the link first where it is down.
    pub(crate) async fn ping(&self) -> Result<Pong, Problem> {
        let via = match tokio::time::timeout(PING_LIMIT, self.link_up()).await {
            Ok(result) => result?,
            Err(_) => return Err(self.unreachable("no link came up in time", None)),
        };
        self.way.wake();
        let begun = std::time::Instant::now();
        let stream = self.dial(publish::head(&Target::Api)).await?;
        let mut client = Client::connect(stream).await.map_err(ClientError::into_problem)?;
        let asked = client.get::<dwell_api::node::Node>(endpoint::NODE);
        match tokio::time::timeout(ACCEPT_LIMIT, asked).await {
            Ok(answer) => drop(answer.map_err(ClientError::into_problem)?),
            Err(_) => return Err(self.unreachable("its daemon did not answer in time", None)),
        }
        let round_trip = self.carrier.latency().unwrap_or_else(|| begun.elapsed());
        let round_trip = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        Ok(Pong { via: via.to_owned(), round_trip })
    }

    /// Waits until there is a link, trying at once where there is none; gives what carries it.
    async fn link_up(&self) -> Result<&'static str, Problem> {
        let mut state = self.carrier.state();
        self.carrier.wake();
        loop {
            if let State::Up { via, .. } = &*state.borrow_and_update() {
                return Ok(via);
            }
            // What was so before the attempt says nothing about it.
            if state.changed().await.is_err() {
                return Err(self.unreachable("it is not registered any more", None));
            }
            if let State::Down { why, retry_at: Some(_), .. } = &*state.borrow() {
                let fix = connect::fix(&self.remote.name, &why.error);
                return Err(self.unreachable(&why.to_string(), fix));
            }
        }
    }

    fn unreachable(&self, why: &str, fix: Option<String>) -> Problem {
        let name = &self.remote.name;
        Problem::new(Code::NodeUnreachable, format!("node `{name}` cannot be reached: {why}"))
            .hint(fix.unwrap_or_else(|| format!("`dwell remote ping {name}` tries it now")))
    }

    fn addresses(&self) -> publish::Addresses {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn published(&self) -> HashSet<String> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_published(&self, owners: HashSet<String>) {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = owners;
    }

    /// Ends what is done for it; its link ends with the last that holds it.
    fn end(&self) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.drain(..).for_each(|task| task.abort());
    }

    async fn dial(&self, head: Bytes) -> Result<Stream, Problem> {
        let unreachable = |why: String| self.unreachable(&why, None);
        let stream = self.carrier.dial(head).await.map_err(|error| match &error {
            DialError::Down(failure) => {
                let fix = connect::fix(&self.remote.name, &failure.error);
                self.unreachable(&failure.to_string(), fix)
            }
            other => unreachable(other.to_string()),
        })?;
        match tokio::time::timeout(ACCEPT_LIMIT, stream.accepted()).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(refusal)) => {
                Err(refused(&refusal).unwrap_or_else(|| unreachable(refusal.to_string())))
            }
            Err(_) => Err(unreachable("it did not answer in time".to_owned())),
        }
    }
}

/// The problem that the other side gave for its refusal.
fn refused(refusal: &Refusal) -> Option<Problem> {
    match refusal {
        Refusal::Refused { reason } => serde_json::from_slice(reason).ok(),
        _ => None,
    }
}

/// Dials a registered node for as long as it is registered.
struct Dialer(Weak<Peer>);

impl Dial for Dialer {
    fn dial(&self, head: Bytes) -> BoxFuture<'static, io::Result<Stream>> {
        let peer = self.0.upgrade();
        Box::pin(async move {
            let peer = peer.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            peer.dial(head).await.map_err(io::Error::other)
        })
    }
}

/// All that this node has to do with others.
#[derive(Default)]
pub(crate) struct Remotes {
    peers: RwLock<BTreeMap<NodeName, Arc<Peer>>>,
    /// The links that other nodes made to this one, the newest of each.
    inbound: Mutex<HashMap<NodeId, Mux>>,
    pub(crate) forwards: Forwards,
}

impl Remotes {
    fn all(&self) -> Vec<Arc<Peer>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether no node is registered.
    pub(crate) fn is_empty(&self) -> bool {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The names of all registered nodes.
    pub(crate) fn names(&self) -> Vec<NodeName> {
        self.all().iter().map(|peer| peer.remote.name.clone()).collect()
    }

    /// The nodes whose link is up.
    pub(crate) fn reachable(&self) -> Vec<NodeName> {
        let up = self.all().into_iter().filter(|peer| peer.down().is_none());
        up.map(|peer| peer.remote.name.clone()).collect()
    }

    /// A registered node.
    pub(crate) fn peer(&self, name: &NodeName) -> Result<Arc<Peer>, Problem> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.get(name).cloned().ok_or_else(|| {
            Problem::new(Code::NotFound, format!("no node `{name}` is registered"))
                .hint("`dwell remote ls` lists them; `dwell remote add` registers one")
                .details(peers.keys().map(ToString::to_string))
        })
    }

    /// A byte stream to something on a node.
    pub(crate) async fn dial(&self, name: &NodeName, target: &Target) -> Result<Stream, Problem> {
        self.peer(name)?.dial(publish::head(target)).await
    }

    /// A byte stream to something on the node that made a link to this one.
    pub(crate) async fn dial_back(&self, id: &NodeId, head: Bytes) -> Result<Stream, Problem> {
        let gone = |why: String| {
            Problem::new(Code::NodeUnreachable, format!("the environment's home is away: {why}"))
        };
        let mux = {
            let inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
            inbound.get(id).cloned()
        };
        let mux = mux.ok_or_else(|| gone("it has no link here".to_owned()))?;
        let stream = mux.open(head).map_err(|e| gone(e.to_string()))?;
        match tokio::time::timeout(ACCEPT_LIMIT, stream.accepted()).await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(refusal)) => Err(gone(refusal.to_string())),
            Err(_) => Err(gone("it did not answer in time".to_owned())),
        }
    }

    /// Whether a service on a node is ready.
    pub(crate) async fn is_ready(&self, name: &NodeName, target: &Target) -> bool {
        let asked = async {
            let mut said = Vec::new();
            let stream = self.dial(name, target).await.ok()?;
            stream.take(64).read_to_end(&mut said).await.ok()?;
            Some(said == READY)
        };
        tokio::time::timeout(ACCEPT_LIMIT, asked).await.ok().flatten().unwrap_or(false)
    }

    /// A client of a node's API.
    pub(crate) async fn client(&self, name: &NodeName) -> Result<Client, Problem> {
        let stream = self.dial(name, &Target::Api).await?;
        Client::connect(stream).await.map_err(ClientError::into_problem)
    }

    /// The environment of another node that a name or identity means, where it is the only one.
    pub(crate) fn find(
        &self,
        name: &str,
        project: Option<&ProjectName>,
    ) -> Option<(NodeName, EnvironmentId)> {
        let mut found = Vec::new();
        for peer in self.all() {
            for seen in peer.mirror.last().into_iter().flat_map(|last| last.seen.environments) {
                let environment = &seen.environment;
                if environment.id.as_str() == name {
                    return Some((peer.remote.name.clone(), environment.id.clone()));
                }
                let (of, word) = match name.split_once('/') {
                    Some((of, word)) => (Some(of), word),
                    None => (project.map(ProjectName::as_str), name),
                };
                let fits = environment.name.as_str() == word
                    && of.is_none_or(|of| environment.project.as_str() == of)
                    && seen.origin.as_ref().is_none_or(|origin| origin.part_of.is_none());
                if fits {
                    found.push((peer.remote.name.clone(), environment.id.clone()));
                }
            }
        }
        if found.len() == 1 { found.pop() } else { None }
    }

    /// An environment of a node as it was seen last.
    pub(crate) fn shown(
        &self,
        name: &NodeName,
        id: &EnvironmentId,
        own: &NodeId,
    ) -> Option<Environment> {
        let peer = self.peer(name).ok()?;
        let last = peer.mirror.last()?;
        let unreachable = Some(last.at);
        let seen = last.seen.environments.into_iter().find(|seen| seen.environment.id == *id)?;
        Some(mirror::shown(seen, name, own, &peer.addresses(), unreachable))
    }

    /// An environment that a node just showed.
    pub(crate) fn shown_now(
        &self,
        name: &NodeName,
        own: &NodeId,
        environment: Environment,
    ) -> Environment {
        let peer = self.peer(name).ok();
        let addresses = peer.as_ref().map(|peer| peer.addresses()).unwrap_or_default();
        let seen = peer.and_then(|peer| peer.mirror.environment(&environment.id));
        let origin = seen.and_then(|seen| seen.origin);
        let seen = dwell_api::remote::SeenEnvironment { environment, names: Vec::new(), origin };
        mirror::shown(seen, name, own, &addresses, None)
    }

    /// Everything on other nodes: as they show it now, or as they showed it last where they do
    /// not answer within two seconds. Parts of this node's environments are left out.
    pub(crate) async fn list(&self, node: &Arc<Node>) -> (Vec<Environment>, Vec<Session>) {
        let own = &node.id;
        let all = self.all();
        let answers = all.iter().map(|peer| async move {
            let fresh = tokio::time::timeout(LIST_LIMIT, self.look(node, &peer.remote.name)).await;
            (peer, fresh.is_ok_and(|looked| looked.is_ok()))
        });
        let (mut environments, mut sessions) = (Vec::new(), Vec::new());
        for (peer, fresh) in join_all(answers).await {
            let Some(last) = peer.mirror.last() else { continue };
            let name = &peer.remote.name;
            let addresses = peer.addresses();
            let unreachable = (!fresh).then_some(last.at);
            for seen in last.seen.environments {
                let of_ours = |origin: &dwell_core::environment::Origin| {
                    origin.node == *own && origin.part_of.is_some()
                };
                if !seen.origin.as_ref().is_some_and(of_ours) {
                    environments.push(mirror::shown(seen, name, own, &addresses, unreachable));
                }
            }
            let shown = last.seen.sessions.into_iter();
            sessions.extend(shown.map(|session| mirror::shown_session(session, name)));
        }
        (environments, sessions)
    }

    /// The part on a node of an environment of this node, as it was seen last.
    pub(crate) fn part_on(&self, name: &NodeName, home: &EnvironmentId) -> Option<Environment> {
        let last = self.peer(name).ok()?.mirror.last()?;
        let is_part = |seen: &dwell_api::remote::SeenEnvironment| {
            seen.origin.as_ref().is_some_and(|origin| origin.part_of.as_ref() == Some(home))
        };
        Some(last.seen.environments.into_iter().find(is_part)?.environment)
    }

    /// An environment of a node with where it came from, as it was seen last.
    pub(crate) fn seen(&self, name: &NodeName, id: &EnvironmentId) -> Option<SeenEnvironment> {
        self.peer(name).ok()?.mirror.environment(id)
    }

    /// Whether an environment was last seen running, or wanted so, on a node.
    pub(crate) fn runs(&self, name: &NodeName, id: &EnvironmentId) -> bool {
        let seen = self.peer(name).ok().and_then(|peer| peer.mirror.environment(id));
        seen.is_some_and(|seen| {
            seen.environment.desired == dwell_api::environment::Desired::Running
        })
    }

    /// What an environment was last seen to be on a node, and whether that can be reached now.
    pub(crate) fn last(&self, name: &NodeName, id: &EnvironmentId) -> (Option<Environment>, bool) {
        match self.peer(name) {
            Ok(peer) => {
                let seen = peer.mirror.environment(id).map(|seen| seen.environment);
                (seen, peer.down().is_none())
            }
            Err(_) => (None, false),
        }
    }

    /// The address here that stands for a service on a node, and whether it can be reached now.
    pub(crate) fn address(
        &self,
        name: &NodeName,
        id: &EnvironmentId,
        service: &ServiceName,
    ) -> Option<Ipv4Addr> {
        let peer = self.peer(name).ok()?;
        let addresses = peer.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(&(id.clone(), service.clone())).copied()
    }

    /// Whether a service was last seen running on a node.
    pub(crate) fn serves(
        &self,
        name: &NodeName,
        id: &EnvironmentId,
        service: &ServiceName,
    ) -> bool {
        let (seen, _) = self.last(name, id);
        let services = seen.map(|environment| environment.services).unwrap_or_default();
        services.iter().any(|seen| seen.name == *service && seen.replicas.0 > 0)
    }

    /// Why a node cannot be reached; `None` while it can.
    pub(crate) fn down(&self, name: &NodeName) -> Option<String> {
        match self.peer(name) {
            Ok(peer) => peer.down(),
            Err(problem) => Some(problem.message),
        }
    }

    /// Looks at a node now, remembers what it shows and publishes it.
    pub(crate) async fn look(&self, node: &Arc<Node>, name: &NodeName) -> Result<(), Problem> {
        let peer = self.peer(name)?;
        if peer.down().is_some() {
            return Err(Problem::new(Code::NodeUnreachable, "its link is down"));
        }
        let mut client = self.client(name).await?;
        let mut lines = client.lines(endpoint::WATCH).await.map_err(ClientError::into_problem)?;
        match lines.next::<Seen>().await.map_err(ClientError::into_problem)? {
            Some(seen) => {
                peer.mirror.put(seen, crate::node::now());
                republish(node, &peer).await;
            }
            None => return Err(Problem::new(Code::NodeUnreachable, "it showed nothing")),
        }
        Ok(())
    }

    /// Remembers a link that another node made to this one.
    fn linked(&self, id: &NodeId, mux: &Mux) {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        inbound.insert(id.clone(), mux.clone());
    }

    /// Forgets a link that ended, unless a newer one is there.
    fn unlinked(&self, id: &NodeId) {
        let mut inbound = self.inbound.lock().unwrap_or_else(PoisonError::into_inner);
        if inbound.get(id).is_some_and(Mux::is_closed) {
            inbound.remove(id);
        }
    }
}
