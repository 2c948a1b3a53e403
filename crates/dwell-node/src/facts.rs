//! What is known of an environment's services since it was last brought up: kept beside its
//! compose file, so that names and status can be told after a restart without asking compose.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use dwell_api::{Code, Problem};
use dwell_core::compose::{Note, Role, Service};
use dwell_core::observed::label;
use dwell_core::{EnvironmentId, ServiceName};
use serde::{Deserialize, Serialize};

use crate::environment::COMPOSE_FILE;
use crate::problem::file;

/// The facts of one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Its services.
    pub(crate) services: BTreeMap<ServiceName, Service>,
    /// What is shared, changed or chosen.
    pub(crate) notes: Vec<Note>,
    /// Its subnets.
    pub(crate) subnets: Vec<String>,
    /// What the compose project was read from.
    pub(crate) stamp: Stamp,
}

/// What a compose project was read from: if all of it is the same, so is the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// A hash over files, options and variables; empty when it cannot be told.
    pub(crate) hash: String,
}

/// Facts by environment, as last written or read.
#[derive(Default)]
pub(crate) struct FactsCache {
    known: RwLock<HashMap<EnvironmentId, Arc<Facts>>>,
}

/// The file they are kept in.
pub(crate) const FILE: &str = "facts.json";

impl FactsCache {
    /// The facts of an environment; `None` before its first `up`.
    pub(crate) fn get(&self, id: &EnvironmentId) -> Option<Arc<Facts>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Reads an environment's facts from its directory, if it has any.
    pub(crate) fn load(&self, id: &EnvironmentId, directory: &Path) {
        let text = match std::fs::read(directory.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, environment = %id, "its facts cannot be read");
                Vec::new()
            }
        };
        match serde_json::from_slice::<Facts>(&text) {
            Ok(facts) => self.insert(id, facts),
            Err(error) => {
                let found = from_compose_file(&directory.join(COMPOSE_FILE));
                if found.is_some() {
                    tracing::warn!(%error, environment = %id, "its facts are not understood");
                }
                found.into_iter().for_each(|facts| self.insert(id, facts));
            }
        }
    }

    /// Writes an environment's facts.
    pub(crate) fn put(
        &self,
        id: &EnvironmentId,
        directory: &Path,
        facts: Facts,
    ) -> Result<(), Problem> {
        let text = serde_json::to_vec(&facts)
            .map_err(|e| Problem::new(Code::Internal, format!("facts cannot be written: {e}")))?;
        write(&directory.join(FILE), &text)?;
        self.insert(id, facts);
        Ok(())
    }

    fn insert(&self, id: &EnvironmentId, facts: Facts) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(id.clone(), Arc::new(facts));
    }

    /// Forgets an environment's facts.
    pub(crate) fn forget(&self, id: &EnvironmentId) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// What the environment's compose file tells: all but hostnames and notes.
fn from_compose_file(path: &Path) -> Option<Facts> {
    let model = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    let mut services = dwell_core::compose::services(&model).ok()?;
    for (name, service) in &mut services {
        let role = model.pointer(&format!("/services/{name}/labels/{}", label::ROLE));
        if role.and_then(serde_json::Value::as_str) == Some("relay") {
            service.role = Role::Relay;
        }
    }
    Some(Facts { services, notes: Vec::new(), subnets: Vec::new(), stamp: Stamp::default() })
}

/// Writes a private file in one piece: readers see the old content or the new.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Problem> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let part = path.with_extension("part");
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&part, path));
    written.map_err(|error| {
        // What was half written is of no use, and on a full disk it takes space.
        let _ = std::fs::remove_file(&part);
        file("writing", path, &error)
    })
}

/// Makes a directory that only this user may enter.
pub(crate) fn make_directory(path: &Path) -> Result<(), Problem> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| file("making", path, &error))
}
