//! What an environment's state remembers of the node that its sources came from, and the lock that
//! lets one transfer at a time work on it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dwell_core::EnvironmentName;
use serde::{Deserialize, Serialize};

use super::error::TravelError;
use super::wire::Offer;
use crate::git::{Git, ObjectName};
use crate::tree::{Tree, TreeError, memory, private_directory};

/// How long a transfer waits for another one to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came from the other node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The environment.
    pub(crate) environment: EnvironmentName,
    /// What the tree was last brought up to.
    pub(crate) offer: Offer,
    /// What the other node last took back.
    #[serde(default)]
    pub(crate) taken: Option<Taken>,
}

/// Work that the other node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// The commit.
    pub(crate) commit: ObjectName,
    /// Its tree.
    pub(crate) tree: ObjectName,
}

fn file(state: &Path) -> PathBuf {
    memory(state).join("sent.json")
}

impl Record {
    /// The record of a tree; `None` for one that came from no other node.
    pub(crate) fn read(state: &Path) -> Result<Option<Self>, TreeError> {
        let path = file(state);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(TreeError::io(&path, error)),
        };
        match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(_) => Err(TreeError::Memory { path, why: "it is damaged" }),
        }
    }

    /// The record of a tree that has to have one.
    pub(crate) fn of(state: &Path, tree: &Path) -> Result<Self, TravelError> {
        Self::read(state)?.ok_or_else(|| TravelError::NotSent { path: tree.to_owned() })
    }

    pub(crate) fn write(&self, state: &Path) -> Result<(), TravelError> {
        private_directory(&memory(state))?;
        let (path, new) = (file(state), memory(state).join("sent.new"));
        let text = serde_json::to_vec_pretty(self).map_err(|error| TravelError::wire(&error))?;
        let written = fs::write(&new, text).and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| TravelError::io(&path, error))
    }
}

/// The commit that a tree's source has checked out; of one on another node, the commit that came
/// last.
pub(crate) async fn source_head(tree: &Tree, state: &Path) -> Result<Option<String>, TreeError> {
    match Record::read(state)? {
        Some(record) => Ok(record.offer.head.map(String::from)),
        None => Ok(Git::at(&tree.source).head().await.ok().flatten()),
    }
}

/// Refuses what only the node that has the source can do.
pub(crate) fn refuse_elsewhere(
    tree: &Tree,
    state: &Path,
    verb: &'static str,
) -> Result<(), TreeError> {
    if super::plain::is_sent(state) || Record::read(state)?.is_some() {
        return Err(TreeError::Elsewhere { path: tree.root.clone(), verb });
    }
    Ok(())
}

/// The right to work on an environment's tree, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for another transfer to end.
    pub(crate) async fn take(state: &Path) -> Result<Self, TravelError> {
        private_directory(&memory(state))?;
        let path = memory(state).join("lock");
        let file = File::create(&path).map_err(|error| TravelError::io(&path, error))?;
        let locked = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
        match tokio::time::timeout(PATIENCE, locked).await {
            Ok(Ok(Ok(file))) => Ok(Self { _file: file }),
            Ok(Ok(Err(error))) => Err(TravelError::io(&path, error)),
            _ => Err(TravelError::InProgress { path: state.to_owned() }),
        }
    }
}
