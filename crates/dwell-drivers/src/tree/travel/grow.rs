//! A tree whose files are written while the rest of them is still on its way.

use std::fs;
use std::path::Path;

use tokio::sync::mpsc;

use super::error::TravelError;
use super::store::Store;
use crate::git::Git;
use crate::tree::create::growing_place;
use crate::tree::private_directory;
use crate::tree::worktree::unregister;

/// The file in the worktree's git directory that names the commit whose files are all there.
const MARK: &str = "dwell-grown";

/// How files are written: what comes from another machine is not believed to be harmless, and
/// pointers of Git LFS stay pointers, since their content was not sent.
const CHECKOUT: [&str; 14] = [
    "-c",
    "checkout.workers=0",
    "-c",
    "core.protectHFS=true",
    "-c",
    "core.protectNTFS=true",
    "-c",
    "filter.lfs.smudge=",
    "-c",
    "filter.lfs.process=",
    "-c",
    "filter.lfs.required=false",
    "-c",
    "core.symlinks=true",
];

/// Writes the files of stage after stage into the growing place of a tree. One that grew up to
/// the commit `begun` goes on from there.
pub(crate) async fn grow(
    store: &Store,
    tree: Option<&Path>,
    begun: Option<String>,
    mut stages: mpsc::UnboundedReceiver<String>,
) -> Result<(), TravelError> {
    let Some(tree) = tree else { return Ok(()) };
    let mut before = grown(tree).await.filter(|commit| begun.as_ref() == Some(commit));
    while let Some(commit) = stages.recv().await {
        match &before {
            Some(before) => go_on(tree, before, &commit).await?,
            None => plant(store, tree, &commit).await?,
        }
        before = Some(commit);
    }
    Ok(())
}

/// The commit whose files are all in the growing place.
pub(crate) async fn grown(tree: &Path) -> Option<String> {
    let place = growing_place(tree);
    if !place.join(".git").is_file() {
        return None;
    }
    let git_dir = Git::at(&place).path(["rev-parse", "--absolute-git-dir"]).await.ok()?;
    let text = fs::read_to_string(git_dir.join(MARK)).ok()?;
    Some(text.trim().to_owned()).filter(|commit| !commit.is_empty())
}

/// Makes the growing place anew with the files of a commit.
pub(crate) async fn plant(store: &Store, tree: &Path, commit: &str) -> Result<(), TravelError> {
    clear(store, tree).await?;
    let place = growing_place(tree);
    if let Some(parent) = place.parent() {
        private_directory(parent)?;
    }
    let add = ["worktree", "add", "--quiet", "--detach", "--no-checkout", "--"];
    store.git().program(add).arg(&place).arg(commit).run().await?;
    write(tree, &["read-tree", "-m", "-u", commit], commit).await
}

/// Brings the growing place from one commit to another.
pub(crate) async fn go_on(tree: &Path, before: &str, commit: &str) -> Result<(), TravelError> {
    write(tree, &["read-tree", "-m", "-u", before, commit], commit).await
}

async fn write(tree: &Path, read_tree: &[&str], commit: &str) -> Result<(), TravelError> {
    let place = growing_place(tree);
    let git = Git::at(&place);
    let mark = git.path(["rev-parse", "--absolute-git-dir"]).await?.join(MARK);
    // Files that are being written are those of no commit.
    fs::write(&mark, "").map_err(|error| TravelError::io(&mark, error))?;
    git.run(CHECKOUT.iter().chain(read_tree)).await?;
    fs::write(&mark, commit).map_err(|error| TravelError::io(&mark, error))
}

/// Takes away what grew.
pub(crate) async fn clear(store: &Store, tree: &Path) -> Result<(), TravelError> {
    let place = growing_place(tree);
    if let Some(left) = place.parent().filter(|left| left.exists()) {
        fs::remove_dir_all(left).map_err(|error| TravelError::io(left, error))?;
    }
    unregister(&store.git(), tree).await;
    Ok(())
}
