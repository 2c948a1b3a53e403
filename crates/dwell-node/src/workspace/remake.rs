//! A new container for a workspace with the file system of the old one, where the engine cannot
//! change what is asked for: what is mounted in it.

use dwell_api::Problem;
use dwell_core::observed::State;
use dwell_core::workspace::Workspace;

use super::change::end;
use super::create::container;
use super::{copy, labels, save, state};
use crate::node::Node;
use crate::problem::OrProblem;

/// Ends the workspace's processes and makes its next container, not started yet. What is outside the
/// home is kept in an image of its own, which only this workspace uses.
pub(super) async fn remake(node: &Node, it: &mut Workspace) -> Result<(), Problem> {
    let seen = state(node, it).await?;
    if matches!(seen, Some(State::Running | State::Paused)) {
        end(node, it, seen).await?;
    }
    let before = it.clone();
    it.generation = it.generation.next();
    let image = it.root_image();
    node.engine.commit_machine(&before.container(), &image, labels(node, it)).await.or_problem()?;
    it.root = image.parse().ok();
    // From here on a crash leads to the new container: it is made where it is missing.
    let made = async {
        save(node, it).await?;
        container(node, it).await
    };
    if let Err(problem) = made.await {
        *it = before;
        save(node, it).await?;
        return Err(problem);
    }
    copy::sweep(node, it).await
}
