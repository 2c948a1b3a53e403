//! Sessions on the wire.

use std::path::PathBuf;

use dwell_core::{EnvironmentId, EnvironmentName, NodeName, ProjectName, SessionName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::environment::Variables;

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

/// One session.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Its name, unique in its environment.
    #[schema(value_type = String)]
    pub name: SessionName,
    /// Its environment's identity.
    #[schema(value_type = String)]
    pub environment: EnvironmentId,
    /// Its environment's name.
    #[schema(value_type = String)]
    pub environment_name: EnvironmentName,
    /// Its environment's project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Its working directory.
    #[schema(value_type = String)]
    pub directory: PathBuf,
    /// The agent that the command was recognised as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// What it was seen to be.
    pub status: SessionStatus,
    /// The exit code; 128 + signal when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Terminals attached to it.
    pub attached: u32,
    /// When it began, in microseconds since the Unix epoch.
    pub started: i64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<i64>,
    /// The command line that attaches a terminal to it on its node.
    pub attach: Vec<String>,
    /// The node that holds it, where that is not the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeName>,
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
    /// Where to run it, relative to the environment's project directory.
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
    /// Lays the variables over those of a login on the node, instead of taking them alone.
    #[serde(default)]
    pub login: bool,
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
    /// Only this environment's, by name or id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
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
