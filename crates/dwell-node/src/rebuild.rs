//! When the database is lost or damaged: the state is made again from what environments keep
//! beside their files and from the labels of what runs. Nothing is ever deleted for it.

use std::error::Error;
use std::path::{Path, PathBuf};

use dwell_core::compose::Role;
use dwell_core::environment::{Desired, Environment};
use dwell_core::observed::label;
use dwell_core::{EnvironmentId, SharedId};
use dwell_store::{SessionRecord, SharedRecord, Store, StoreError};
use serde_json::{Map, Value};

use crate::environment::{COMPOSE_FILE, RECORD_FILE};
use crate::node::Node;
use crate::session::Place;

/// Opens the database; a damaged one is moved aside and a new one begun. Says what happened.
pub(crate) async fn open(path: &Path) -> Result<(Store, Vec<String>), StoreError> {
    match Store::open(path).await {
        Ok(store) => match readable(&store).await {
            Ok(()) => Ok((store, Vec::new())),
            Err(error) => {
                store.close().await;
                begin_anew(path, &error).await
            }
        },
        Err(error @ StoreError::Damaged { .. }) => begin_anew(path, &error).await,
        Err(error) => Err(error),
    }
}

/// Reads everything once: damage inside a value is not seen by SQLite.
async fn readable(store: &Store) -> Result<(), StoreError> {
    for environment in store.environments().await? {
        store.subnets_of(environment.id.as_str()).await?;
        store.last_operation(&environment.id).await?;
    }
    for shared in store.shared().await? {
        store.shared_users(&shared.id).await?;
    }
    store.sessions().await?;
    store.workspaces().await?;
    store.pooled().await?;
    store.forwards().await?;
    store.unfinished_operations().await?;
    Ok(())
}

async fn begin_anew(path: &Path, error: &StoreError) -> Result<(Store, Vec<String>), StoreError> {
    let aside = path.with_extension(format!("damaged-{}", crate::node::now() / 1_000_000));
    for (from, to) in [
        (path.to_owned(), aside.clone()),
        (side(path, "-wal"), side(&aside, "-wal")),
        (side(path, "-shm"), side(&aside, "-shm")),
    ] {
        // A side file may not exist; the main file not moving shows at the next line.
        let _ = std::fs::rename(from, to);
    }
    let incident = format!("{error}; it was moved to {} and rebuilt", aside.display());
    tracing::error!("{incident}");
    Ok((Store::open(path).await?, vec![incident]))
}

fn side(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the records again that the store lacks, from the directories that exist: a directory is
/// removed before its record. What cannot be understood is told and left where it is.
pub(crate) async fn rebuild(node: &Node) {
    for directory in folders(&node.paths.state.join("environments")) {
        let known = match id_of::<EnvironmentId>(&directory) {
            Some(id) => node.store.environment(&id).await.is_ok_and(|record| record.is_some()),
            None => true,
        };
        if known {
            continue;
        }
        let path = directory.join(RECORD_FILE);
        let Ok(text) = std::fs::read(&path) else { continue };
        match serde_json::from_slice::<Environment>(&text) {
            Ok(environment) => adopt(node, &environment, &directory).await,
            Err(error) => tracing::warn!(%error, path = %path.display(), "not understood"),
        }
    }
    for directory in folders(&node.paths.state.join("workspaces")) {
        crate::workspace::adopt(node, &directory).await;
    }
    for directory in folders(&node.paths.state.join("shared")) {
        if let Err(error) = adopt_shared(node, &directory).await {
            tracing::warn!(%error, path = %directory.display(), "not adopted");
        }
    }
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn id_of<T: std::str::FromStr>(directory: &Path) -> Option<T> {
    directory.file_name()?.to_str()?.parse().ok()
}

async fn adopt(node: &Node, environment: &Environment, directory: &Path) {
    if let Err(error) = node.store.add_environment(environment).await {
        tracing::warn!(%error, environment = %environment.label(), "not adopted");
        return;
    }
    node.facts.load(&environment.id, directory);
    let owner = environment.id.as_str();
    subnets(node, owner, &compose_file(directory)).await;
    sessions(node, &environment.clone().into(), directory).await;
    tracing::info!(environment = %environment.label(), "adopted");
}

/// The compose file that an environment or shared instance was started with; null without one.
fn compose_file(directory: &Path) -> Value {
    let text = std::fs::read(directory.join(COMPOSE_FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// The subnets that a compose file says, by the keys of its networks.
async fn subnets(node: &Node, owner: &str, compose: &Value) {
    let networks = compose.get("networks").and_then(Value::as_object);
    for (key, network) in networks.into_iter().flatten() {
        let subnet = network.pointer("/ipam/config/0/subnet").and_then(Value::as_str);
        let Some(subnet) = subnet else { continue };
        match node.store.add_subnet(subnet, owner, key).await {
            Ok(()) | Err(StoreError::Exists) => {}
            Err(error) => tracing::warn!(%error, subnet, "a subnet was not adopted"),
        }
    }
}

/// Of several runs of one session the last is the one that counts.
pub(crate) async fn sessions(node: &Node, place: &Place, directory: &Path) {
    let folders = std::fs::read_dir(directory.join("sessions")).into_iter().flatten().flatten();
    let mut found: Vec<SessionRecord> =
        folders.filter_map(|entry| session(place, &entry.path())).collect();
    found.sort_by_key(|record| record.started);
    for record in found {
        if let Err(error) = node.store.put_session(&record).await {
            tracing::warn!(%error, session = %record.name, "not adopted");
        }
    }
}

/// A session is known by its directory, `<name>-<started>`, and what it was told to run.
fn session(place: &Place, files: &Path) -> Option<SessionRecord> {
    let folder = files.file_name()?.to_str()?;
    let (name, started) = folder.rsplit_once('-')?;
    let spec = dwell_drivers::session::spec(files).ok()??;
    let (environment, workspace) = match place {
        Place::Environment(environment) => (Some(environment.id.clone()), None),
        Place::Workspace(it) => (None, Some(it.id.clone())),
    };
    Some(SessionRecord {
        environment,
        workspace,
        name: name.parse().ok()?,
        command: spec.argv,
        directory: spec.directory,
        files: files.to_owned(),
        started: started.parse().ok()?,
        restored: false,
    })
}

/// A shared instance is known by the compose file that it was started with; its users by the
/// relays in theirs.
async fn adopt_shared(node: &Node, directory: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    let Some(id) = id_of::<SharedId>(directory) else { return Ok(()) };
    if node.store.shared().await?.iter().any(|known| known.id == id) {
        return Ok(());
    }
    let definition = compose_file(directory);
    let services = definition.get("services").and_then(Value::as_object);
    let labels = services.into_iter().flat_map(Map::values).find_map(|body| body.get("labels"));
    let text = |name: &str| {
        labels.and_then(|labels| labels.get(name)).and_then(Value::as_str).unwrap_or_default()
    };
    let record = SharedRecord {
        id: id.clone(),
        project: text(label::PROJECT).parse()?,
        service: text(label::SERVICE).parse()?,
        hash: String::new(),
        definition: definition.clone(),
        idle_since: Some(node.now()),
    };
    node.store.put_shared(&record).await?;
    subnets(node, id.as_str(), &definition).await;
    for environment in node.store.environments().await? {
        let uses = node.facts.get(&environment.id).is_some_and(|facts| {
            facts.services.get(&record.service).is_some_and(|s| s.role == Role::Relay)
        });
        let runs = environment.desired == Desired::Running;
        if uses && runs && environment.project == record.project {
            node.store.use_shared(&id, &environment.id).await?;
        }
    }
    Ok(())
}
