//! How other nodes are shown: to people, and to the doctor.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use dwell_api::Problem;
use dwell_api::environment::Service;
use dwell_api::remote::{Hello, LinkState, RemoteNode};
use dwell_core::compose::Port;
use dwell_core::ports::PRIVILEGED;
use dwell_core::{EnvironmentId, NodeId, NodeName};
use dwell_net::carrier::{LinkError, State};

use super::follow::republish;
use super::publish::Addresses;
use super::{Peer, Remotes, connect, mirror};
use crate::node::Node;

impl Peer {
    /// Ends when no first attempt to make the link is under way.
    pub(crate) async fn tried(&self) {
        let mut state = self.carrier.state();
        // The carrier lives as long as `self`.
        let _ = state.wait_for(|state| !matches!(state, State::Connecting { .. })).await;
    }
}

impl Remotes {
    /// A node as it is shown to people.
    pub(crate) fn show(&self, peer: &Peer) -> RemoteNode {
        let last = peer.mirror.last();
        let (link, hello) = link(peer);
        RemoteNode {
            remote: peer.remote.clone(),
            link,
            hello,
            environments: last
                .as_ref()
                .map_or(0, |last| u32::try_from(last.seen.environments.len()).unwrap_or(u32::MAX)),
            seen: last.map(|last| last.at),
            notes: peer.notes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// All nodes as they are shown to people.
    pub(crate) fn show_all(&self) -> Vec<RemoteNode> {
        self.all().iter().map(|peer| self.show(peer)).collect()
    }

    /// The addresses here of the services on a node.
    pub(crate) fn addresses(&self, name: &NodeName) -> Addresses {
        self.peer(name).map(|peer| peer.addresses()).unwrap_or_default()
    }

    /// The services of the environments that have their home on a node, as they were seen last.
    pub(crate) fn services_on(
        &self,
        name: &NodeName,
        own: &NodeId,
    ) -> Vec<(EnvironmentId, Vec<Service>)> {
        let Ok(peer) = self.peer(name) else { return Vec::new() };
        let seen = peer.mirror.last().map(|last| last.seen.environments).unwrap_or_default();
        let addresses = peer.addresses();
        seen.into_iter()
            .filter(|seen| seen.origin.as_ref().is_none_or(|origin| origin.part_of.is_none()))
            .map(|seen| {
                let shown = mirror::shown(seen, name, own, &addresses, None);
                (shown.id, shown.services)
            })
            .collect()
    }

    /// The ports below 1024 of services on other nodes.
    pub(crate) fn privileged_ports(&self) -> BTreeSet<u16> {
        let seen = self.all().into_iter().filter_map(|peer| peer.mirror.last());
        let services =
            seen.flat_map(|last| last.seen.environments).flat_map(|seen| seen.environment.services);
        services
            .flat_map(|service| service.ports)
            .filter_map(|text| Some(Port::read(&text)?.number).filter(|port| *port < PRIVILEGED))
            .collect()
    }

    /// Publishes anew what a node shows now; where it cannot be reached, what it showed last.
    pub(crate) async fn publish_again(
        &self,
        node: &Arc<Node>,
        name: &NodeName,
    ) -> Result<(), Problem> {
        let looked = self.look(node, name).await;
        if looked.is_err() {
            republish(node, &self.peer(name)?).await;
        }
        looked
    }
}

fn link(peer: &Peer) -> (LinkState, Option<Hello>) {
    let state = peer.carrier.state().borrow().clone();
    match state {
        State::Connecting { .. } => (LinkState::Connecting, None),
        State::Up { since, via, latency, hello, better } => {
            let latency = peer.carrier.latency().unwrap_or(latency);
            let ago = i64::try_from(since.elapsed().as_micros()).unwrap_or_default();
            let link = LinkState::Up {
                via: via.to_owned(),
                since: crate::node::now() - ago,
                latency: u64::try_from(latency.as_micros()).unwrap_or(u64::MAX),
                better: better.filter(|_| peer.way.is_in_sight()).map(|failure| {
                    // What came before says more than what is tried again.
                    let why = peer.way.why().map(|why| format!("{}: {why}", failure.via));
                    why.unwrap_or_else(|| failure.to_string())
                }),
            };
            (link, serde_json::from_slice(&hello).ok())
        }
        State::Down { why, .. } => {
            let fix = connect::fix(&peer.remote.name, &why.error);
            let hello = match &why.error {
                LinkError::Version { hello, .. } => serde_json::from_slice(hello).ok(),
                _ => None,
            };
            (LinkState::Down { why: why.to_string(), fix }, hello)
        }
    }
}
