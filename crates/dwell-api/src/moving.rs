//! Moving environments and their services between nodes.

use std::collections::BTreeMap;

use dwell_core::{NodeName, ServiceName, VolumeName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::environment::Variables;

/// The value of the `upgrade` header of the calls that carry what is in a volume.
pub const CONTENT: &str = "dwell-volume";

/// Moves an environment, or some of its services, to another node.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Move {
    /// The node; `local` is the one that is asked.
    #[schema(value_type = String)]
    pub to: NodeName,
    /// Only these services; all of the environment when empty.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub services: Vec<ServiceName>,
    /// Carries the data in named volumes along.
    #[serde(default)]
    pub with_volumes: bool,
    /// Ends sessions that run, and replaces volumes of moved services that are there already.
    #[serde(default)]
    pub force: bool,
    /// Refuses a node that has not enough left, instead of a warning.
    #[serde(default)]
    pub strict: bool,
    /// The caller's environment, for interpolation in compose files and for hooks. Kept in memory
    /// for the operation and never stored or logged.
    #[serde(default)]
    pub variables: Variables,
}

/// What a move would do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MovePlan {
    /// Whether everything is there already.
    pub nothing_to_do: bool,
    /// The services that move, and the node that each leaves. Of a whole environment all.
    #[schema(value_type = BTreeMap<String, String>)]
    pub services: BTreeMap<ServiceName, NodeName>,
    /// The node that it goes to.
    #[schema(value_type = String)]
    pub to: NodeName,
    /// The volumes that this concerns.
    pub volumes: Vec<MovedVolume>,
    /// Sessions that run, and would be ended.
    pub sessions: Vec<String>,
    /// What else would be lost, each in a few words.
    pub losses: Vec<String>,
}

impl MovePlan {
    /// Whether it loses or ends something that the user may want to keep.
    pub fn costs(&self) -> bool {
        let gone = |volume: &MovedVolume| {
            matches!(volume.fate, VolumeFate::Stays | VolumeFate::Lost | VolumeFate::Replaces)
        };
        !self.sessions.is_empty() || !self.losses.is_empty() || self.volumes.iter().any(gone)
    }
}

/// A volume of what moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MovedVolume {
    /// Its name in the compose file.
    #[schema(value_type = String)]
    pub name: VolumeName,
    /// The node that has it.
    #[schema(value_type = String)]
    pub node: NodeName,
    /// What becomes of its data.
    pub fate: VolumeFate,
}

/// What becomes of a volume's data when what mounts it moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VolumeFate {
    /// It goes along.
    Moves,
    /// It goes along, and takes the place of a volume of the same name that is there already.
    Replaces,
    /// It stays where it is; what moves begins with an empty volume.
    Stays,
    /// It is removed with the environment that leaves; what moves begins with an empty volume.
    Lost,
    /// It is kept by something else than the engine, and is the same from everywhere.
    Elsewhere,
}

/// A named volume of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Volume {
    /// Its name in the compose file.
    #[schema(value_type = String)]
    pub name: VolumeName,
    /// What keeps its data; `local` for a directory of the engine's.
    pub driver: String,
    /// The driver's options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}
