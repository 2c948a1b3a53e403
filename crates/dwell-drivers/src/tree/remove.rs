//! Taking a tree away without losing work: what it holds that exists nowhere else, and which
//! branch stays.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::create::growing_place;
use super::integrate::{Side, empty_tree};
use super::merge::ahead;
use super::snapshot::{Snapshot, differing, private_git};
use super::travel::record::Record;
use super::worktree::unregister;
use super::{Scratch, Tree, TreeError, TreeKind, base, directory, memory, on_files};
use crate::git::{Discovered, Git, Repository};

/// Work in a tree that exists nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsaved {
    /// Changed or new files that are in no commit and did not come from the source. For a copied
    /// directory: files that differ from what was copied.
    pub uncommitted: Vec<PathBuf>,
    /// Commits that the source's branch does not have. Removing the tree keeps their branch.
    pub unmerged_commits: u32,
    /// Submodules with commits or changes of their own, which go with the tree.
    pub submodules: Vec<PathBuf>,
}

impl Unsaved {
    /// Whether removing the tree would lose something for good.
    pub fn is_lost(&self) -> bool {
        !self.uncommitted.is_empty() || !self.submodules.is_empty()
    }
}

impl fmt::Display for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (count, words) in [
            (self.uncommitted.len(), "files with uncommitted work"),
            (self.unmerged_commits as usize, "commits that the source does not have"),
            (self.submodules.len(), "submodules with work of their own"),
        ] {
            if count > 0 {
                parts.push(format!("{count} {words}"));
            }
        }
        f.write_str(if parts.is_empty() { "nothing" } else { "" })?;
        f.write_str(&parts.join(", "))
    }
}

/// What removing a tree left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The branch that was kept for its commits.
    pub kept_branch: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Names the work that exists only in this tree. A tree that is gone has none.
pub async fn unsaved(tree: &Tree, state: &Path) -> Result<Unsaved, TreeError> {
    if tree.kind == TreeKind::InPlace || !tree.root.exists() {
        return Ok(Unsaved::default());
    }
    if tree.kind == TreeKind::Copy {
        let uncommitted = directory::changed(tree, state).await?;
        return Ok(Unsaved { uncommitted, ..Unsaved::default() });
    }
    let Discovered::Repository(repository) = Repository::discover(&tree.root).await? else {
        return Ok(Unsaved::default());
    };
    let scratch = Scratch::new(state)?;
    let project = &tree.project_dir;
    let snapshot = Snapshot::take_unrendered(&repository, state, project, &scratch).await?;
    let side = Side { repository: *repository, snapshot };
    let unmerged_commits = ahead(&side.repository, tree, state).await?;
    let mut uncommitted = own_uncommitted(&side, state).await?;
    let record = Record::read(state)?;
    let submodules = submodules_with_work(&side.repository, tree, record.is_some()).await?;
    if let Some(taken) = record.and_then(|record| record.taken) {
        let git = private_git(&side.repository, state);
        uncommitted = changed_since(&git, taken.tree.as_str(), &side, uncommitted).await?;
    }
    Ok(Unsaved { uncommitted, unmerged_commits, submodules })
}

/// Files that differ both from the environment's commit and from what came from the source.
pub(crate) async fn own_uncommitted(side: &Side, state: &Path) -> Result<Vec<PathBuf>, TreeError> {
    let git = private_git(&side.repository, state);
    let head = match &side.repository.head {
        Some(head) => head.clone(),
        None => empty_tree(&git).await?,
    };
    let uncommitted = differing(&git, &head, &side.snapshot.tree).await?;
    let base = base::read(state)?;
    changed_since(&git, &base, side, uncommitted).await
}

/// Those of the paths that differ from a tree, too.
async fn changed_since(
    git: &Git,
    tree: &str,
    side: &Side,
    mut paths: Vec<PathBuf>,
) -> Result<Vec<PathBuf>, TreeError> {
    let since: HashSet<PathBuf> =
        differing(git, tree, &side.snapshot.tree).await?.into_iter().collect();
    paths.retain(|path| since.contains(path));
    Ok(paths)
}

/// Submodules whose commit the source's own copy lacks, or which have changed files. Where the
/// source is on another node, they were fetched from their own remotes, which have to have it.
async fn submodules_with_work(
    repository: &Repository,
    tree: &Tree,
    elsewhere: bool,
) -> Result<Vec<PathBuf>, TreeError> {
    let listed = repository.git().run(["ls-files", "-z", "--stage"]).await?.stdout;
    let mut with_work = Vec::new();
    for entry in listed.split(|b| *b == 0).filter_map(crate::git::index::Entry::from_listing) {
        if entry.mode != crate::git::index::SUBMODULE {
            continue;
        }
        let path = crate::git::split_paths(&entry.path).pop().unwrap_or_default();
        let place = repository.root.join(&path);
        if !place.join(".git").exists() {
            continue;
        }
        let ours = Git::at(&place);
        let theirs = Git::at(tree.source.join(&path));
        let head = ours.head().await?.unwrap_or_default();
        let known = if elsewhere {
            let new = ["rev-list", "--count", &head, "--not", "--remotes"];
            ours.line(new).await.is_ok_and(|count| count == "0")
        } else {
            theirs.commit(&head).await.ok().flatten().is_some()
        };
        let status = ["status", "--porcelain", "-z"];
        let changed = ours.run(status).await?.stdout;
        let same = theirs.run(status).await.is_ok_and(|f| f.stdout == changed);
        if !known || !(changed.is_empty() || same) {
            with_work.push(path);
        }
    }
    Ok(with_work)
}

/// Removes the tree, its registration, and its branch where no commit would be lost by that.
/// Without `force` it refuses while the tree holds work that exists nowhere else. Safe to repeat,
/// also after a crash in the middle of [`super::create`].
pub async fn remove(tree: &Tree, state: &Path, force: bool) -> Result<Removed, TreeError> {
    if tree.kind == TreeKind::InPlace {
        return Ok(Removed::default());
    }
    if !force {
        let unsaved = unsaved(tree, state).await?;
        if unsaved.is_lost() {
            return Err(TreeError::Unsaved(unsaved));
        }
    }
    let mut removed = Removed::default();
    if tree.kind == TreeKind::Worktree && tree.root.exists() {
        save_detached(tree, &mut removed).await?;
    }
    let record = Record::read(state).ok().flatten();
    let growing = growing_place(&tree.root);
    let growing = growing.parent().unwrap_or(&growing).to_owned();
    for place in [tree.root.clone(), growing, memory(state)] {
        on_files(move || delete(&place)).await?;
    }
    if tree.kind == TreeKind::Worktree && tree.source.exists() {
        let git = Git::at(&tree.source);
        unregister(&git, &tree.root).await;
        if let Some(branch) = &tree.branch {
            end_branch(&git, branch, tree, &mut removed).await?;
        }
        if let Some(record) = record {
            let references = format!("refs/dwell/{}", record.environment);
            let listed = ["for-each-ref", "--format=delete %(refname)", &references];
            let orders = git.run(listed).await?.stdout;
            git.program(["update-ref", "--stdin"]).input(orders).run().await?;
        }
    }
    Ok(removed)
}

/// Gives commits on a detached `HEAD` a branch, so that they stay.
async fn save_detached(tree: &Tree, removed: &mut Removed) -> Result<(), TreeError> {
    let git = Git::at(&tree.root);
    let detached = matches!(git.test(["symbolic-ref", "--quiet", "HEAD"]).await, Ok(false));
    if !detached {
        return Ok(());
    }
    let Some(head) = git.head().await? else { return Ok(()) };
    let holders = ["for-each-ref", "--count=1", "--format=%(refname)", "--contains"];
    if !git.line(holders.into_iter().chain([head.as_str()])).await?.is_empty() {
        return Ok(());
    }
    let stem = format!("{}-detached", tree.branch.clone().unwrap_or_default());
    let mut name = stem.clone();
    for number in 2.. {
        if git.commit(&format!("refs/heads/{name}")).await?.is_none() {
            break;
        }
        name = format!("{stem}-{number}");
    }
    git.run(["branch", "--", &name, &head]).await?;
    removed.notes.push(format!("commits on a detached HEAD are kept on branch {name}"));
    Ok(())
}

/// Deletes a branch whose commits all live elsewhere, and keeps it otherwise.
async fn end_branch(
    git: &Git,
    branch: &str,
    tree: &Tree,
    removed: &mut Removed,
) -> Result<(), TreeError> {
    let reference = format!("refs/heads/{branch}");
    let Some(commit) = git.commit(&reference).await? else { return Ok(()) };
    let exclude = format!("--exclude={branch}");
    let mut arguments = vec!["rev-list", "--count", &commit, "--not"];
    arguments.extend([exclude.as_str(), "--branches", "--tags", "--remotes", "--glob=refs/dwell"]);
    if git.head().await?.is_some() {
        arguments.push("HEAD");
    }
    if let Some(base) = &tree.base_commit {
        arguments.push(base);
    }
    if git.line(arguments).await? == "0" {
        git.run(["branch", "--quiet", "-D", "--", branch]).await?;
    } else {
        removed.kept_branch = Some(branch.to_owned());
    }
    Ok(())
}

/// Deletes a directory; permissions that stand in the way are lifted where we own the files.
fn delete(path: &Path) -> Result<(), TreeError> {
    match remove_all(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(TreeError::io(path, error)),
    }
    open_up(path);
    let Err(why) = remove_all(path) else { return Ok(()) };
    let mut paths = Vec::new();
    delete_what_goes(path, &mut paths);
    if paths.is_empty() {
        paths.push(path.to_owned());
    }
    Err(TreeError::Undeletable { paths, why })
}

fn remove_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes every directory below writable, as far as we may.
fn open_up(path: &Path) {
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Deletes as much as possible and collects the first obstacles on each way down.
fn delete_what_goes(path: &Path, left: &mut Vec<PathBuf>) {
    const MOST: usize = 100;
    let Ok(entries) = fs::read_dir(path) else {
        left.push(path.to_owned());
        return;
    };
    for entry in entries.flatten() {
        let place = entry.path();
        let directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if directory && fs::remove_dir(&place).is_err() {
            delete_what_goes(&place, left);
        } else if !directory && fs::remove_file(&place).is_err() && left.len() < MOST {
            left.push(place);
        }
    }
    let _ = fs::remove_dir(path);
}
