//! A project resolved on one node, to be made an environment on another: all that is needed
//! besides the source tree.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::anchor::{AnchorError, anchor, unanchor};
use super::hostname::Hostname;
use crate::name::{ProjectName, ServiceName, Suffix};
use crate::tree::TreePath;

/// A project in one piece. Nothing in it depends on the machine where it was resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Specification {
    /// The project.
    pub project: ProjectName,
    /// The suffix of its names.
    pub suffix: Suffix,
    /// The compose project's directory in the source tree.
    pub directory: TreePath,
    /// The canonical model, anchored.
    pub model: Value,
    /// The configured ingress service.
    #[serde(default)]
    pub ingress: Option<ServiceName>,
    /// The configured custom names of the ingress service.
    #[serde(default)]
    pub hostnames: Vec<Hostname>,
}

impl Specification {
    /// A project that was resolved in a source tree with the absolute path `root`, in the project
    /// directory `directory`, which is in it.
    ///
    /// # Errors
    /// When the directory is not in the tree, or the model's paths cannot be made relative to it.
    pub fn new(
        project: ProjectName,
        suffix: Suffix,
        model: &Value,
        root: &Path,
        directory: &Path,
    ) -> Result<Self, AnchorError> {
        let model = anchor(model, root)?;
        let directory = TreePath::of(root, directory).ok_or(AnchorError::Root)?;
        let (ingress, hostnames) = (None, Vec::new());
        Ok(Self { project, suffix, directory, model, ingress, hostnames })
    }

    /// The canonical model for a source tree with the absolute path `root`.
    ///
    /// # Errors
    /// When a path in it leads out of the tree.
    pub fn model_in(&self, root: &Path) -> Result<Value, AnchorError> {
        unanchor(&self.model, root)
    }
}
