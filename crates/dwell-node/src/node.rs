//! The node: what the daemon's parts share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dwell_api::environment::Environment as Seen;
use dwell_api::event::Outcome;
use dwell_api::paths::Paths;
use dwell_api::{Code, Problem};
use dwell_core::config::NodeConfig;
use dwell_core::environment::Environment;
use dwell_core::operation::Kind;
use dwell_core::{EnvironmentId, NodeId, ProjectName};
use dwell_drivers::docker::Engine;
use dwell_net::names::NameTable;
use dwell_store::Store;
use tokio::sync::Notify;

use crate::doors::Door;
use crate::facts::FactsCache;
use crate::forward::Forwards;
use crate::ingress::Ingress;
use crate::listeners::Listeners;
use crate::login::Login;
use crate::mesh::Mesh;
use crate::operation::{Context, Operations};
use crate::problem::OrProblem;
use crate::relay::RelayImage;
use crate::remote::Remotes;
use crate::session::SessionNotes;
use crate::variables::Resolving;
use crate::viewer::Viewers;
use crate::workspace::Workspaces;
use crate::world::World;
use crate::{names, view};

/// Everything that the daemon's parts share.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// The Unix user that it belongs to.
    pub(crate) user: String,
    pub(crate) paths: Paths,
    /// The binary that this daemon runs.
    pub(crate) binary: PathBuf,
    pub(crate) config: NodeConfig,
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) world: World,
    pub(crate) names: Arc<NameTable>,
    pub(crate) listeners: Listeners,
    pub(crate) operations: Operations,
    pub(crate) facts: FactsCache,
    pub(crate) relay: RelayImage,
    pub(crate) sessions: SessionNotes,
    pub(crate) workspaces: Workspaces,
    pub(crate) forwards: Forwards,
    pub(crate) viewers: Viewers,
    pub(crate) resolving: Resolving,
    pub(crate) remotes: Remotes,
    pub(crate) login: Login,
    pub(crate) ingress: Ingress,
    pub(crate) mesh: Mesh,
    /// Where streams go that other nodes dial to the API.
    pub(crate) doors: Door,
    /// Held while subnets are chosen, so that two choosers never take the same.
    pub(crate) allocation: tokio::sync::Mutex<()>,
    /// One at a time for what moves have stopped.
    pub(crate) halting: tokio::sync::Mutex<()>,
    /// One at a time for everything that starts or stops shared instances.
    pub(crate) sharing: tokio::sync::Mutex<()>,
    /// Wakes the reconciler.
    pub(crate) reconcile: Notify,
    /// Ends the daemon.
    pub(crate) stop: Notify,
    /// When the daemon started.
    pub(crate) started: i64,
    /// What went wrong at the start and was dealt with, for `doctor`.
    pub(crate) incidents: Vec<String>,
}

/// Microseconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Eight random bytes for an identity.
pub(crate) fn random() -> Result<[u8; 8], Problem> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|e| Problem::new(Code::Internal, format!("no randomness: {e}")))?;
    Ok(bytes)
}

impl Node {
    /// Microseconds since the Unix epoch.
    pub(crate) fn now(&self) -> i64 {
        now()
    }

    /// An environment's own directory in the state: compose file, facts, sessions.
    pub(crate) fn directory(&self, id: &EnvironmentId) -> PathBuf {
        self.paths.environment(id)
    }

    /// The environment with an id, or with a name that is unambiguous within `project`.
    pub(crate) async fn find(
        &self,
        name: &str,
        project: Option<&ProjectName>,
    ) -> Result<Environment, Problem> {
        let missing = || {
            let place = project.map(|p| format!(" in project `{p}`")).unwrap_or_default();
            Problem::new(Code::NotFound, format!("there is no environment `{name}`{place}"))
                .hint("`dwell ls --all` lists them; `dwell create` makes one")
        };
        if let Ok(id) = name.parse::<EnvironmentId>()
            && let Some(environment) = self.store.environment(&id).await.or_problem()?
        {
            return Ok(environment);
        }
        let (project, name) = match name.split_once('/') {
            Some((project, name)) if !project.is_empty() => {
                (Some(project.parse::<ProjectName>().map_err(invalid_name)?), name)
            }
            _ => (project.cloned(), name),
        };
        let name: dwell_core::EnvironmentName = name.parse().map_err(invalid_name)?;
        let mut all = self.store.environments().await.or_problem()?;
        all.retain(|e| e.name == name && project.as_ref().is_none_or(|p| *p == e.project));
        match all.len() {
            0 => Err(missing()),
            1 => all.pop().ok_or_else(missing),
            _ => Err(Problem::new(
                Code::Ambiguous,
                format!("`{name}` is the name of {} environments", all.len()),
            )
            .hint("add `--project <project>`")
            .details(all.iter().map(Environment::label))),
        }
    }

    /// What an environment was seen to be.
    pub(crate) async fn see(&self, environment: &Environment) -> Seen {
        let containers = self.world.containers(&environment.id);
        let sessions = self.running_sessions(&environment.id).await;
        view::environment(self, environment, &containers, sessions)
    }

    /// What an operation left.
    pub(crate) async fn outcome(&self, context: &Context) -> Result<Outcome, Problem> {
        let label = context.environment.label();
        let summary = match context.kind {
            Kind::Create => format!("created `{label}`"),
            Kind::CreateUp | Kind::Up if crate::environment::is_bare(context) => {
                crate::environment::explained_bare(&context.environment)
            }
            Kind::CreateUp | Kind::Up => format!("`{label}` is up"),
            Kind::Down => format!("`{label}` is down"),
            Kind::Destroy => format!("destroyed `{label}`"),
            Kind::MoveServices | Kind::MoveOut | Kind::MoveIn | Kind::MoveOn => {
                return crate::environment::moving::moved(context).await;
            }
        };
        let gone = context.kind == Kind::Destroy;
        let environment = if gone { None } else { Some(self.see(&context.environment).await) };
        Ok(Outcome {
            environment: environment.map(Box::new),
            changed: true,
            summary,
            ..Outcome::default()
        })
    }

    /// Publishes an environment's names as they follow from what was seen.
    pub(crate) async fn publish(&self, id: &EnvironmentId) {
        names::publish(self, id).await;
    }

    /// Publishes all names, and takes back those of environments that are gone.
    pub(crate) async fn publish_all(&self) {
        names::publish_all(self).await;
    }
}

/// The problem of a name that is not allowed.
pub(crate) fn invalid_name(error: dwell_core::NameError) -> Problem {
    Problem::new(Code::InvalidName, error.to_string())
}
