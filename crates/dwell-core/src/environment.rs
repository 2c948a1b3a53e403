//! An environment as it is wanted: the record that the store keeps and the daemon acts on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::placement::{Choices, Placement};
use crate::tree::Tree;
use crate::{
    EnvironmentId, EnvironmentName, Generation, NodeId, NodeName, ProjectName, ServiceName, Suffix,
};

/// What is wanted of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Its services should run.
    Running,
    /// Its services should not run.
    Stopped,
    /// It should be gone.
    Destroyed,
}

/// How the compose project is to be read, and which services are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Compose files relative to the project directory; empty means compose's own defaults.
    pub compose_files: Vec<PathBuf>,
    /// Env files for interpolation, relative to the project directory.
    pub env_files: Vec<PathBuf>,
    /// Active compose profiles.
    pub profiles: Vec<String>,
    /// The caller's `COMPOSE_*` variables.
    pub compose_variables: BTreeMap<String, String>,
    /// Services asked to be shared by flag.
    pub shared: Vec<ServiceName>,
    /// Services asked to be private by flag.
    pub isolate: Vec<ServiceName>,
    /// Further copy patterns given at creation.
    pub copy: Vec<String>,
    /// Where services were asked to run by flag.
    pub placement: Choices,
    /// Whether its HTTP services are reached from other machines of a mesh.
    pub ingress: bool,
    /// Whether it may be without a compose file, and so without services.
    pub bare: bool,
}

/// Where an environment came from that another node sent here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The node that sends it.
    pub node: NodeId,
    /// The directory there that it was made from.
    pub source: PathBuf,
    /// The environment there of which this is the part that runs here; `None` where all of it
    /// runs here.
    #[serde(default)]
    pub part_of: Option<EnvironmentId>,
}

/// An environment as the store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Its identity.
    pub id: EnvironmentId,
    /// Its name, unique in its project.
    pub name: EnvironmentName,
    /// Its project.
    pub project: ProjectName,
    /// The directory it was made from.
    pub source: PathBuf,
    /// The root of its tree, made or to be made.
    pub root: PathBuf,
    /// Its tree, once it is made.
    pub tree: Option<Tree>,
    /// The suffix of its names.
    pub suffix: Suffix,
    /// The generation of its containers.
    pub generation: Generation,
    /// What is wanted of it.
    pub desired: Desired,
    /// How to read its compose project.
    pub options: Options,
    /// When it was made, in microseconds since the Unix epoch.
    pub created: i64,
    /// What the user should know about how it was made.
    pub notes: Vec<String>,
    /// Where it was sent from; `None` for one that was made here.
    #[serde(default)]
    pub origin: Option<Origin>,
    /// The node of every service, as last decided here; `None` while all run here.
    #[serde(default)]
    pub placement: Option<Placement>,
    /// The parts of it that run on other nodes.
    #[serde(default)]
    pub parts: BTreeMap<NodeName, EnvironmentId>,
}

impl Environment {
    /// `project/name`, the way people and messages name it.
    pub fn label(&self) -> String {
        format!("{}/{}", self.project, self.name)
    }

    /// The compose project's directory.
    pub fn directory(&self) -> &Path {
        self.tree.as_ref().map_or(&self.root, |tree| &tree.project_dir)
    }

    /// The other node that a service runs on; `None` where it runs here.
    pub fn elsewhere(&self, service: &ServiceName) -> Option<&NodeName> {
        let node = self.placement.as_ref()?.node_of(service)?;
        if node.is_local() { None } else { Some(node) }
    }

    /// Whether it is the part of another node's environment that runs here.
    pub fn is_part(&self) -> bool {
        self.origin.as_ref().is_some_and(|origin| origin.part_of.is_some())
    }

    /// Its git branch.
    pub fn branch(&self) -> Option<&str> {
        self.tree.as_ref()?.branch.as_deref()
    }

    /// The compose project name of the present generation. Volumes and networks have names of
    /// their own that do not change with it.
    pub fn compose_project(&self) -> String {
        format!("dwell-{}-{}-{}", self.name, self.id, self.generation)
    }
}
