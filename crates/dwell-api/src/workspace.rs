//! Workspaces on the wire.

use dwell_core::listening::Listener;
use std::collections::BTreeSet;

use dwell_core::credentials::SignIn;
use dwell_core::settings::{DotfilesRef, Settings};
use dwell_core::workspace::{Desired, Docker, ImageRef, Limits, PublicKey, Size, Sizing, Status};
use dwell_core::{
    EnvironmentId, EnvironmentName, Generation, NodeName, ProjectName, WorkspaceId, WorkspaceName,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// One workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    /// Its identity.
    #[schema(value_type = String)]
    pub id: WorkspaceId,
    /// Its name, unique on its node.
    #[schema(value_type = String)]
    pub name: WorkspaceName,
    /// Counts its containers.
    #[schema(value_type = u32)]
    pub generation: Generation,
    /// The image that its file system began as.
    #[schema(value_type = String)]
    pub image: ImageRef,
    /// What it may use.
    #[schema(inline)]
    pub limits: Limits,
    /// What is wanted of it.
    #[schema(inline)]
    pub desired: Desired,
    /// What it was seen to be.
    #[schema(inline)]
    pub status: Status,
    /// Its address in its own network, on its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The name of its container in Docker.
    pub container: String,
    /// The name of its home volume in Docker.
    pub home: String,
    /// The environments that it has joined.
    pub environments: Vec<Joined>,
    /// The public host key of its ssh server.
    pub host_key: String,
    /// Whether dwell put it to sleep for being idle; then being asked for something wakes it.
    #[serde(default)]
    pub slept: bool,
    /// Whether it refuses ssh agents that connections to it forward.
    #[serde(default)]
    pub refuses_agents: bool,
    /// The agents whose sign-ins it shares with other workspaces.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub credentials: BTreeSet<SignIn>,
    /// How it has Docker.
    #[serde(default, skip_serializing_if = "Docker::is_none")]
    #[schema(inline)]
    pub docker: Docker,
    /// What it takes on the disk, as it was measured last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub size: Option<Size>,
    /// When it was made, in microseconds since the Unix epoch.
    pub created: i64,
    /// Until when its home is kept, once it is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<i64>,
    /// The node that holds it, where that is not the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeName>,
    /// When it was last seen, where its node cannot be reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<i64>,
}

/// An environment that a workspace has joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// Its identity.
    #[schema(value_type = String)]
    pub id: EnvironmentId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: EnvironmentName,
    /// Its project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// Whether the workspace is in its networks now.
    pub connected: bool,
    /// Where the workspace has its tree, where it has that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tree: Option<std::path::PathBuf>,
}

/// An environment by name, for joining.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentRef {
    /// Its name or identity.
    #[schema(value_type = String)]
    pub name: EnvironmentName,
    /// Its project; needed only where the name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
}

/// Makes a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreateWorkspace {
    /// Its name.
    #[schema(value_type = String)]
    pub name: WorkspaceName,
    /// The image; `dwell-workspace:latest` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub image: Option<ImageRef>,
    /// What it may use: a class or `cpu=2,mem=4g,disk=20g`; the class `medium` for what is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub sizing: Option<Sizing>,
    /// The environments that it joins and whose trees it has.
    #[serde(default)]
    pub environments: Vec<EnvironmentRef>,
    /// The person's settings, without keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Settings>,
    /// The repository of the person's dotfiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub dotfiles: Option<DotfilesRef>,
    /// The agents whose sign-ins it shares with other workspaces of its node.
    #[serde(default)]
    pub credentials: BTreeSet<SignIn>,
    /// How it has Docker.
    #[serde(default)]
    #[schema(inline)]
    pub docker: Docker,
    /// Whether it has the device that the Android emulator takes.
    #[serde(default)]
    pub android: bool,
}

impl CreateWorkspace {
    /// One of this name, as they usually are.
    pub fn named(name: WorkspaceName) -> Self {
        Self {
            name,
            image: None,
            sizing: None,
            environments: Vec::new(),
            settings: None,
            dotfiles: None,
            credentials: BTreeSet::new(),
            docker: Docker::None,
            android: false,
        }
    }
}

/// What to change of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Starts its processes.
    Start,
    /// Ends its processes; its file system stays.
    Stop,
    /// Freezes it as it is.
    Suspend,
    /// Lets it go on, starting it where it was stopped.
    Resume,
    /// Gives it other limits.
    Resize {
        /// Which: a class or `cpu=2,mem=4g,disk=20g`.
        #[schema(value_type = String)]
        sizing: Sizing,
    },
    /// Calls it something else.
    Rename {
        /// What.
        #[schema(value_type = String)]
        name: WorkspaceName,
    },
    /// Lets connections forward their ssh agent, or refuses that.
    Agents {
        /// Whether they may.
        allow: bool,
    },
    /// Puts it on an environment's networks.
    Join {
        /// Which.
        environment: EnvironmentRef,
        /// Also gives it the environment's tree, which takes a new container.
        #[serde(default)]
        tree: bool,
    },
    /// Takes it off them.
    Leave {
        /// Which.
        environment: EnvironmentRef,
    },
}

impl Change {
    /// The word for it, as in the command.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::Resize { .. } => "resize",
            Self::Rename { .. } => "rename",
            Self::Agents { .. } => "ssh-agent",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
        }
    }
}

/// Removes a workspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct DestroyWorkspace {
    /// Gives up what would be lost.
    #[serde(default)]
    pub force: bool,
    /// Removes its home at once, instead of keeping it for a while.
    #[serde(default)]
    pub purge: bool,
}

/// What destroying a workspace would lose, or leave only in the home that is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceLosses {
    /// Sessions that run in it: their names and commands.
    #[serde(default)]
    pub sessions: Vec<String>,
    /// Other commands that run in it.
    pub running: Vec<String>,
    /// Repositories of its home with work that is nowhere else.
    pub repositories: Vec<UnsavedRepository>,
    /// Why repositories could not be looked at, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

impl WorkspaceLosses {
    /// Whether nothing would be lost.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
            && self.running.is_empty()
            && self.repositories.is_empty()
            && self.unknown.is_none()
    }

    /// What would be lost, a line each.
    pub fn lines(&self) -> Vec<String> {
        let sessions = self.sessions.iter().map(|session| format!("running session: {session}"));
        let running = self.running.iter().map(|command| format!("running: {command}"));
        let work = self.repositories.iter().map(ToString::to_string);
        sessions.chain(running).chain(work).chain(self.unknown.clone()).collect()
    }
}

/// A repository with work that is nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnsavedRepository {
    /// Its directory in the workspace.
    pub path: String,
    /// Files that are not committed.
    pub uncommitted: u32,
    /// Commits of its branches that no remote has.
    pub unpushed: u32,
    /// Stashes.
    pub stashes: u32,
}

impl std::fmt::Display for UnsavedRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.uncommitted, "uncommitted files"),
            (self.unpushed, "unpushed commits"),
            (self.stashes, "stashes"),
        ];
        let told: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        write!(f, "{}: {}", self.path, told.join(", "))
    }
}

/// Makes a workspace again of the home that was kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct RestoreWorkspace {
    /// What to call it, where its old name is taken or not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<WorkspaceName>,
}

/// Which workspaces to list.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct ListWorkspaces {
    /// Also those that are destroyed and whose homes are kept.
    #[serde(default)]
    pub all: bool,
}

/// Runs a command in a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceExec {
    /// The command and its arguments; a login shell when empty.
    pub command: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub stdin: bool,
    /// Columns and rows of the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u16, u16)>,
    /// Further environment variables.
    #[serde(default)]
    pub variables: Vec<(String, String)>,
    /// The user to run it as; `dev` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The directory to run it in; the home when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// Opens a byte stream to a port of a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceDial {
    /// The port.
    pub port: u16,
    /// Also what takes connections from inside only, and at once: where nothing listens that is
    /// told, rather than waited for.
    #[serde(default)]
    pub inside: bool,
    /// Its desktop instead, which speaks RFB.
    #[serde(default)]
    pub desktop: bool,
    /// A public key that may log in from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub key: Option<PublicKey>,
}

/// How to look at what listens in a workspace.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct PortsQuery {
    /// Wakes it where it is frozen, in order to see more.
    #[serde(default)]
    pub wake: bool,
}

/// What listens in a workspace.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Ports {
    /// By port.
    pub listening: Vec<Listener>,
    /// Whether that was seen from outside, as it is frozen.
    pub frozen: bool,
}
