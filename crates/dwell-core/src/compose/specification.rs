//! A project resolved on one node, to be made an environment on another: all that is needed
//! besides the source tree.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::anchor::{AnchorError, anchor, unanchor};
use super::hostname::Hostname;
use super::model::{labels, relabel};
use super::part::Away;
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
    /// The canonical model, anchored, without labels about placement.
    pub model: Value,
    /// The configured ingress service.
    #[serde(default)]
    pub ingress: Option<ServiceName>,
    /// The configured custom names of the ingress service.
    #[serde(default)]
    pub hostnames: Vec<Hostname>,
    /// The services that relays are to stand in for, where it is only a part of a project.
    #[serde(default)]
    pub away: BTreeMap<ServiceName, Away>,
}

/// Labels that name nodes as the machine knows them where the project was resolved.
const PLACES: [&str; 4] = ["dwell.place", "cilo.remote", "dwell.reverse", "cilo.reverse"];

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
        let mut model = anchor(model, root)?;
        let services = model.get_mut("services").and_then(Value::as_object_mut);
        for body in services.into_iter().flatten().filter_map(|(_, body)| body.as_object_mut()) {
            if PLACES.iter().any(|label| labels(body).contains_key(*label)) {
                relabel(body, |label| !PLACES.contains(&label), &[]);
            }
        }
        let directory = TreePath::of(root, directory).ok_or(AnchorError::Root)?;
        let (ingress, hostnames, away) = (None, Vec::new(), BTreeMap::new());
        Ok(Self { project, suffix, directory, model, ingress, hostnames, away })
    }

    /// The canonical model for a source tree with the absolute path `root`.
    ///
    /// # Errors
    /// When a path in it leads out of the tree.
    pub fn model_in(&self, root: &Path) -> Result<Value, AnchorError> {
        unanchor(&self.model, root)
    }
}
