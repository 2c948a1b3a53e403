//! Other nodes: the links to those that the user registered, what is dialled over them and by
//! them, what they show, and the names of what runs there.

mod acquaint;
mod answer;
pub(crate) mod bridge;
mod connect;
mod find;
mod follow;
pub(crate) mod mirror;
mod peer;
mod publish;
mod register;
mod show;
pub(crate) mod standin;
mod whole;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use dwell_api::environment::Environment;
use dwell_api::remote::{READY, Seen, SeenEnvironment, Target};
use dwell_api::session::Session;
use dwell_api::workspace::Workspace;
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::{EnvironmentId, NodeId, NodeName, ServiceName};
use dwell_net::forward::Forwards;
use dwell_net::mux::{Mux, Stream};
use futures_util::future::join_all;
use tokio::io::AsyncReadExt;

use crate::environment::Readings;
use crate::forward;
use crate::node::Node;
use crate::problem::OrProblem;

pub(crate) use answer::{is_ready_here, reach};
pub(crate) use bridge::listen;
pub(crate) use peer::Peer;
pub(crate) use publish::RAISED;
pub(crate) use register::{add, open, remove};
pub(crate) use whole::{Far, delivery_of, follow, of_ours, sync, up};

use follow::republish;
use peer::{ACCEPT_LIMIT, Dialer};

/// How long a listing waits for a node.
const LIST_LIMIT: Duration = Duration::from_secs(2);

/// Whether names in the table are of what runs on another node.
pub(crate) fn owns(owner: &str) -> bool {
    owner.starts_with("remote:")
}

/// The owner of an environment's names, in the table.
fn owner(environment: &EnvironmentId) -> String {
    format!("remote:{environment}")
}

/// All that this node has to do with others.
#[derive(Default)]
pub(crate) struct Remotes {
    peers: RwLock<BTreeMap<NodeName, Arc<Peer>>>,
    /// The links that other nodes made to this one, the newest of each.
    inbound: Mutex<HashMap<NodeId, Mux>>,
    pub(crate) forwards: Forwards,
    /// Models of projects, as they were read last to be sent.
    readings: Readings,
    /// One for each source tree, held by who looks at what is to be sent of it.
    sources: Mutex<HashMap<PathBuf, Weak<tokio::sync::Mutex<()>>>>,
    /// Environments of other nodes that are not shown: those that are still moving there, and
    /// those that are to be destroyed there.
    hidden: RwLock<HashSet<EnvironmentId>>,
}

/// What other nodes show.
#[derive(Default)]
pub(crate) struct Elsewhere {
    pub(crate) environments: Vec<Environment>,
    pub(crate) sessions: Vec<Session>,
    /// Also those whose homes are kept.
    pub(crate) workspaces: Vec<Workspace>,
}

impl Remotes {
    fn all(&self) -> Vec<Arc<Peer>> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The lock of a source tree.
    pub(crate) fn looking_at(&self, source: &Path) -> Arc<tokio::sync::Mutex<()>> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = sources.get(source).and_then(Weak::upgrade) {
            return held;
        }
        sources.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::default();
        sources.insert(source.to_owned(), Arc::downgrade(&lock));
        lock
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
    pub(crate) async fn list(&self, node: &Arc<Node>) -> Elsewhere {
        let own = &node.id;
        let all = self.all();
        let answers = all.iter().map(|peer| async move {
            let fresh = tokio::time::timeout(LIST_LIMIT, self.look(node, &peer.remote.name)).await;
            (peer, fresh.is_ok_and(|looked| looked.is_ok()))
        });
        let mut all_seen = Elsewhere::default();
        for (peer, fresh) in join_all(answers).await {
            let Some(last) = peer.mirror.last() else { continue };
            let name = &peer.remote.name;
            let addresses = peer.addresses();
            let unreachable = (!fresh).then_some(last.at);
            for seen in last.seen.environments {
                if !self.shows(&seen.environment.id) {
                    continue;
                }
                let of_ours = |origin: &dwell_core::environment::Origin| {
                    origin.node == *own && origin.part_of.is_some()
                };
                if !seen.origin.as_ref().is_some_and(of_ours) {
                    let shown = mirror::shown(seen, name, own, &addresses, unreachable);
                    all_seen.environments.push(shown);
                }
            }
            let shown = last.seen.sessions.into_iter();
            let shown = shown
                .filter(|session| session.environment.as_ref().is_none_or(|id| self.shows(id)));
            all_seen.sessions.extend(shown.map(|session| mirror::shown_session(session, name)));
            let workspaces = last.seen.workspaces.into_iter();
            all_seen
                .workspaces
                .extend(workspaces.map(|it| mirror::shown_workspace(it, name, unreachable)));
        }
        all_seen
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

    /// Has an environment of a node that cannot be reached removed as soon as it can, and shows it
    /// no more.
    pub(crate) async fn give_up(
        &self,
        node: &Arc<Node>,
        name: &NodeName,
        id: &EnvironmentId,
    ) -> Result<(), Problem> {
        let peer = self.peer(name)?;
        node.store.add_farewell(name, id).await.or_problem()?;
        peer.mirror.leave_out(id);
        forward::let_go(node, id.as_str()).await?;
        republish(node, &peer).await;
        Ok(())
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
                follow::take(node, &peer, seen).await;
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
