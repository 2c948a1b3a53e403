//! Environments on the wire.

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use dwell_core::environment::Desired;
pub use dwell_core::placement::{AgentPlace, Assignment, Flags};
pub use dwell_core::tree::TreeKind;
use dwell_core::{EnvironmentId, EnvironmentName, Generation, NodeName, ProjectName, ServiceName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::remote::Delivery;

/// What an environment was seen to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It has a tree and no containers yet.
    Created,
    /// An operation is bringing it up.
    Starting,
    /// Every service runs and none is unhealthy.
    Running,
    /// Some services run.
    Degraded,
    /// No service runs.
    Stopped,
    /// An operation is removing it.
    Destroying,
    /// The engine does not answer, so nobody knows.
    Unknown,
}

impl Status {
    /// The word shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Stopped => "stopped",
            Self::Destroying => "destroying",
            Self::Unknown => "unknown",
        }
    }
}

/// What kind of container stands for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceRole {
    /// The service itself, private to the environment.
    Isolated,
    /// A relay to the project's shared instance.
    Shared,
    /// A relay to the service on another node.
    Remote,
}

/// One service as it was observed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Service {
    /// The name in the compose file.
    #[schema(value_type = String)]
    pub name: ServiceName,
    /// What stands for it.
    pub role: ServiceRole,
    /// `running`, `exited (0)`, `restarting`, `missing`, `unknown`, ...
    pub state: String,
    /// `healthy`, `unhealthy`, `starting`; `None` without a healthcheck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// Containers that run, and containers wanted.
    pub replicas: (u32, u32),
    /// Addresses of the running containers.
    pub addresses: Vec<String>,
    /// Ports the service is known to listen on, as `5432/tcp`.
    pub ports: Vec<String>,
    /// Names it can be reached by now, best first; empty while it does not run.
    pub names: Vec<String>,
    /// Where a browser finds it, when it speaks HTTP as far as dwell can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether the environment's own name leads here.
    pub ingress: bool,
    /// The node it runs on, where that is not the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeName>,
}

/// One environment as it was observed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    /// Its identity.
    #[schema(value_type = String)]
    pub id: EnvironmentId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: EnvironmentName,
    /// Its project.
    #[schema(value_type = String)]
    pub project: ProjectName,
    /// The directory it was made from.
    #[schema(value_type = String)]
    pub source: PathBuf,
    /// Its own source tree.
    #[schema(value_type = String)]
    pub tree: PathBuf,
    /// The compose project's directory inside the tree.
    #[schema(value_type = String)]
    pub directory: PathBuf,
    /// How the tree is made; `None` until it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_kind: Option<TreeKind>,
    /// Its git branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The DNS suffix its names end in.
    pub suffix: String,
    /// The generation of its containers.
    #[schema(value_type = u32)]
    pub generation: Generation,
    /// What is wanted.
    pub desired: Desired,
    /// What was seen.
    pub status: Status,
    /// Its services, by name. Empty before the first `up`.
    pub services: Vec<Service>,
    /// Its private subnets.
    pub subnets: Vec<String>,
    /// Where its ingress is found, as a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Sessions that run in it.
    pub sessions: u32,
    /// When it was made, in microseconds since the Unix epoch.
    pub created: i64,
    /// Its home: the node whose daemon owns it, where that is not the one that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeName>,
    /// When it was last seen, in microseconds since the Unix epoch, where its home cannot be
    /// reached now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<i64>,
    /// What is shared with others or was changed in a way worth knowing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Which environments to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct ListEnvironments {
    /// Only this project's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// Only those whose name or id is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only those whose source or tree is or contains this directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub path: Option<PathBuf>,
}

/// Narrows an environment's name to one project.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct InProject {
    /// The project; needed only where the name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
}

/// Makes an environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreateEnvironment {
    /// Its name.
    #[schema(value_type = String)]
    pub name: EnvironmentName,
    /// Its project; by default the configured one, else the source directory's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// The directory to make it from, absolute.
    #[schema(value_type = String)]
    pub source: PathBuf,
    /// Starts with an empty tree instead of a copy of the source.
    #[serde(default)]
    pub empty: bool,
    /// Uses the source directory itself.
    #[serde(default)]
    pub in_place: bool,
    /// Makes it also where the project has no compose file: with a tree and without services.
    #[serde(default)]
    pub bare: bool,
    /// Further patterns of ignored files to bring along.
    #[serde(default)]
    pub copy: Vec<String>,
    /// Compose files instead of the configured or default ones, relative to the source.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub compose_files: Vec<PathBuf>,
    /// Env files for interpolation, relative to the source.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub env_files: Vec<PathBuf>,
    /// Compose profiles to activate.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// The caller's `COMPOSE_*` variables, which compose would honour.
    #[serde(default)]
    pub compose_variables: BTreeMap<String, String>,
    /// The caller's environment, for the setup hook. Kept in memory and never stored or logged.
    #[serde(default)]
    pub variables: Variables,
    /// Where its services and its agent are to run; what is said nothing of follows labels,
    /// configuration and what was said before.
    #[serde(default)]
    pub placement: Flags,
    /// Refuses a node that has not enough left, instead of a warning.
    #[serde(default)]
    pub strict: bool,
    /// Takes this side where it and the other node changed the same.
    #[serde(default)]
    pub force: bool,
    /// How it comes here from another node, which has resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

/// Brings an environment up.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Up {
    /// Makes the environment if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<CreateEnvironment>,
    /// Builds images even where they exist.
    #[serde(default)]
    pub build: bool,
    /// Makes all containers anew.
    #[serde(default)]
    pub recreate: bool,
    /// Services to use from the project's shared instances.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub shared: Vec<ServiceName>,
    /// Services to keep private although labels say shared.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub isolate: Vec<ServiceName>,
    /// Waits until healthchecks pass.
    #[serde(default)]
    pub wait: bool,
    /// The caller's environment, for interpolation in compose files and for hooks. Kept in memory
    /// for the operation and never stored or logged.
    #[serde(default)]
    pub variables: Variables,
    /// Where its services and its agent are to run; what is said nothing of follows labels,
    /// configuration and what was said before.
    #[serde(default)]
    pub placement: Flags,
    /// Whether its HTTP services are reached from other machines of a mesh, from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<bool>,
    /// Refuses a node that has not enough left, instead of a warning.
    #[serde(default)]
    pub strict: bool,
    /// Takes this side where it and the other node changed the same.
    #[serde(default)]
    pub force: bool,
    /// How it comes here from another node, which has resolved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

/// Destroys an environment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Destroy {
    /// Keeps the source tree.
    #[serde(default)]
    pub keep_workspace: bool,
    /// Destroys although uncommitted work, unmerged commits or live sessions would be lost.
    #[serde(default)]
    pub force: bool,
    /// It lives on elsewhere: its archive hook does not run.
    #[serde(default)]
    pub moved: bool,
}

/// What destroying an environment would lose.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Losses {
    /// Files with uncommitted work.
    pub uncommitted: Vec<String>,
    /// Commits on the environment's branch that are nowhere else.
    pub unmerged_commits: u32,
    /// Submodules with commits or changes of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub submodules: Vec<String>,
    /// Sessions that run.
    pub sessions: Vec<String>,
    /// Named volumes.
    pub volumes: Vec<String>,
}

/// What to show of the difference to the source.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct DiffQuery {
    /// The project; needed only where the name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// A summary of changed lines a file.
    #[serde(default)]
    pub stat: bool,
    /// File names only.
    #[serde(default)]
    pub name_only: bool,
    /// With terminal colours.
    #[serde(default)]
    pub color: bool,
}

/// Brings an environment's work into its source.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Merge {
    /// One commit instead of the environment's own.
    #[serde(default)]
    pub squash: bool,
    /// First commits the environment's uncommitted work with this message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
}

/// Brings the source's work into an environment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Sync {
    /// Takes the source's side where both changed the same, of an environment that came from
    /// another node.
    #[serde(default)]
    pub force: bool,
    /// The sources, for an environment that came from another node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
}

/// Brings an environment's work from its node into a branch of its source.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Pull {
    /// Moves the branch although it has commits of its own.
    #[serde(default)]
    pub force: bool,
}

/// A text made by a tool.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TextReport {
    /// The text.
    pub text: String,
    /// What else the user should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How to run `docker compose` on an environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ComposeCommand {
    /// The program and its leading arguments.
    pub arguments: Vec<String>,
    /// Where to run it.
    #[schema(value_type = String)]
    pub directory: PathBuf,
}

/// Which log lines to show.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct LogsQuery {
    /// The project; needed only where the name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// Only this service's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub service: Option<ServiceName>,
    /// Goes on with what comes.
    #[serde(default)]
    pub follow: bool,
    /// The last lines of each container; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<u32>,
    /// With timestamps.
    #[serde(default)]
    pub timestamps: bool,
}

/// A line of a container's log, one JSON object a line in the answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// The container's short name: `web-1`.
    pub source: String,
    /// Whether it was written to stderr.
    #[serde(default)]
    pub stderr: bool,
    /// The line without its end.
    pub line: String,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// Every service runs.
    Running,
    /// Every service runs and every healthcheck passes.
    Ready,
    /// No service runs.
    Stopped,
    /// No session runs.
    Idle,
}

/// Waits until an environment is in a state.
#[derive(Debug, Clone, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct WaitQuery {
    /// The project; needed only where the name alone is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectName>,
    /// The state.
    #[serde(rename = "for")]
    #[param(inline)]
    pub wanted: WaitFor,
    /// Gives up after this many seconds.
    pub timeout: u64,
}

/// Environment variables: name and value, in order. Values never show in debug output.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Variables(pub Vec<(String, String)>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} variables", self.0.len())
    }
}

/// What a repository wants to run, and whether it may.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TrustState {
    /// The project directory.
    #[schema(value_type = String)]
    pub source: PathBuf,
    /// The hash of everything that would run; `None` when there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The commands.
    pub commands: Vec<String>,
    /// Whether exactly this content was trusted.
    pub trusted: bool,
}

/// Trusts or distrusts what a project directory wants to run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TrustRequest {
    /// The project directory, absolute.
    #[schema(value_type = String)]
    pub source: PathBuf,
    /// The hash that the user saw; `None` only asks, or with `revoke` forgets all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Takes the trust back.
    #[serde(default)]
    pub revoke: bool,
}
