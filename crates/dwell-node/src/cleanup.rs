//! Files that containers made as another user, and that this user may not remove: a short-lived
//! container of our own image empties the directory.

use std::path::Path;
use std::time::Duration;

use dwell_api::Problem;
use dwell_drivers::process::Program;

use crate::node::Node;
use crate::problem::OrProblem;

/// Empties a directory as the engine's root user.
pub(crate) async fn empty(node: &Node, directory: &Path) -> Result<(), Problem> {
    let image = node.relay.tag(node).await?;
    let mount = format!("type=bind,source={},target=/tree", directory.display());
    Program::new("docker")
        .args(["run", "--rm", "--network", "none", "--label", &format!("dwell.node={}", node.id)])
        .args(["--mount", &mount, &image, "empty-directory", "/tree"])
        .limit(Duration::from_secs(120))
        .run()
        .await
        .or_problem()?;
    Ok(())
}
