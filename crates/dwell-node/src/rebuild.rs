//! When the database is lost or damaged: the state is made again from what environments keep
//! beside their files and from the labels of what runs. Nothing is ever deleted for it.

use std::path::Path;

use dwell_core::compose::Role;
use dwell_core::environment::Environment;
use dwell_core::observed::label;
use dwell_core::{SessionName, SharedId};
use dwell_drivers::session::Spec;
use dwell_store::{SessionRecord, SharedRecord, Store, StoreError};

use crate::environment::{COMPOSE_FILE, RECORD_FILE};
use crate::node::Node;

/// Opens the database; a damaged one is moved aside and a new one begun. Says whether the state
/// has to be made again, and what happened.
pub(crate) async fn open(path: &Path) -> Result<(Store, bool, Vec<String>), StoreError> {
    let fresh = !path.exists();
    match Store::open(path).await {
        Ok(store) => match store.environments().await {
            Ok(_) => Ok((store, fresh, Vec::new())),
            Err(error) => {
                store.close().await;
                begin_anew(path, &error).await
            }
        },
        Err(error @ StoreError::Damaged { .. }) => begin_anew(path, &error).await,
        Err(error) => Err(error),
    }
}

async fn begin_anew(
    path: &Path,
    error: &StoreError,
) -> Result<(Store, bool, Vec<String>), StoreError> {
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
    Ok((Store::open(path).await?, true, vec![incident]))
}

fn side(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the records again. What cannot be understood is told and left where it is.
pub(crate) async fn rebuild(node: &Node) {
    let directory = node.paths.state.join("environments");
    for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
        let path = entry.path().join(RECORD_FILE);
        let Ok(text) = std::fs::read(&path) else { continue };
        match serde_json::from_slice::<Environment>(&text) {
            Ok(environment) => adopt(node, &environment, &entry.path()).await,
            Err(error) => tracing::warn!(%error, path = %path.display(), "not understood"),
        }
    }
    if let Err(error) = shared_instances(node).await {
        tracing::warn!(%error, "shared services were not adopted");
    }
}

async fn adopt(node: &Node, environment: &Environment, directory: &Path) {
    if let Err(error) = node.store.add_environment(environment).await {
        tracing::warn!(%error, environment = %environment.label(), "not adopted");
        return;
    }
    node.facts.load(&environment.id, directory);
    let labelled = format!("{}={}", label::ENVIRONMENT, environment.id);
    let prefix = format!("dwell-{}-", environment.id);
    for network in node.engine.networks(Some(&labelled)).await.unwrap_or_default() {
        let key = network.name.strip_prefix(&prefix).unwrap_or(&network.name).to_owned();
        for subnet in &network.subnets {
            let owner = environment.id.as_str();
            if let Err(error) = node.store.add_subnet(&subnet.to_string(), owner, &key).await {
                tracing::warn!(%error, %subnet, "a subnet was not adopted");
            }
        }
    }
    sessions(node, environment, directory).await;
    tracing::info!(environment = %environment.label(), "adopted");
}

async fn sessions(node: &Node, environment: &Environment, directory: &Path) {
    for entry in std::fs::read_dir(directory.join("sessions")).into_iter().flatten().flatten() {
        let folder = entry.file_name().to_string_lossy().into_owned();
        let Some((name, started)) = folder.rsplit_once('-') else { continue };
        let (Ok(name), Ok(started)) = (name.parse::<SessionName>(), started.parse::<i64>()) else {
            continue;
        };
        let spec = std::fs::read(entry.path().join("spec.json")).unwrap_or_default();
        let Ok(spec) = serde_json::from_slice::<Spec>(&spec) else { continue };
        let record = SessionRecord {
            environment: environment.id.clone(),
            name,
            command: spec.argv,
            directory: spec.directory,
            files: entry.path(),
            started,
        };
        if let Err(error) = node.store.put_session(&record).await {
            tracing::warn!(%error, session = %record.name, "not adopted");
        }
    }
}

/// Shared instances are known by the labels of their containers and by the compose file that
/// they were started with; their users by the relays.
async fn shared_instances(node: &Node) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let labelled = format!("{}={}", label::NODE, node.id);
    for container in node.engine.containers(&labelled).await? {
        let Some(id) = container.shared else { continue };
        let text = |name: &str| container.labels.get(name).cloned().unwrap_or_default();
        let (project, service) = (text(label::PROJECT).parse()?, text(label::SERVICE).parse()?);
        let file = node.paths.state.join("shared").join(id.as_str()).join(COMPOSE_FILE);
        let definition = std::fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or(serde_json::Value::Null);
        let record = SharedRecord {
            id: id.clone(),
            project,
            service,
            hash: String::new(),
            definition,
            idle_since: Some(node.now()),
        };
        node.store.put_shared(&record).await?;
        subnets(node, &id).await?;
        for environment in node.store.environments().await? {
            let uses = node.facts.get(&environment.id).is_some_and(|facts| {
                facts.services.get(&record.service).is_some_and(|s| s.role == Role::Relay)
            });
            if uses && environment.project == record.project {
                node.store.use_shared(&id, &environment.id).await?;
            }
        }
    }
    Ok(())
}

async fn subnets(
    node: &Node,
    id: &SharedId,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let labelled = format!("{}={id}", label::SHARED);
    for network in node.engine.networks(Some(&labelled)).await? {
        for subnet in &network.subnets {
            node.store.add_subnet(&subnet.to_string(), id.as_str(), "default").await?;
        }
    }
    Ok(())
}
