//! Configuration: a project's `dwell.toml` or `.cilo/config.yml`, and the node's own file. Text
//! goes in, typed values come out; what is wrong is named with its place and, where a name was
//! misspelt, with the likely one.

mod cilo;
mod error;
mod node;
mod path;
mod project;
mod render;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use error::ConfigError;
pub use node::{
    DnsConfig, ForwardConfig, NetworkConfig, NodeConfig, ProxyConfig, RemoteConfig, SharedConfig,
};
pub use path::{CopyPattern, HostPath, PathError, ProjectPath};
pub use project::schema;
pub use render::{render, variables};

use crate::{NodeName, ProjectName, ServiceName, Suffix};

/// The name of a project's own file, in its root.
pub const PROJECT_FILE: &str = "dwell.toml";
/// Where Cilo keeps a project's file, relative to its root.
pub const CILO_FILE: &str = ".cilo/config.yml";

/// Larger files are refused unread, in bytes.
const SIZE_MAX: usize = 256 * 1024;

/// Which file a project's configuration came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// There is no file.
    #[default]
    None,
    /// `dwell.toml`.
    Dwell,
    /// `.cilo/config.yml`.
    Cilo,
}

/// What a project asks for. Every part may be missing; nothing in it leads out of the project.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectConfig {
    /// Where it was read.
    pub origin: Origin,
    /// The project's name; the directory's where missing.
    pub project: Option<ProjectName>,
    /// Compose files in order; compose's own defaults where empty.
    pub compose_files: Vec<ProjectPath>,
    /// Files of variables for compose's interpolation, in order.
    pub env_files: Vec<ProjectPath>,
    /// Profiles to activate.
    pub profiles: Vec<String>,
    /// The DNS suffix of its names.
    pub dns_suffix: Option<Suffix>,
    /// The service that answers for the project's own name.
    pub ingress: Option<ServiceName>,
    /// More host names per service, each below the environment's name.
    pub hostnames: BTreeMap<ServiceName, Vec<String>>,
    /// Host names for whichever service turns out to be the ingress.
    pub ingress_hostnames: Vec<String>,
    /// Services of which all environments share one instance.
    pub share: Vec<ServiceName>,
    /// The node of services that do not run where the environment is asked for.
    pub place: BTreeMap<ServiceName, NodeName>,
    /// Services that those on other nodes may reach.
    pub reverse: Vec<ServiceName>,
    /// What is sent to other nodes.
    pub sync: SyncRules,
    /// Commands at fixed moments.
    pub hooks: Hooks,
    /// Ignored files to bring into new trees.
    pub copy: Vec<CopyPattern>,
    /// Files to fill with the environment's values.
    pub render: Vec<RenderRule>,
    /// What a person should know, ignored settings for instance.
    pub notes: Vec<String>,
}

/// What of a project is sent to another node besides what git keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRules {
    /// Ignored files that are sent as well.
    pub include: Vec<CopyPattern>,
    /// Files that are never sent.
    pub exclude: Vec<CopyPattern>,
    /// Ignored files with secrets that are sent, and told of.
    pub secrets: Vec<CopyPattern>,
    /// Paths that other nodes have themselves.
    pub host: Vec<HostPath>,
}

/// Shell snippets at fixed moments in an environment's life. They run in its tree, and only
/// after the user trusted exactly this content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// After the tree was made.
    pub setup: Vec<String>,
    /// Before each start of the services.
    pub run: Vec<String>,
    /// Before the environment is destroyed.
    pub archive: Vec<String>,
}

/// How a file of the tree is filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderRule {
    /// The file, relative to the project.
    pub file: ProjectPath,
    /// Whether `${DWELL_...}` and `${CILO_...}` are filled in.
    pub tokens: bool,
    /// Texts to replace, in order, before the tokens.
    pub replace: Vec<Replace>,
}

/// One replacement; tokens in both texts are filled in first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replace {
    /// What to look for, literally.
    pub from: String,
    /// What to put there.
    pub to: String,
}

impl ProjectConfig {
    /// Reads `dwell.toml`.
    pub fn from_dwell(text: &str) -> Result<Self, ConfigError> {
        project::read(text)
    }

    /// Reads Cilo's file as it is.
    pub fn from_cilo(text: &str) -> Result<Self, ConfigError> {
        cilo::read(text)
    }

    /// Reads what a project has: its own file wins over Cilo's.
    pub fn from_files(dwell: Option<&str>, cilo: Option<&str>) -> Result<Self, ConfigError> {
        match (dwell, cilo) {
            (Some(dwell), None) => Self::from_dwell(dwell),
            (None, Some(cilo)) => Self::from_cilo(cilo),
            (None, None) => Ok(Self::default()),
            (Some(dwell), Some(_)) => {
                let mut config = Self::from_dwell(dwell)?;
                config.notes.push(format!("{CILO_FILE} is ignored: {PROJECT_FILE} exists"));
                Ok(config)
            }
        }
    }
}

/// A host name below an environment: labels of letters, digits and `-`, joined by dots.
fn is_hostname(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.len() <= 200 && name.split('.').all(label)
}

#[cfg(test)]
mod tests;
