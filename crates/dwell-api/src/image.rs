//! Workspace images on the wire.

use std::collections::BTreeSet;

use dwell_core::NodeName;
use dwell_core::image::{BuiltIn, ImageName, Variant};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Builds a workspace image, unless the one that is there is fresh.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BuildImage {
    /// What is in it: `base`, `docker` or `desktop`.
    #[schema(value_type = String)]
    pub variant: Variant,
    /// The image to start from.
    #[schema(value_type = String)]
    pub base: ImageName,
    /// The agents in it.
    #[schema(value_type = Vec<String>)]
    pub agents: BTreeSet<BuiltIn>,
    /// The repository to tag it in.
    #[schema(value_type = String)]
    pub repository: ImageName,
    /// Builds it also where it is fresh, with nothing of earlier builds.
    #[serde(default)]
    pub force: bool,
    /// Looks for a newer image to start from.
    #[serde(default)]
    pub pull: bool,
}

/// What became of a wish for an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BuiltImage {
    /// Its tag.
    pub tag: String,
    /// Whether it was built; false when it was fresh.
    pub built: bool,
    /// The hash of what it is built from.
    pub hash: String,
    /// Its size in bytes.
    pub size: u64,
    /// How long the build took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Which images to look at.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
pub struct ListImages {
    /// Those of another node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub node: Option<NodeName>,
    /// The variants in this repository, whoever built them; all that dwell built when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub repository: Option<ImageName>,
}

/// A workspace image that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeenImage {
    /// Its tag.
    pub tag: String,
    /// `fresh` or `old`.
    pub state: String,
    /// Why it is old.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Its size in bytes.
    pub size: u64,
    /// When it was built, in seconds since the Unix epoch.
    pub created: Option<i64>,
    /// The image that it starts from.
    pub base: Option<String>,
    /// The agents in it.
    #[serde(default)]
    pub agents: Vec<String>,
}
