//! Taking an environment away, piece by piece. Each piece that is gone already is fine.

use dwell_api::Problem;
use dwell_core::observed::label;
use dwell_core::tree::{Tree, TreeKind};
use dwell_drivers::tree::TreeError;

use super::containers::{Manner, remove_containers};
use crate::operation::Context;
use crate::problem::OrProblem;
use crate::world;

/// Ends the environment's sessions.
pub(super) async fn sessions(context: &mut Context) -> Result<(), Problem> {
    crate::session::end_all(&context.node, &context.environment.id).await
}

/// Removes the environment's containers and networks.
pub(super) async fn containers(context: &mut Context) -> Result<(), Problem> {
    remove_containers(&context.node, &context.environment, Manner::Gracefully).await?;
    world::look_at(&context.node, &context.environment.id).await;
    Ok(())
}

/// Removes the environment's volumes and the images that were built for it.
pub(super) async fn volumes(context: &mut Context) -> Result<(), Problem> {
    let id = &context.environment.id;
    let engine = &context.node.engine;
    let labelled = format!("{}={id}", label::ENVIRONMENT);
    for volume in engine.volumes(&labelled).await.or_problem()? {
        engine.remove_volume(&volume).await.or_problem()?;
    }
    for tag in engine.image_tags(&format!("dwell-{id}/*")).await.or_problem()? {
        if let Err(error) = engine.remove_image(&tag).await {
            context.operation.note(format!("image {tag} stays: {error}"));
        }
    }
    Ok(())
}

/// Removes the tree, unless it is to be kept or is the source itself.
pub(super) async fn tree(context: &mut Context) -> Result<(), Problem> {
    if context.request.destroy.keep_workspace {
        let place = context.environment.root.display();
        context.operation.note(format!("the tree stays in {place}"));
        return Ok(());
    }
    remove_tree(context).await
}

/// Removes the tree that this operation made, or began to make.
pub(super) async fn made_tree(context: &mut Context) -> Result<(), Problem> {
    if context.request.create.as_ref().is_none_or(|create| create.in_place) {
        return Ok(());
    }
    remove_tree(context).await
}

async fn remove_tree(context: &mut Context) -> Result<(), Problem> {
    let environment = &context.environment;
    // In place, whether or not that was recorded yet.
    if environment.root == environment.source {
        return Ok(());
    }
    let state = context.node.directory(&environment.id);
    let tree = environment.tree.clone().unwrap_or_else(|| Tree {
        kind: TreeKind::Worktree,
        source: environment.source.clone(),
        root: environment.root.clone(),
        project_dir: environment.root.clone(),
        branch: Some(format!("dwell/{}", environment.name)),
        base_commit: None,
        notes: Vec::new(),
    });
    let removed = match dwell_drivers::tree::remove(&tree, &state, true).await {
        // Containers made files that this user may not remove; a container may.
        Err(TreeError::Undeletable { .. }) => {
            crate::cleanup::empty(&context.node, &tree.root).await?;
            dwell_drivers::tree::remove(&tree, &state, true).await
        }
        other => other,
    };
    let removed = removed.or_problem()?;
    let kept = removed.kept_branch.map(|branch| {
        format!("branch `{branch}` stays in the source: it has commits that are nowhere else")
    });
    for note in removed.notes.into_iter().chain(kept) {
        context.operation.note(note);
    }
    Ok(())
}
