//! Workspaces: one container each that lives like a machine, with a home that outlives it. Their
//! records are the intent: what is being made is undone after a crash, what is being removed is
//! finished, by the reconciler.

mod android;
mod attach;
mod change;
mod commands;
mod copy;
mod create;
pub(crate) mod credentials;
mod desktop;
mod dial;
mod disk;
mod docker;
mod exec;
mod given;
pub(crate) mod hook;
mod hostname;
mod inside;
mod losses;
mod mcp;
mod network;
mod person;
pub(crate) mod pool;
mod ports;
mod quiet;
mod reconcile;
mod remake;
mod remove;
mod replace;
mod settings;
pub(crate) mod setup;
mod size;
pub(crate) mod snapshot;
mod tree;
pub(crate) mod upgrade;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use dwell_api::event::Outcome;
use dwell_api::workspace::{Joined, Workspace as Shown};
use dwell_api::{Code, Problem};
use dwell_core::observed::{Container, State, label};
use dwell_core::workspace::{Desired, Status, Workspace};
use dwell_core::{WorkspaceId, WorkspaceName};
use dwell_drivers::docker::Quotas;
use dwell_store::StoreError;

use crate::facts::{make_directory, write};
use crate::idle::{self, Idle};
use crate::node::{Node, invalid_name};
use crate::problem::OrProblem;
use crate::world::{EngineState, look_at_workspace};

pub(crate) use android::{android, change_android, kvm};
pub(crate) use attach::attach;
pub(crate) use change::{change, settle_as};
pub(crate) use commands::Commands;
pub use commands::serve_commands;
pub(crate) use create::{create, refuse_taken, restore};
pub(crate) use desktop::{desktop, viewer};
pub(crate) use dial::dial;
pub(crate) use exec::{awake, exec};
pub(crate) use given::{BINARY, own_binary, renew, sessions};
pub(crate) use losses::losses;
pub(crate) use mcp::mcp;
pub(crate) use network::{follow, let_go};
pub(crate) use ports::ports;
pub(crate) use quiet::quietly;
pub(crate) use reconcile::{Tries, reconcile};
pub(crate) use remove::destroy;
pub(crate) use settings::push;
pub(crate) use size::measure;
pub(crate) use tree::with_tree;

/// The record again, beside the workspace's other files.
const RECORD_FILE: &str = "workspace.json";

type Lock = Arc<tokio::sync::Mutex<()>>;
type Guard = tokio::sync::OwnedMutexGuard<()>;

/// What workspaces share: one operation each at a time.
#[derive(Default)]
pub(crate) struct Workspaces {
    locks: Mutex<HashMap<String, Lock>>,
    /// What is known of their use.
    pub(crate) idle: Idle,
    /// Whether this binary can be the first process of any image.
    binary: tokio::sync::OnceCell<()>,
    /// Whether networks are kept apart here.
    apart: tokio::sync::OnceCell<()>,
    /// The processors of the engine's machine.
    processors: tokio::sync::OnceCell<u32>,
    insides: inside::Insides,
    /// What the engine holds to a size.
    quotas: tokio::sync::OnceCell<Quotas>,
    sizes: size::Sizes,
    /// What waits to become one.
    pub(crate) pool: pool::Pool,
}

impl Workspaces {
    /// The lock of a workspace by its identity, or of a name under which one is made.
    pub(crate) fn lock(&self, of: &str) -> Lock {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() > 4096 {
            locks.retain(|_, held| Arc::strong_count(held) > 1);
        }
        locks.entry(of.to_owned()).or_default().clone()
    }
}

/// The workspace with a name or an identity.
pub(crate) async fn find(node: &Node, name: &str) -> Result<Workspace, Problem> {
    if let Ok(id) = name.parse::<WorkspaceId>()
        && let Some(found) = node.store.workspace(&id).await.or_problem()?
        && found.kept.is_none()
    {
        return Ok(found);
    }
    let name: WorkspaceName = name.parse().map_err(invalid_name)?;
    named(node, &name).await?.ok_or_else(|| {
        Problem::new(Code::NotFound, format!("there is no workspace `{name}`"))
            .hint(format!("`dwell ws ls` lists them; `dwell ws create {name}` makes one"))
    })
}

/// The workspace with a name or an identity as it is once nobody else acts on it, and until the
/// guard is dropped.
async fn held(node: &Node, name: &str) -> Result<(Guard, Workspace), Problem> {
    let id = find(node, name).await?.id;
    let guard = node.workspaces.lock(id.as_str()).lock_owned().await;
    let it = find(node, id.as_str()).await?;
    Ok((guard, it))
}

/// The workspace that has a name now.
async fn named(node: &Node, name: &WorkspaceName) -> Result<Option<Workspace>, Problem> {
    let all = node.store.workspaces().await.or_problem()?;
    Ok(all.into_iter().find(|it| it.name == *name && it.kept.is_none()))
}

/// Whether a workspace with a name or an identity is here, or the kept home of one.
pub(crate) async fn is_here(node: &Node, name: &str, is_kept: bool) -> Result<bool, Problem> {
    let all = node.store.workspaces().await.or_problem()?;
    Ok(all.iter().any(|it| {
        it.kept.is_some() == is_kept && (it.name.as_str() == name || it.id.as_str() == name)
    }))
}

/// Writes a record, in the store and beside the workspace's files.
pub(crate) async fn save(node: &Node, it: &Workspace) -> Result<(), Problem> {
    match node.store.put_workspace(it).await {
        Err(StoreError::Exists) => return Err(exists(&it.name)),
        other => other.or_problem()?,
    }
    let directory = node.paths.workspace(&it.id);
    make_directory(&directory)?;
    let text = serde_json::to_vec(it)
        .map_err(|e| Problem::new(Code::Internal, format!("a record cannot be written: {e}")))?;
    write(&directory.join(RECORD_FILE), &text)
}

fn exists(name: &WorkspaceName) -> Problem {
    Problem::new(Code::Exists, format!("workspace `{name}` exists already"))
        .hint(format!("`dwell ws show {name}` shows it; or choose another name"))
}

/// Takes the record of a workspace that the store does not know from its directory.
pub(crate) async fn adopt(node: &Node, directory: &Path) {
    let Ok(text) = std::fs::read(directory.join(RECORD_FILE)) else {
        return pool::recall(node, directory).await;
    };
    let record: Workspace = match serde_json::from_slice(&text) {
        Ok(record) => record,
        Err(error) => {
            tracing::warn!(%error, path = %directory.display(), "not understood");
            return;
        }
    };
    if !matches!(node.store.workspace(&record.id).await, Ok(None)) {
        return;
    }
    if let Err(error) = node.store.put_workspace(&record).await {
        tracing::warn!(%error, workspace = %record.name, "not adopted");
        return;
    }
    if let Some(subnet) = record.subnet {
        let added =
            node.store.add_subnet(&subnet.to_string(), record.id.as_str(), network::KEY).await;
        if let Err(error) = added {
            tracing::warn!(%error, %subnet, "a subnet was not adopted");
        }
    }
    crate::rebuild::sessions(node, &record.clone().into(), directory).await;
    tracing::info!(workspace = %record.name, "adopted");
}

/// All workspaces, as they were seen; also those whose homes are kept where that is asked.
pub(crate) async fn list(node: &Node, kept: bool) -> Result<Vec<Shown>, Problem> {
    let mut shown = Vec::new();
    for it in node.store.workspaces().await.or_problem()? {
        let it = see(node, &it).await?;
        if kept || it.status != Status::Destroyed {
            shown.push(it);
        }
    }
    Ok(shown)
}

/// A workspace as it was seen.
pub(crate) async fn see(node: &Node, it: &Workspace) -> Result<Shown, Problem> {
    let container = current(it, node.world.of_workspace(&it.id));
    let status = match it.status(container.as_ref().map(|c| c.state)) {
        known @ (Status::Creating | Status::Destroying | Status::Destroyed) => known,
        _ if node.world.engine() != EngineState::Up => Status::Unknown,
        seen => seen,
    };
    let mut environments = Vec::new();
    for id in &it.environments {
        let Some(environment) = node.store.environment(id).await.or_problem()? else { continue };
        let connected = container.as_ref().is_some_and(|container| {
            container.addresses.keys().any(|network| network.contains(id.as_str()))
        });
        let tree = it.trees.contains(id).then(|| environment.directory().to_owned());
        let (name, project) = (environment.name, environment.project);
        environments.push(Joined { id: id.clone(), name, project, connected, tree });
    }
    let address = container.and_then(|c| c.addresses.get(&it.network()).copied());
    Ok(Shown {
        id: it.id.clone(),
        name: it.name.clone(),
        generation: it.generation,
        image: it.image.clone(),
        limits: it.limits,
        desired: it.desired,
        status,
        address: address.map(|address| address.to_string()),
        container: it.container(),
        home: it.home(),
        environments,
        host_key: it.host_key.clone(),
        refuses_agents: it.refuses_agents,
        slept: it.slept,
        credentials: it.credentials.clone(),
        docker: it.docker,
        size: size::last(node, it),
        created: it.created,
        kept_until: it.kept.map(|kept| kept.until),
        node: None,
        seen: None,
    })
}

/// The container that counts.
fn current(it: &Workspace, containers: Vec<Container>) -> Option<Container> {
    containers.into_iter().find(|container| container.generation == it.generation)
}

/// The state of the container that counts, as it was last seen.
pub(crate) fn seen(node: &Node, it: &Workspace) -> Option<State> {
    current(it, node.world.of_workspace(&it.id)).map(|container| container.state)
}

/// Has those who watch its use know what it does now.
fn entered(node: &Node, it: &Workspace) {
    idle::entered(node, &it.id, it.phase(seen(node, it)));
}

/// The state of the container that counts, asked of the engine now.
async fn state(node: &Node, it: &Workspace) -> Result<Option<State>, Problem> {
    let found = look_at_workspace(node, &it.id).await.or_problem()?;
    Ok(current(it, found).map(|container| container.state))
}

/// What an operation left.
async fn outcome(
    node: &Node,
    it: &Workspace,
    changed: bool,
    summary: String,
) -> Result<Outcome, Problem> {
    look_at_workspace(node, &it.id).await.or_problem()?;
    entered(node, it);
    let workspace = Some(Box::new(see(node, it).await?));
    Ok(Outcome { workspace, changed, summary, ..Outcome::default() })
}

/// The labels of everything that is made for a workspace.
fn labels(node: &Node, it: &Workspace) -> HashMap<String, String> {
    [
        (label::NODE, node.id.to_string()),
        (label::USER, node.user.clone()),
        (label::WORKSPACE, it.id.to_string()),
        (label::NAME, it.name.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// One that is being made or is gone can only wait.
fn refuse_unfinished(it: &Workspace) -> Result<(), Problem> {
    let name = &it.name;
    if it.making {
        return Err(Problem::new(Code::Busy, format!("workspace `{name}` is being made")));
    }
    if it.desired == Desired::Destroyed {
        return Err(Problem::new(Code::Conflict, format!("workspace `{name}` is being destroyed")));
    }
    Ok(())
}
