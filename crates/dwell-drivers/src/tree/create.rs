//! Making a tree: which kind it is, and that it is there whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use super::notes::Notes;
use super::{CreateTree, Start, Tree, TreeError, TreeKind, directory, private_directory, worktree};
use super::{on_files, patterns};
use crate::git::{Discovered, Repository};

/// Makes the tree. It grows in a hidden sibling and appears under its name when it is complete;
/// after a crash [`super::remove`] takes away what is left.
pub async fn create(order: CreateTree<'_>) -> Result<Tree, TreeError> {
    let source = fs::canonicalize(order.source)
        .ok()
        .filter(|path| path.is_dir())
        .ok_or_else(|| TreeError::NoSource { path: order.source.to_owned() })?;
    if order.start == Start::InPlace {
        return Ok(plain(TreeKind::InPlace, &source, &source, Vec::new()));
    }
    if fs::symlink_metadata(order.tree).is_ok() {
        return Err(TreeError::Exists { path: order.tree.to_owned() });
    }
    let tree = absolute(order.tree)?;
    private_directory(order.state)?;
    if order.start == Start::Empty {
        private_directory(&tree)?;
        directory::remember_empty(order.state)?;
        return Ok(plain(TreeKind::Copy, &source, &tree, Vec::new()));
    }
    let growing = growing_place(&tree);
    let order = CreateTree { source: &source, tree: &tree, ..order };
    let repository = repository(&order).await?;
    if let Some(left) = growing.parent().filter(|left| left.exists()) {
        fs::remove_dir_all(left).map_err(|e| TreeError::io(left, e))?;
        if let Some(repository) = &repository {
            worktree::unregister(&repository.git(), &tree).await;
        }
    }
    let made = match repository {
        Some(repository) => worktree::create(&order, &repository, &growing).await,
        None => directory::create(&order, &growing).await,
    };
    if let Some(left) = growing.parent() {
        let _ = fs::remove_dir_all(left);
    }
    made
}

/// The repository that the source's tree is a worktree of. A directory that a repository merely
/// surrounds (nothing in it is tracked) is copied like any other.
async fn repository(order: &CreateTree<'_>) -> Result<Option<Repository>, TreeError> {
    let path = order.source.to_owned();
    let revision = match &order.start {
        Start::Revision(revision) => Some(revision.clone()),
        _ => None,
    };
    let repository = match Repository::discover(order.source).await? {
        Discovered::Repository(repository) => *repository,
        Discovered::Refused(advice) => return Err(TreeError::Refused { path, advice }),
        Discovered::None => {
            return match revision {
                Some(revision) => Err(TreeError::NoRevision { path, revision }),
                None => Ok(None),
            };
        }
    };
    if repository.prefix.as_os_str().is_empty() || revision.is_some() {
        return Ok(Some(repository));
    }
    let git = crate::git::Git::at(order.source);
    let tracked = git.run(["ls-files", "-z", "--cached", "--", "."]).await?;
    Ok((!tracked.stdout.is_empty()).then_some(repository))
}

/// The tree's description without git.
pub(crate) fn plain(kind: TreeKind, source: &Path, root: &Path, notes: Vec<String>) -> Tree {
    Tree {
        kind,
        source: source.to_owned(),
        root: root.to_owned(),
        project_dir: root.to_owned(),
        branch: None,
        base_commit: None,
        notes,
    }
}

/// Where a tree grows: in a hidden sibling, under its own name.
pub(crate) fn growing_place(tree: &Path) -> PathBuf {
    let name = tree.file_name().unwrap_or_default();
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(".growing");
    tree.with_file_name(hidden).join(name)
}

/// Brings the files of the copy patterns along.
pub(crate) async fn bring_along(
    patterns: &[String],
    from: &Path,
    to: &Path,
    mut notes: Notes,
) -> Result<Notes, TreeError> {
    let (patterns, from, to) = (patterns.to_vec(), from.to_owned(), to.to_owned());
    on_files(move || {
        patterns::copy_matching(&patterns, &from, &to, &mut notes)?;
        Ok(notes)
    })
    .await
}

/// The path with its directory made and resolved.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, TreeError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    private_directory(parent)?;
    let parent = fs::canonicalize(parent).map_err(|e| TreeError::io(parent, e))?;
    Ok(parent.join(path.file_name().unwrap_or_default()))
}
