//! A workspace as it is wanted: the record that the store keeps, the names of what is made for
//! it, and what is to be done where what was seen differs.

mod android;
mod docker;
mod image;
mod key;
mod limits;
mod pool;
mod size;
mod snapshot;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::credentials::SignIn;
use crate::idle::{Phase, Settings, Tier};
use crate::observed::State;
use crate::{EnvironmentId, Generation, WorkspaceId, WorkspaceName};

pub use android::{ANDROID_PROGRAMS, Android, AndroidState, KVM, kvm_trouble, too_little};
pub use docker::{DOCKER_DATA, DOCKER_LOG, DOCKER_VARIABLE, Docker, DockerError, HOST_SOCKET};
pub use image::{ImageError, ImageRef};
pub use key::{PublicKey, PublicKeyError};
pub use limits::{Limits, Sizing, SizingError};
pub use pool::{
    POOL_MOST, PoolConfig, PoolError, PoolPlan, PoolSeen, Pooled, Unfit, Waits, pool_choice,
    pool_plan,
};
pub use size::{Measured, Size};
pub use snapshot::{Before, SetupStep, Snapshot};

/// What the names of workspaces' bridges begin with, and no others.
pub const BRIDGE: &str = "dw-";
/// The user that works in a workspace.
pub const USER: &str = "dev";
/// The id of that user and of its group.
pub const UID: u32 = 1000;
/// That user's home, which outlives the container.
pub const HOME: &str = "/home/dev";
/// Where a workspace has what its node gives it: the binary, its host key, its variables.
pub const GIVEN: &str = "/run/dwell";
/// Where a workspace has the files of its sessions, which its node reads.
pub const SESSIONS: &str = "/run/dwell-sessions";
/// The file there that is present while the workspace is being stopped.
pub const STOPPING_FILE: &str = "stopping";
/// The socket there at which its first process has commands started for its node, and for nobody
/// inside.
pub const COMMANDS_SOCKET: &str = "commands.sock";
/// The file in [`GIVEN`] that configures the tmux server of its sessions.
pub const TMUX_FILE: &str = "tmux.conf";
/// Where the user of a workspace has its sockets.
pub const RUNTIME: &str = "/run/user/1000";
/// The socket of the tmux server of its sessions. Nobody outside ever connects to it.
pub const TMUX_SOCKET: &str = "/run/user/1000/dwell-tmux.sock";
/// The file in [`GIVEN`] with the variables that tell what the workspace is, `NAME=value` a line.
pub const VARIABLES_FILE: &str = "variables";
/// The file in [`GIVEN`] with the places of trees, a line each.
pub const TREES_FILE: &str = "trees";
/// The file in [`GIVEN`] with the private host key of its ssh server.
pub const HOST_KEY_FILE: &str = "ssh_host_ed25519_key";
/// The file in [`GIVEN`] with the public keys that may log in.
pub const AUTHORIZED_KEYS_FILE: &str = "authorized_keys";
/// The socket that leads to the ssh agent of the newest connection that forwards one. Its path stays.
pub const AGENT_SOCKET: &str = "/run/user/1000/ssh-agent.sock";
/// The variable that tells programs where their ssh agent is.
pub const AGENT_VARIABLE: &str = "SSH_AUTH_SOCK";
/// The socket of its desktop, which speaks RFB there.
pub const DESKTOP_SOCKET: &str = "/run/user/1000/desktop.sock";
/// Where an image with a desktop has noVNC.
pub const VIEWER: &str = "/opt/dwell/novnc";
/// What the first process says once commands can run.
pub const READY: &str = "dwell: the workspace is ready";

/// What is wanted of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = WorkspaceDesired))]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// It should run.
    Running,
    /// It should be frozen: in memory, without a share of the processors.
    Frozen,
    /// Its processes should be ended; its file system stays.
    Stopped,
    /// It should be gone; its home is kept for a while.
    Destroyed,
}

/// What a workspace was seen to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = WorkspaceStatus))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is being made.
    Creating,
    /// It runs.
    Running,
    /// It is frozen.
    Frozen,
    /// Its processes are ended.
    Stopped,
    /// Its container is gone although nobody asked for that.
    Missing,
    /// It is being removed.
    Destroying,
    /// It is gone; its home is kept.
    Destroyed,
    /// The engine does not answer, so nothing is known.
    Unknown,
}

impl Status {
    /// The word shown to people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Stopped => "stopped",
            Self::Missing => "missing",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
            Self::Unknown => "unknown",
        }
    }
}

/// What is left of a destroyed workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Until when its home is kept, in microseconds since the Unix epoch.
    pub until: i64,
    /// Whether everything else of it is gone.
    pub cleared: bool,
}

/// A workspace as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its identity.
    pub id: WorkspaceId,
    /// Its name, unique on its node.
    pub name: WorkspaceName,
    /// Which of its containers counts; each new one has a new generation.
    pub generation: Generation,
    /// The image that its file system begins as.
    pub image: ImageRef,
    /// What it may use.
    pub limits: Limits,
    /// What is wanted of it.
    pub desired: Desired,
    /// Whether it is being made, or made again of a kept home. That is undone after a crash.
    pub making: bool,
    /// What is left of it, once it is destroyed.
    #[serde(default)]
    pub kept: Option<Kept>,
    /// The environments whose networks it is in.
    #[serde(default)]
    pub environments: BTreeSet<EnvironmentId>,
    /// The environments whose trees it has, each at the place that it has on the node.
    #[serde(default)]
    pub trees: BTreeSet<EnvironmentId>,
    /// The addresses of its own network, once they are allotted.
    #[serde(default)]
    pub subnet: Option<Ipv4Net>,
    /// The public host key of its ssh server, as in `known_hosts`, once it is made.
    #[serde(default)]
    pub host_key: String,
    /// How long it may be idle, as far as it differs from what the node has.
    #[serde(default)]
    pub idle: Settings,
    /// Whether dwell put it to sleep: then being asked for something wakes it, also where it is
    /// stopped.
    #[serde(default)]
    pub slept: bool,
    /// The image that its container begins as, where that was made of another container.
    #[serde(default)]
    pub root: Option<ImageRef>,
    /// Counts its homes: going back to a snapshot gives it another one.
    #[serde(default)]
    pub homes: u32,
    /// Its snapshots, the oldest first.
    #[serde(default)]
    pub snapshots: Vec<Snapshot>,
    /// The highest number that a snapshot of it had.
    #[serde(default)]
    pub snapshots_made: u32,
    /// What is run again where its file system begins anew.
    #[serde(default)]
    pub setup: Vec<SetupStep>,
    /// What it was, while its container is being replaced. After a crash it goes back to that.
    #[serde(default)]
    pub before: Option<Before>,
    /// Whether it refuses ssh agents that connections to it forward.
    #[serde(default)]
    pub refuses_agents: bool,
    /// The agents whose sign-ins it shares with other workspaces.
    #[serde(default)]
    pub credentials: BTreeSet<SignIn>,
    /// How it has Docker.
    #[serde(default)]
    pub docker: Docker,
    /// Whether it has the device that the Android emulator takes.
    #[serde(default)]
    pub android: bool,
    /// When it was made, in microseconds since the Unix epoch.
    pub created: i64,
}

impl Workspace {
    /// One that is about to be made, without anything that a person may choose besides.
    pub fn new(
        id: WorkspaceId,
        name: WorkspaceName,
        image: ImageRef,
        limits: Limits,
        created: i64,
    ) -> Self {
        Self {
            id,
            name,
            generation: Generation::FIRST,
            image,
            limits,
            desired: Desired::Running,
            making: true,
            kept: None,
            environments: BTreeSet::new(),
            trees: BTreeSet::new(),
            subnet: None,
            host_key: String::new(),
            idle: Settings::default(),
            slept: false,
            root: None,
            homes: 0,
            snapshots: Vec::new(),
            snapshots_made: 0,
            setup: Vec::new(),
            before: None,
            refuses_agents: false,
            credentials: BTreeSet::new(),
            docker: Docker::None,
            android: false,
            created,
        }
    }

    /// Notes what a person wants of it, who then has the last word.
    pub fn want(&mut self, desired: Desired) {
        (self.desired, self.slept) = (desired, false);
    }

    /// Puts it to sleep for being idle.
    pub fn sleep(&mut self, tier: Tier) {
        self.slept = true;
        self.desired = match tier {
            Tier::Freeze => Desired::Frozen,
            Tier::Stop => Desired::Stopped,
        };
    }

    /// What it does, as far as being idle is concerned.
    pub fn phase(&self, seen: Option<State>) -> Phase {
        match seen {
            Some(State::Running | State::Restarting) => Phase::Running,
            Some(State::Paused) if self.slept => Phase::Frozen,
            Some(State::Paused) => Phase::Held,
            _ => Phase::Stopped,
        }
    }

    /// The container's name in Docker.
    pub fn container(&self) -> String {
        format!("dwell-ws-{}-{}-{}", self.name, self.id, self.generation)
    }

    /// The name in Docker of its own network.
    pub fn network(&self) -> String {
        format!("dwell-ws-{}", self.id)
    }

    /// What its machine calls the bridge of that network.
    pub fn bridge(&self) -> String {
        format!("{BRIDGE}{}", self.id)
    }

    /// The name in Docker of the volume that is its home.
    pub fn home(&self) -> String {
        self.home_of(self.homes)
    }

    fn home_of(&self, homes: u32) -> String {
        match homes {
            0 => format!("dwell-ws-{}-home", self.id),
            _ => format!("dwell-ws-{}-home-{homes}", self.id),
        }
    }

    /// The name in Docker of the volume with the data of an engine of its own, where it has one.
    pub fn docker_data(&self) -> Option<String> {
        (self.docker == Docker::Dind).then(|| format!("dwell-ws-{}-docker", self.id))
    }

    /// The variables that tell those inside what the workspace is.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut all = vec![
            ("DWELL_WORKSPACE".to_owned(), self.id.to_string()),
            ("DWELL_WORKSPACE_NAME".to_owned(), self.name.to_string()),
            ("DWELL_CPUS".to_owned(), self.limits.cpus()),
            ("DWELL_MEMORY_MB".to_owned(), self.limits.memory_mb.to_string()),
        ];
        if !self.refuses_agents {
            all.push((AGENT_VARIABLE.to_owned(), AGENT_SOCKET.to_owned()));
        }
        let places = self.credentials.iter().filter_map(|agent| agent.variable());
        all.extend(places.map(|(name, value)| (name.to_owned(), value)));
        if !self.docker.is_none() {
            all.push((DOCKER_VARIABLE.to_owned(), self.docker.to_string()));
        }
        all.extend(self.docker.host().map(|host| ("DOCKER_HOST".to_owned(), host)));
        all
    }

    /// What it is, where its container was seen in this state (`None`: there is none).
    pub fn status(&self, seen: Option<State>) -> Status {
        match (self.kept, seen) {
            _ if self.making => Status::Creating,
            (Some(_), Some(_)) => Status::Destroying,
            (Some(_), None) => Status::Destroyed,
            (None, Some(State::Running | State::Restarting)) => Status::Running,
            (None, Some(State::Paused)) => Status::Frozen,
            (None, Some(State::Created | State::Exited(_))) => Status::Stopped,
            (None, Some(State::Gone) | None) => Status::Missing,
        }
    }

    /// What is to be done, where its container was seen in this state.
    pub fn due(&self, seen: Option<State>) -> Option<Act> {
        use State::{Created, Exited, Paused, Running};
        match (self.desired, seen) {
            (Desired::Running, None) => Some(Act::Make),
            (Desired::Running, Some(Created | Exited(_))) => Some(Act::Start),
            (Desired::Running, Some(Paused)) => Some(Act::Thaw),
            (Desired::Frozen, Some(Running)) => Some(Act::Freeze),
            (Desired::Stopped, Some(Running | Paused)) => Some(Act::Stop),
            _ => None,
        }
    }
}

/// What brings a workspace nearer to what is wanted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Making its container anew; its home is there.
    Make,
    /// Starting its container.
    Start,
    /// Letting it go on.
    Thaw,
    /// Freezing it.
    Freeze,
    /// Ending its processes.
    Stop,
}
