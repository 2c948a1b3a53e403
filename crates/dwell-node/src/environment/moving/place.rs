//! An environment on one node, this one or another: what a move does there, the same way for both.

use std::sync::Arc;

use dwell_api::environment::{Destroy, Losses, Up};
use dwell_api::moving::{CONTENT, Volume};
use dwell_api::remote::Arrived;
use dwell_api::session::{ListSessions, Session, SessionStatus};
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::environment::Environment;
use dwell_core::{EnvironmentId, NodeName, ServiceName, VolumeName};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::super::{bring_back, losses, parts};
use crate::node::Node;
use crate::operation::Operation;
use crate::problem::OrProblem;
use crate::volumes;

/// Between the two ends of a transfer, in bytes.
const BUFFER: usize = 512 * 1024;
/// The longest answer about what was received, in bytes.
const ANSWER_MAX: u64 = 1 << 20;

/// An environment on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: NodeName,
    /// Its identity there.
    pub(crate) id: EnvironmentId,
}

impl Place {
    pub(crate) fn new(node: &NodeName, id: &EnvironmentId) -> Self {
        Self { node: node.clone(), id: id.clone() }
    }

    /// The record of one that is here.
    async fn record(&self, node: &Node) -> Result<Environment, Problem> {
        node.find(self.id.as_str(), None).await
    }

    async fn client(&self, node: &Node) -> Result<Client, Problem> {
        node.remotes.client(&self.node).await
    }

    fn path(&self, path: &str, rest: &[&str]) -> String {
        let values: Vec<&str> = std::iter::once(self.id.as_str()).chain(rest.to_vec()).collect();
        endpoint::fill(path, &values)
    }

    async fn tell(&self, node: &Node, path: &str) -> Result<(), Problem> {
        let key = format!("{path}-{}", node.now());
        let key: String = blake3::hash(key.as_bytes()).to_hex().to_string();
        let mut client = self.client(node).await?;
        client.post(path, &key, &json!({})).await.map_err(ClientError::into_problem)
    }

    /// Its named volumes.
    pub(crate) async fn volumes(&self, node: &Node) -> Result<Vec<Volume>, Problem> {
        if self.node.is_local() {
            return volumes::list(node, &self.record(node).await?).await;
        }
        let mut client = self.client(node).await?;
        let asked = client.get(&self.path(endpoint::VOLUMES, &[])).await;
        asked.map_err(ClientError::into_problem)
    }

    /// Removes a volume.
    pub(crate) async fn remove(&self, node: &Node, volume: &VolumeName) -> Result<(), Problem> {
        if self.node.is_local() {
            return volumes::remove(node, &self.record(node).await?, volume).await;
        }
        self.tell(node, &self.path(endpoint::VOLUME_REMOVE, &[volume.as_str()])).await
    }

    /// Stops a service.
    pub(crate) async fn halt(&self, node: &Node, service: &ServiceName) -> Result<(), Problem> {
        if self.node.is_local() {
            return volumes::stop_service(node, &self.record(node).await?, service).await;
        }
        self.tell(node, &self.path(endpoint::SERVICE_STOP, &[service.as_str()])).await
    }

    /// Starts a service that was stopped.
    pub(crate) async fn revive(&self, node: &Node, service: &ServiceName) -> Result<(), Problem> {
        if self.node.is_local() {
            return volumes::start_service(node, &self.record(node).await?, service).await;
        }
        self.tell(node, &self.path(endpoint::SERVICE_START, &[service.as_str()])).await
    }

    /// What destroying it would lose.
    pub(crate) async fn losses(&self, node: &Node) -> Result<Losses, Problem> {
        if self.node.is_local() {
            return losses(node, &self.record(node).await?).await;
        }
        let mut client = self.client(node).await?;
        let asked = client.get(&self.path(endpoint::LOSSES, &[])).await;
        asked.map_err(ClientError::into_problem)
    }

    /// Removes its containers; where it is here also those of its parts.
    pub(crate) async fn stop_all(&self, node: &Arc<Node>) -> Result<(), Problem> {
        if !self.node.is_local() {
            return parts::stop_one(node, &self.node, &self.id).await;
        }
        let environment = self.record(node).await?;
        let gracefully = super::super::containers::Manner::Gracefully;
        super::super::remove_containers(node, &environment, gracefully).await?;
        crate::world::look_at(node, &environment.id).await;
        for (there, id) in &environment.parts {
            parts::stop_one(node, there, id).await?;
        }
        Ok(())
    }

    /// Brings it up as it was; where it is here also its parts.
    pub(crate) async fn start_all(&self, node: &Arc<Node>) -> Result<(), Problem> {
        if !self.node.is_local() {
            return up(node, &self.node, &self.id).await;
        }
        let environment = self.record(node).await?;
        for (there, id) in &environment.parts {
            up(node, there, id).await?;
        }
        bring_back(node, &environment).await
    }

    /// Ends the sessions that run in it.
    pub(crate) async fn end_sessions(&self, node: &Arc<Node>) -> Result<(), Problem> {
        if self.node.is_local() {
            return crate::session::end_all(node, &self.id).await;
        }
        for session in self.sessions(node).await? {
            let name = session.name.as_str();
            let mut client = self.client(node).await?;
            let path = session.at(endpoint::SESSION_KILL, endpoint::WORKSPACE_SESSION_KILL);
            let key = format!("end-{}-{name}", self.id);
            let ended: Result<Session, _> = client.post(&path, &key, &json!({})).await;
            ended.map_err(ClientError::into_problem)?;
        }
        Ok(())
    }

    /// The sessions that run in it.
    pub(crate) async fn sessions(&self, node: &Node) -> Result<Vec<Session>, Problem> {
        let mut all = if self.node.is_local() {
            node.sessions(Some(self.id.as_str())).await?
        } else {
            let environment = Some(self.id.to_string());
            let query = ListSessions { environment, ..ListSessions::default() };
            let mut client = self.client(node).await?;
            let asked = client.get(&endpoint::query(endpoint::SESSIONS, &query)).await;
            asked.map_err(ClientError::into_problem)?
        };
        all.retain(|session: &Session| session.status == SessionStatus::Running);
        Ok(all)
    }

    /// Carries a volume's content to a new volume in another place.
    pub(crate) async fn carry(
        &self,
        node: &Arc<Node>,
        volume: &VolumeName,
        to: &Self,
    ) -> Result<u64, Problem> {
        let (near, far) = duplex(BUFFER);
        let (given, taken) =
            tokio::join!(self.give(node, volume, near), to.take(node, volume, far));
        match (given, taken) {
            // That one end hung up says less than why.
            (Err(given), Err(taken)) if given.code == Code::NodeUnreachable => Err(taken),
            (Err(given), _) => Err(given),
            (Ok(length), taken) => taken.map(|()| length),
        }
    }

    async fn give(
        &self,
        node: &Arc<Node>,
        volume: &VolumeName,
        mut to: DuplexStream,
    ) -> Result<u64, Problem> {
        if self.node.is_local() {
            return volumes::give(node, &self.record(node).await?, volume, &mut to).await;
        }
        let path = self.path(endpoint::VOLUME_CONTENT, &[volume.as_str()]);
        let client = self.client(node).await?;
        let stream = client.upgrade(&path, CONTENT, &()).await;
        let mut stream = stream.map_err(ClientError::into_problem)?;
        let copied = tokio::io::copy(&mut stream, &mut to).await;
        let _ = to.shutdown().await;
        copied.map_err(|error| self.cut(volume, &error))
    }

    async fn take(
        &self,
        node: &Arc<Node>,
        volume: &VolumeName,
        mut from: DuplexStream,
    ) -> Result<(), Problem> {
        if self.node.is_local() {
            return volumes::take(node, &self.record(node).await?, volume, from).await;
        }
        let path = self.path(endpoint::VOLUME, &[volume.as_str()]);
        let client = self.client(node).await?;
        let stream = client.upgrade(&path, CONTENT, &()).await;
        let (mut read, mut write) = tokio::io::split(stream.map_err(ClientError::into_problem)?);
        let sending = async {
            tokio::io::copy(&mut from, &mut write).await?;
            write.shutdown().await
        };
        let answer = async {
            let mut text = Vec::new();
            (&mut read).take(ANSWER_MAX).read_to_end(&mut text).await.map(|_| text)
        };
        tokio::pin!(answer, sending);
        // A side that refuses may not read to the end.
        let (sent, text) = tokio::select! {
            text = &mut answer => (Ok(()), text),
            sent = &mut sending => (sent, answer.await),
        };
        let text = text.map_err(|error| self.cut(volume, &error))?;
        match serde_json::from_slice::<Arrived>(&text) {
            Ok(Arrived::Whole(_)) => Ok(()),
            Ok(Arrived::Failed(problem)) => Err(problem),
            Err(_) => {
                sent.map_err(|error| self.cut(volume, &error))?;
                Err(self.cut(volume, &std::io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }

    fn cut(&self, volume: &VolumeName, error: &std::io::Error) -> Problem {
        let there = &self.node;
        let message =
            format!("volume `{volume}` was cut off on its way by node `{there}`: {error}");
        Problem::new(Code::NodeUnreachable, message)
    }
}

/// Brings an environment of another node up as that node has it.
async fn up(node: &Arc<Node>, there: &NodeName, id: &EnvironmentId) -> Result<(), Problem> {
    let key = format!("again-{id}-{}", node.now());
    let path = endpoint::fill(endpoint::UP, &[id.as_str()]);
    let mut client = node.remotes.client(there).await?;
    let ended = match client.operate(&path, &key, &Up::default()).await {
        Ok(mut lines) => lines.outcome(|_| {}).await.map(drop),
        Err(error) => Err(error),
    };
    ended.map_err(ClientError::into_problem)
}

/// Destroys an environment of another node that lives on elsewhere; where its node is away, as
/// soon as it is back.
pub(crate) async fn farewell(
    node: &Arc<Node>,
    operation: &Operation,
    there: &NodeName,
    id: &EnvironmentId,
) -> Result<(), Problem> {
    node.store.add_farewell(there, id).await.or_problem()?;
    node.remotes.hide(id);
    if let Err(problem) = parts::destroy(node, there, id).await {
        operation.note(format!("{problem}; what is on `{there}` is removed as soon as it is back"));
    }
    if let Err(problem) = node.remotes.look(node, there).await {
        tracing::debug!(%problem, node = %there, "it is not shown yet");
    }
    Ok(())
}

/// How what moved away is destroyed: nothing is asked, and it does not know that it ends.
pub(crate) fn quietly() -> Destroy {
    Destroy { keep_workspace: false, force: true, moved: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_the_environment_as_its_node_knows_it() {
        let id = EnvironmentId::from_random([7; 8]);
        let place = Place::new(&"one".parse().unwrap(), &id);
        let path = place.path(endpoint::VOLUME, &["pg.data"]);
        assert_eq!(path, format!("/v1/environments/{id}/volumes/pg.data"));
    }
}
