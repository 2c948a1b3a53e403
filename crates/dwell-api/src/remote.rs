//! Other nodes on the wire: registering them, how they are, and byte streams to what is on them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use dwell_core::admission::Capacity;
use dwell_core::compose::Specification;
use dwell_core::environment::Origin;
use dwell_core::remote::{MeshAddress, Remote};
use dwell_core::workspace::Status;
use dwell_core::{EnvironmentId, EnvironmentName, NodeId, NodeName, ServiceName};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::environment::Environment;
use crate::problem::Problem;
use crate::session::Session;
use crate::workspace::Workspace;

/// The version of what daemons say to each other over a link. Two that differ do not talk.
pub const PROTOCOL: u16 = 1;

/// The value of the `upgrade` header of [`crate::endpoint::DIAL`].
pub const DIAL: &str = "dwell-dial";

/// The value of the `upgrade` header of the calls that carry sources and work.
pub const TRAVEL: &str = "dwell-travel";

/// What a daemon says of itself when a link begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hello {
    /// The node.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// The version of its binary.
    pub version: String,
    /// The user it runs as.
    pub user: String,
    /// Its clock, in microseconds since the Unix epoch.
    pub clock: i64,
}

/// Where a dialled stream leads on the node that is dialled: the head of a multiplexed stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "to", rename_all = "snake_case")]
pub enum Target {
    /// The node's API, as on its socket.
    Api,
    /// A port of a service.
    Service {
        /// The environment, as that node knows it.
        #[schema(value_type = String)]
        environment: EnvironmentId,
        /// The service.
        #[schema(value_type = String)]
        service: ServiceName,
        /// The service's own port.
        port: u16,
        /// Datagrams, each after its length in two bytes with the high one first.
        #[serde(default)]
        datagrams: bool,
    },
    /// Whether a service is ready: the stream gives [`READY`] and ends, or ends at once.
    Ready {
        /// The environment, as that node knows it.
        #[schema(value_type = String)]
        environment: EnvironmentId,
        /// The service.
        #[schema(value_type = String)]
        service: ServiceName,
        /// Whether it is to have ended well, as a job does, rather than be healthy.
        completed: bool,
    },
}

/// What a stream to [`Target::Ready`] says of a service that is.
pub const READY: &[u8] = b"ready\n";

/// What a node says of itself to one that is to let it in over a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Introduction {
    /// The node.
    #[schema(value_type = String)]
    pub node: NodeId,
    /// The SHA-256 of its certificate, as 64 hexadecimal digits.
    pub fingerprint: String,
    /// Where it wants to reach the other: one of that machine's own addresses; by default the one
    /// that its Tailscale or WireGuard tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub address: Option<MeshAddress>,
}

/// What a node answers to an introduction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Introduced {
    /// The SHA-256 of its certificate, as 64 hexadecimal digits.
    pub fingerprint: String,
    /// Where it listens.
    #[schema(value_type = String)]
    pub address: SocketAddr,
}

/// What a node says that is not to be let in any more.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Farewell {
    /// The node.
    #[schema(value_type = String)]
    pub node: NodeId,
}

/// Dials a node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Dial {
    /// Where to.
    pub target: Target,
}

/// How the link to a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum LinkState {
    /// It is being made.
    Connecting,
    /// It is up.
    Up {
        /// What carries it: `ssh` or `mesh`.
        via: String,
        /// Since when, in microseconds since the Unix epoch.
        since: i64,
        /// The last measured round trip, in microseconds.
        latency: u64,
        /// What keeps a better way from carrying it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        better: Option<String>,
    },
    /// It is down.
    Down {
        /// Why.
        why: String,
        /// What to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fix: Option<String>,
    },
}

/// A registered node as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RemoteNode {
    /// How it is reached.
    #[schema(value_type = Object)]
    pub remote: Remote,
    /// How the link is.
    pub link: LinkState,
    /// What it said of itself last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hello: Option<Hello>,
    /// Environments that were last seen there.
    pub environments: u32,
    /// When it was last heard of, in microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<i64>,
    /// What people should know about its names and addresses here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A measured round trip to a node's daemon.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Pong {
    /// What carried it.
    pub via: String,
    /// In microseconds.
    pub round_trip: u64,
}

/// Images whose ports are asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Images {
    /// Their names.
    pub names: Vec<String>,
    /// Whether to pull those that are missing.
    pub pull: bool,
}

/// The ports that images say.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImagePorts {
    /// By image, as `5432/tcp`; an image that is not there is left out.
    pub ports: BTreeMap<String, Vec<String>>,
}

/// What runs on a node and what is left of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// Its host name.
    pub host: String,
    /// The version of its daemon.
    pub version: String,
    /// What it has.
    pub capacity: Capacity,
    /// Environments with containers on its engine, by Unix user.
    pub environments: Vec<(String, u32)>,
    /// Its clock, in microseconds since the Unix epoch.
    pub clock: i64,
    /// An identity that is another one after each start of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// A name that a service is published under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedName {
    /// The service that has it.
    #[schema(value_type = String)]
    pub service: ServiceName,
    /// The name, without a trailing dot.
    pub fqdn: String,
    /// Whether every name below it is meant.
    #[serde(default)]
    pub wildcard: bool,
    /// Whether another environment may have it too.
    #[serde(default)]
    pub short: bool,
    /// What to use instead where it is ambiguous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<String>,
    /// The port at which it speaks HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_port: Option<u16>,
}

/// An environment with the names of its services that run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SeenEnvironment {
    /// What it was seen to be.
    pub environment: Environment,
    /// Its names.
    pub names: Vec<PublishedName>,
    /// Where it was sent from, for one that came from another node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub origin: Option<Origin>,
}

/// Where something is made.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct OnNode {
    /// Another node; the one that is asked when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    #[schema(value_type = Option<String>)]
    pub node: Option<NodeName>,
}

/// All that a node shows at one moment; the lines of [`crate::endpoint::WATCH`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Seen {
    /// Its environments.
    pub environments: Vec<SeenEnvironment>,
    /// Its sessions.
    pub sessions: Vec<Session>,
    /// Its workspaces, also those whose homes are kept.
    #[serde(default)]
    pub workspaces: Vec<Workspace>,
}

impl Seen {
    /// Whether it has a workspace or an environment of this identity.
    pub fn has(&self, id: &str) -> bool {
        let is_its = |it: &Workspace| it.id.as_str() == id && it.status != Status::Destroyed;
        self.workspaces.iter().any(is_its)
            || self.environments.iter().any(|it| it.environment.id.as_str() == id)
    }

    /// Whether it keeps the home of a workspace of this identity that is destroyed.
    pub fn had(&self, id: &str) -> bool {
        let is_its = |it: &Workspace| it.id.as_str() == id && it.status == Status::Destroyed;
        self.workspaces.iter().any(is_its)
    }
}

/// A source that was sent to a node: how it is named there. What it says is between the drivers
/// of both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Sent(pub serde_json::Value);

/// How an environment comes to a node from another one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The node that sends it.
    #[schema(value_type = String)]
    pub from: NodeId,
    /// The directory there that it was made from.
    #[schema(value_type = String)]
    pub source: PathBuf,
    /// Its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// Takes the sender's side where both changed the same.
    #[serde(default)]
    pub force: bool,
    /// The project as it was resolved there.
    #[schema(value_type = Object)]
    pub specification: Specification,
    /// The identity that an environment made of it gets, chosen by the sender so that it knows
    /// what to remove, whatever becomes of the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<EnvironmentId>,
    /// The environment there whose services these are a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub part_of: Option<EnvironmentId>,
    /// The hash of the repository's commands that the user trusted there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted: Option<String>,
}

/// Which environment of a project sources are for.
#[derive(Debug, Clone, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct SourcesFor {
    /// The environment.
    #[param(value_type = String)]
    #[schema(value_type = String)]
    pub environment: EnvironmentName,
    /// How the source names its objects: `sha1` or `sha256`.
    pub format: String,
}

/// Which environment of a project files are for that are no objects of git.
#[derive(Debug, Clone, Serialize, Deserialize, IntoParams, ToSchema)]
pub struct FilesFor {
    /// The environment.
    #[param(value_type = String)]
    #[schema(value_type = String)]
    pub environment: EnvironmentName,
    /// Takes the sender's side where both changed the same.
    #[serde(default)]
    pub force: bool,
}

/// A transfer by rsync, whose client asks for this.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Rsync {
    /// The environment.
    #[schema(value_type = String)]
    pub environment: EnvironmentName,
    /// What is brought into it, as it was offered; without it the environment's files go out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer: Option<String>,
    /// The server's arguments.
    pub arguments: Vec<String>,
}

/// What became of sources that were received.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Arrived {
    /// All of it is there, and this is what people should know.
    Whole(Vec<String>),
    /// Nothing changed, for this reason.
    Failed(Problem),
}
