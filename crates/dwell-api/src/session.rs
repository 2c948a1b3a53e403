//! Sessions on the wire.

use std::path::PathBuf;

use dwell_core::agent::AgentState;
use dwell_core::{
    EnvironmentId, EnvironmentName, NodeName, ProjectName, SessionName, WorkspaceId, WorkspaceName,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::endpoint;
use crate::environment::Variables;
use crate::workspace::EnvironmentRef;

/// What a session was seen to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    /// Its command runs.
    Running,
    /// Its command ended; the exit code is known.
    Ended,
    /// It was running when the machine or its tmux server went away.
    Lost,
}

/// One session: in an environment, or in a workspace, where it may work on an environment's tree.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its name, unique in the workspace that it is in, else in its environment.
    #[schema(value_type = String)]
    pub name: SessionName,
    /// The workspace that it is in, by its identity; absent where it runs on the node itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workspace: Option<WorkspaceId>,
    /// That workspace's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workspace_name: Option<WorkspaceName>,
    /// Its environment's identity; always there where it is in no workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub environment: Option<EnvironmentId>,
    /// Its environment's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub environment_name: Option<EnvironmentName>,
    /// Its environment's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Its working directory.
    #[schema(value_type = String)]
    pub directory: PathBuf,
    /// The agent that the command was recognised as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What that agent is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(inline)]
    pub state: Option<AgentState>,
    /// The identity of its conversation, where it told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<String>,
    /// What it was seen to be.
    pub status: SessionStatus,
    /// The exit code; 128 + signal when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Terminals attached to it.
    pub attached: u32,
    /// Windows that it has, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<u32>,
    /// When it began, in microseconds since the Unix epoch.
    pub started: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    /// Whether dwell started it again after its workspace was stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
    /// The command line that attaches a terminal to it on its node.
    pub attach: Vec<String>,
    /// The node that holds it, where that is not the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeName>,
}

impl Session {
    /// The name of the place that it is in: of its workspace, else of its environment.
    pub fn place(&self) -> &str {
        let environment = self.environment_name.as_ref().map_or("", EnvironmentName::as_str);
        self.workspace_name.as_ref().map_or(environment, WorkspaceName::as_str)
    }

    /// The path of a call about it: the one for sessions of environments or the one for those of
    /// workspaces.
    pub fn at(&self, in_environment: &str, in_workspace: &str) -> String {
        let name = self.name.as_str();
        match (&self.workspace, &self.environment) {
            (Some(id), _) => endpoint::fill(in_workspace, &[id.as_str(), name]),
            (None, Some(id)) => endpoint::fill(in_environment, &[id.as_str(), name]),
            (None, None) => endpoint::fill(in_environment, &["", name]),
        }
    }
}

/// Starts a session.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StartSession {
    /// Its name; made from the command when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<SessionName>,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The environment of the invoking shell. Kept in a private file until the command has read
    /// it, never in arguments or logs.
    pub variables: Variables,
    /// Where to run it, relative to the environment's project directory; in a workspace, where no
    /// environment is named, to the home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub directory: Option<PathBuf>,
    /// Columns and rows of the terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u16, u16)>,
    /// Gives the command pipes instead of a terminal.
    #[serde(default)]
    pub pipes: bool,
    /// Starts the lost or ended session of this name again, with its own command.
    #[serde(default)]
    pub resume: bool,
    /// Lays the variables over those of a login on the node, instead of taking them alone. In a
    /// workspace they always are.
    #[serde(default)]
    pub login: bool,
    /// In a workspace: the environment on whose tree it works, which the workspace has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentRef>,
}

/// Shows a session in a workspace on a terminal.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AttachSession {
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// What kind of terminal it is, as in `TERM`.
    pub terminal: String,
    /// Shows it without typing into it.
    #[serde(default)]
    pub read_only: bool,
}

/// Types text into a session.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SendText {
    /// The session; the only running one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub session: Option<SessionName>,
    /// The text, typed literally.
    pub text: String,
    /// Presses Enter after it.
    pub enter: bool,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct ListSessions {
    /// Only those in this environment, or at work on its tree, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Only those in this workspace, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The project; needed only where the name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
}

/// Which part of a transcript to read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct TranscriptQuery {
    /// The project; needed only where the environment's name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// Goes on until the command ends.
    #[serde(default)]
    pub follow: bool,
    /// Without terminal escapes.
    #[serde(default)]
    pub plain: bool,
}
