//! What the source and a worktree last had in common, uncommitted work included. It lives in the
//! environment's state directory; the repository has no ref for it.

use std::fs;
use std::path::Path;

use super::snapshot::{private_git, store};
use super::{TreeError, memory, private_directory};
use crate::git::Repository;

const FILE: &str = "base";

/// Remembers a tree object as the common state. It becomes a commit without parents, so that two
/// snapshots on top of it have exactly it as their merge base.
pub(crate) async fn write(
    repository: &Repository,
    state: &Path,
    tree: &str,
) -> Result<(), TreeError> {
    private_directory(&store(state))?;
    let commit = snapshot_commit(repository, state, tree, None).await?;
    let file = memory(state).join(FILE);
    let new = memory(state).join("base.new");
    fs::write(&new, format!("{commit}\n")).map_err(|e| TreeError::io(&new, e))?;
    fs::rename(&new, &file).map_err(|e| TreeError::io(&file, e))
}

/// The commit of the common state.
pub(crate) fn read(state: &Path) -> Result<String, TreeError> {
    let path = memory(state).join(FILE);
    let text = fs::read_to_string(&path).unwrap_or_default();
    let name = text.trim();
    let valid = matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit());
    if valid {
        Ok(name.to_owned())
    } else {
        Err(TreeError::Memory { path, why: "it names no commit" })
    }
}

/// A commit in the environment's own store.
pub(crate) async fn snapshot_commit(
    repository: &Repository,
    state: &Path,
    tree: &str,
    parent: Option<&str>,
) -> Result<String, TreeError> {
    let git = private_git(repository, state);
    let mut arguments = vec!["commit-tree", tree, "-m", "snapshot"];
    if let Some(parent) = parent {
        arguments.extend(["-p", parent]);
    }
    Ok(git.line(arguments).await?)
}
