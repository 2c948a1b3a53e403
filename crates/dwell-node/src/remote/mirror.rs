//! What other nodes showed last: kept while they cannot be reached, also over a restart, and
//! shown as what it is, the last that was seen.

use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use dwell_api::environment::{Environment, Status};
use dwell_api::remote::{Seen, SeenEnvironment};
use dwell_api::session::Session;
use dwell_api::workspace::Workspace;
use dwell_core::workspace::Status as WorkspaceStatus;
use dwell_core::{EnvironmentId, NodeId, NodeName};
use serde::{Deserialize, Serialize};

use super::publish::Addresses;
use crate::facts::write;

/// What one node showed, and when.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Last {
    /// What it showed.
    pub(crate) seen: Seen,
    /// When, in microseconds since the Unix epoch.
    pub(crate) at: i64,
}

/// The memory of one node.
pub(crate) struct Mirror {
    file: PathBuf,
    last: RwLock<Option<Last>>,
}

impl Mirror {
    /// A node's memory, read from the last life of the daemon.
    pub(crate) fn open(file: PathBuf) -> Self {
        let last = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { file, last: RwLock::new(last) }
    }

    /// Remembers what the node shows now.
    pub(crate) fn put(&self, seen: Seen, at: i64) {
        let last = Last { seen, at };
        let text = serde_json::to_vec(&last).unwrap_or_default();
        if let Err(problem) = write(&self.file, &text) {
            tracing::debug!(%problem, "what a node shows was not kept");
        }
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = Some(last);
    }

    /// Forgets one environment, until the node shows it again.
    pub(crate) fn leave_out(&self, id: &EnvironmentId) {
        let Some(Last { mut seen, at }) = self.last() else { return };
        seen.environments.retain(|seen| seen.environment.id != *id);
        seen.sessions.retain(|session| session.environment.as_ref() != Some(id));
        self.put(seen, at);
    }

    /// What the node showed last.
    pub(crate) fn last(&self) -> Option<Last> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One environment as it was shown last.
    pub(crate) fn environment(&self, id: &EnvironmentId) -> Option<SeenEnvironment> {
        let last = self.last.read().unwrap_or_else(PoisonError::into_inner);
        let all = &last.as_ref()?.seen.environments;
        all.iter().find(|seen| seen.environment.id == *id).cloned()
    }

    /// Forgets everything.
    pub(crate) fn forget(&self) {
        // Without the file the next start knows nothing, which is what is meant.
        let _ = std::fs::remove_file(&self.file);
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The file that a node's memory is kept in.
pub(crate) fn file(state: &Path, name: &NodeName) -> PathBuf {
    state.join("remotes").join(format!("{name}.json"))
}

/// An environment of another node as it is shown here.
pub(crate) fn shown(
    mut seen: SeenEnvironment,
    name: &NodeName,
    own: &NodeId,
    addresses: &Addresses,
    unreachable: Option<i64>,
) -> Environment {
    let environment = &mut seen.environment;
    environment.node = Some(name.clone());
    if let Some(origin) = seen.origin.as_ref().filter(|origin| origin.node == *own) {
        environment.source.clone_from(&origin.source);
    }
    for service in &mut environment.services {
        service.node = Some(name.clone());
        // Its address there is none here.
        let address = addresses.get(&(environment.id.clone(), service.name.clone()));
        service.addresses = address.iter().map(ToString::to_string).collect();
    }
    if let Some(at) = unreachable {
        unknown(environment, at);
    }
    seen.environment
}

fn unknown(environment: &mut Environment, at: i64) {
    let was = environment.status.as_str();
    environment.notes.insert(0, format!("its node cannot be reached; last seen it was {was}"));
    environment.status = Status::Unknown;
    environment.seen = Some(at);
    for service in &mut environment.services {
        service.state = "unknown".to_owned();
        service.health = None;
    }
}

/// A session of another node as it is shown here.
pub(crate) fn shown_session(mut session: Session, name: &NodeName) -> Session {
    session.node = Some(name.clone());
    session
}

/// A workspace of another node as it is shown here.
pub(crate) fn shown_workspace(
    mut it: Workspace,
    name: &NodeName,
    unreachable: Option<i64>,
) -> Workspace {
    it.node = Some(name.clone());
    if unreachable.is_some() && it.status != WorkspaceStatus::Destroyed {
        it.status = WorkspaceStatus::Unknown;
        it.seen = unreachable;
    }
    it
}
