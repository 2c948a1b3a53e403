//! Sources on their way between nodes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dwell_api::remote::{Delivery, Sent};
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;
use dwell_core::tree::{Tree, TreePath};
use dwell_core::{NodeName, ProjectName};
use dwell_drivers::tree::MergeReport;

use crate::node::Node;

/// Sources that were sent, and what people should know about it.
pub(crate) struct SentSources {
    pub(crate) sent: Sent,
    pub(crate) notes: Vec<String>,
}

/// The repository on this node that a project's sources are received into.
pub(crate) fn repository(node: &Node, project: &ProjectName) -> PathBuf {
    node.paths.data.join(".sources").join(project.as_str())
}

/// Sends the sources of an environment.
pub(crate) async fn send(
    _node: &Arc<Node>,
    _there: &NodeName,
    _environment: &Environment,
    _root: &Path,
    _extra: &[TreePath],
) -> Result<SentSources, Problem> {
    Err(Problem::new(Code::Internal, "not yet"))
}

/// Makes the tree.
pub(crate) async fn create(
    _node: &Node,
    _environment: &Environment,
    _delivery: &Delivery,
) -> Result<Tree, Problem> {
    Err(Problem::new(Code::Internal, "not yet"))
}

/// Applies.
pub(crate) async fn apply(
    _node: &Node,
    _environment: &Environment,
    _delivery: &Delivery,
) -> Result<MergeReport, Problem> {
    Err(Problem::new(Code::Internal, "not yet"))
}

/// The root of the source tree around a directory.
pub(crate) async fn root(source: &Path) -> Result<PathBuf, Problem> {
    Ok(source.to_owned())
}
