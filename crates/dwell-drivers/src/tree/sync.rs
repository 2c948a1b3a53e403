//! The source's new work comes into the environment.

use std::path::Path;

use super::integrate::{History, integrate};
use super::merge::{side_of_source, side_of_tree};
use super::travel::record::refuse_elsewhere;
use super::{MergeReport, Scratch, Tree, TreeError, TreeKind, base, directory, render};

/// Brings the source's new commits and uncommitted work into the tree, keeping the environment's
/// own. On a conflict nothing is changed. Rendered files return to their unrendered text; the
/// caller renders again.
pub async fn sync(tree: &Tree, state: &Path) -> Result<MergeReport, TreeError> {
    if tree.kind == TreeKind::InPlace {
        return Err(TreeError::InPlace { path: tree.root.clone(), verb: "sync" });
    }
    refuse_elsewhere(tree, state, "sync")?;
    let rendered = render::restore(state, &tree.project_dir)?;
    let result = match tree.kind {
        TreeKind::Copy => directory::sync(tree, state).await,
        _ => sync_worktree(tree, state).await,
    };
    match &result {
        Ok(_) => render::forget(&rendered),
        Err(_) => render::put_back(&rendered)?,
    }
    result
}

async fn sync_worktree(tree: &Tree, state: &Path) -> Result<MergeReport, TreeError> {
    let scratch = Scratch::new(state)?;
    let from = side_of_source(tree, state, &scratch).await?;
    let into = side_of_tree(tree, state, &scratch).await?;
    let history = History { message: "Merge the source", ..History::default() };
    let report = integrate(&from, &into, &base::read(state)?, state, history).await?;
    base::write(&from.repository, state, &from.snapshot.tree).await?;
    Ok(report)
}
