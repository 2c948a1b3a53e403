//! Trees of environments in workspaces.

use dwell_api::workspace::EnvironmentRef;
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;
use dwell_core::workspace::Workspace;

use super::network;
use crate::node::Node;

/// The environment that somebody means, whose tree a workspace has.
pub(crate) async fn with_tree(
    node: &Node,
    it: &Workspace,
    meant: &EnvironmentRef,
) -> Result<Environment, Problem> {
    let environment = network::environment(node, meant).await?;
    if it.trees.contains(&environment.id) {
        return Ok(environment);
    }
    let message = format!("workspace `{}` has no tree of `{}`", it.name, environment.label());
    Err(Problem::new(Code::Conflict, message))
}
