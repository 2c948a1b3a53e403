//! Where sessions are: in an environment, where they run on the node itself, or in a workspace.

use std::path::PathBuf;
use std::sync::Arc;

use dwell_api::{Code, Problem};
use dwell_core::SessionName;
use dwell_core::environment::Environment;
use dwell_core::workspace::{GIVEN, HOME, SESSIONS, TMUX_FILE, TMUX_SOCKET, USER, Workspace};
use dwell_drivers::session::Sessions;
use dwell_drivers::tmux::{Inside, Run, Tmux, TmuxName};
use dwell_store::SessionRecord;
use futures_util::FutureExt;

use crate::node::Node;
use crate::problem::OrProblem;
use crate::workspace::{self, Commands};

/// A place that has sessions.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// An environment.
    Environment(Box<Environment>),
    /// A workspace.
    Workspace(Box<Workspace>),
}

impl From<Environment> for Place {
    fn from(environment: Environment) -> Self {
        Self::Environment(Box::new(environment))
    }
}

impl From<Workspace> for Place {
    fn from(workspace: Workspace) -> Self {
        Self::Workspace(Box::new(workspace))
    }
}

impl Place {
    /// Its identity.
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Environment(environment) => environment.id.as_str(),
            Self::Workspace(it) => it.id.as_str(),
        }
    }

    /// What people call it.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Environment(environment) => environment.label(),
            Self::Workspace(it) => it.name.to_string(),
        }
    }

    /// The directory with the files of its sessions.
    pub(super) fn folder(&self, node: &Node) -> PathBuf {
        match self {
            Self::Environment(environment) => node.directory(&environment.id).join("sessions"),
            Self::Workspace(it) => workspace::sessions(node, it),
        }
    }

    /// What a session is called on the tmux server. A workspace has a server of its own.
    pub(super) fn tmux_name(&self, name: &SessionName) -> Result<TmuxName, Problem> {
        let text = match self {
            Self::Environment(environment) => {
                format!("{}-{name}-{}", environment.name, environment.id)
            }
            Self::Workspace(_) => name.to_string(),
        };
        TmuxName::parse(&text).or_problem()
    }

    /// Its sessions on their tmux server.
    pub(crate) fn sessions(&self, node: &Node) -> Sessions {
        let Self::Workspace(it) = self else { return node.sessions.sessions.clone() };
        let variables = it.variables().into_iter();
        let inside = Inside {
            run: run_in(node, it),
            container: it.container(),
            user: USER.to_owned(),
            directory: HOME.to_owned(),
            variables: variables.map(|(name, value)| format!("{name}={value}")).collect(),
            config: PathBuf::from(GIVEN).join(TMUX_FILE),
        };
        let tmux = Arc::new(Tmux::inside(inside, TMUX_SOCKET));
        let shim = workspace::own_binary();
        Sessions::inside(tmux, vec![shim.into(), "session-shim".into()], SESSIONS)
    }

    /// The record of one of its sessions, and what tmux calls it.
    pub(crate) async fn record(
        &self,
        node: &Node,
        name: &SessionName,
    ) -> Result<(SessionRecord, TmuxName), Problem> {
        let all = node.store.sessions().await.or_problem()?;
        let found = all.into_iter().find(|r| r.place() == self.id() && r.name == *name);
        Ok((found.ok_or_else(|| self.has_none(name))?, self.tmux_name(name)?))
    }

    /// The problem that it has no session of this name.
    pub(super) fn has_none(&self, name: &SessionName) -> Problem {
        let label = self.label();
        Problem::new(Code::NotFound, format!("`{label}` has no session `{name}`"))
            .hint("`dwell sessions` lists them")
    }
}

/// What runs tmux's commands in a workspace.
fn run_in(node: &Node, it: &Workspace) -> Run {
    let commands = Commands::of(node, it);
    Arc::new(move |spec, input, limit| {
        let commands = commands.clone();
        async move { commands.run(spec, input.as_deref(), limit).await }.boxed()
    })
}
