//! The environment's work goes back to its source.

use std::path::PathBuf;

use super::integrate::{History, Side, count_new, index_info, integrate};
use super::remove::own_uncommitted;
use super::snapshot::{Snapshot, private_git};
use super::travel::record::{Record, refuse_elsewhere};
use super::{MergeReport, Scratch, Tree, TreeError, TreeKind, base, directory};
use crate::git::{Discovered, Git, Repository};

/// How to merge.
#[derive(Debug, Clone, Default)]
pub struct MergeOptions {
    /// One commit instead of the environment's history.
    pub squash: bool,
    /// Commit the environment's uncommitted work on its branch first, with this message. Without
    /// it such work refuses the merge.
    pub commit: Option<String>,
    /// The message of the merge or squash commit.
    pub message: Option<String>,
    /// On a conflict leave git's unfinished merge in the source, to be finished by hand.
    pub keep_conflicts: bool,
}

/// Brings the environment's commits into the branch that the source has checked out, keeping the
/// source's own uncommitted work. On a conflict nothing is changed.
pub async fn merge(
    tree: &Tree,
    state: &std::path::Path,
    options: &MergeOptions,
) -> Result<MergeReport, TreeError> {
    refuse_elsewhere(tree, state, "pull and merge")?;
    match tree.kind {
        TreeKind::InPlace => {
            return Err(TreeError::InPlace { path: tree.root.clone(), verb: "merge" });
        }
        TreeKind::Copy => return directory::merge(tree, state).await,
        TreeKind::Worktree => {}
    }
    let scratch = Scratch::new(state)?;
    let mut from = side_of_tree(tree, state, &scratch).await?;
    let own = own_uncommitted(&from, state).await?;
    if !own.is_empty() {
        let Some(message) = &options.commit else {
            return Err(TreeError::Uncommitted { paths: own });
        };
        commit(&from, &own, message, &scratch).await?;
        from = side_of_tree(tree, state, &scratch).await?;
    }
    let into = side_of_source(tree, state, &scratch).await?;
    let branch = tree.branch.clone().unwrap_or_default();
    let message = options.message.clone().unwrap_or_else(|| format!("Merge {branch}"));
    let history = History { squash: options.squash, message: &message, ..History::default() };
    let wanted = base::read(state)?;
    match integrate(&from, &into, &wanted, state, history).await {
        Ok(mut report) => {
            base::write(&from.repository, state, &from.snapshot.tree).await?;
            report.notes = submodule_notes(&from, &into, &report.files);
            Ok(report)
        }
        Err(TreeError::Conflicts { paths }) if options.keep_conflicts => {
            Err(leave_conflict(&from, &into, &message, options.squash, paths).await)
        }
        Err(error) => Err(error),
    }
}

/// The environment's side.
pub(crate) async fn side_of_tree(
    tree: &Tree,
    state: &std::path::Path,
    scratch: &Scratch,
) -> Result<Side, TreeError> {
    let repository = work_tree(&tree.root).await?;
    let project = &tree.project_dir;
    let snapshot = Snapshot::take_unrendered(&repository, state, project, scratch).await?;
    Ok(Side { repository, snapshot })
}

/// The source's side.
pub(crate) async fn side_of_source(
    tree: &Tree,
    state: &std::path::Path,
    scratch: &Scratch,
) -> Result<Side, TreeError> {
    let repository = work_tree(&tree.source).await?;
    let snapshot = Snapshot::take(&repository, state, scratch).await?;
    Ok(Side { repository, snapshot })
}

/// The repository of a work tree that is not in the middle of anything.
async fn work_tree(root: &std::path::Path) -> Result<Repository, TreeError> {
    if !root.is_dir() {
        return Err(TreeError::NoTree { path: root.to_owned() });
    }
    let path = root.to_owned();
    let repository = match Repository::discover(root).await? {
        Discovered::Repository(repository) if !repository.bare => *repository,
        Discovered::Refused(advice) => return Err(TreeError::Refused { path, advice }),
        _ => return Err(TreeError::NoTree { path }),
    };
    match repository.busy_with() {
        Some(what) => Err(TreeError::Busy { path, what }),
        None => Ok(repository),
    }
}

/// Commits the named files of the environment as they are, on its own branch.
async fn commit(
    side: &Side,
    paths: &[PathBuf],
    message: &str,
    scratch: &Scratch,
) -> Result<(), TreeError> {
    let repository = &side.repository;
    let index = scratch.path().join("commit");
    let git = repository.git().index(&index);
    match &repository.head {
        Some(head) => git.run(["read-tree", head]).await?,
        None => git.run(["read-tree", "--empty"]).await?,
    };
    let mut list = Vec::new();
    for path in paths {
        use std::os::unix::ffi::OsStrExt;
        list.extend_from_slice(path.as_os_str().as_bytes());
        list.push(0);
    }
    let add = ["update-index", "--add", "--remove", "-z", "--stdin"];
    git.program(add).input(list).run().await?;
    let tree = git.line(["write-tree"]).await?;
    let git = repository.git();
    let mut arguments = vec!["commit-tree", &tree, "-m", message];
    if let Some(head) = &repository.head {
        arguments.extend(["-p", head]);
    }
    let new = git.line(arguments).await?;
    let old = match &repository.head {
        Some(head) => head.clone(),
        None => super::integrate::empty_tree(&git).await?,
    };
    let raw = git.run(["diff-tree", "-r", "-z", "--no-renames", "--raw", &old, &new]).await?;
    let info = index_info(&raw.stdout);
    git.program(["update-index", "-z", "--index-info"]).input(info).run().await?;
    let expected = repository.head.clone().unwrap_or_default();
    git.run(["update-ref", "-m", "dwell: commit", "HEAD", &new, &expected]).await?;
    git.program(["update-index", "-q", "--refresh"]).finish().await?;
    Ok(())
}

/// Runs git's own merge in the source and leaves it unfinished.
async fn leave_conflict(
    from: &Side,
    into: &Side,
    message: &str,
    squash: bool,
    paths: Vec<PathBuf>,
) -> TreeError {
    let Some(commit) = from.repository.head.as_deref() else {
        return TreeError::Conflicts { paths };
    };
    let git: Git = into.repository.git();
    let how = if squash { "--squash" } else { "--no-ff" };
    let merge = git.program(["merge", "--no-edit", "--quiet", how, "-m", message, commit]);
    match merge.finish().await {
        Ok(finished) if finished.code == Some(1) => {
            TreeError::Kept { path: into.repository.root.clone(), paths }
        }
        Ok(finished) => merge.failed(&finished).into(),
        Err(error) => error.into(),
    }
}

/// Submodules whose commit moved: the commits themselves are in the environment's copy.
fn submodule_notes(from: &Side, into: &Side, files: &[PathBuf]) -> Vec<String> {
    let moved = files.iter().filter(|path| from.repository.root.join(path).join(".git").exists());
    moved
        .map(|path| {
            let (name, copy) = (path.display(), from.repository.root.join(path));
            let place = into.repository.root.join(path);
            format!(
                "submodule {name} moved; fetch its commits with `git -C {} fetch {} HEAD`",
                place.display(),
                copy.display()
            )
        })
        .collect()
}

/// How many commits of the environment the source does not have.
pub(crate) async fn ahead(
    from: &Repository,
    source: &Tree,
    state: &std::path::Path,
) -> Result<u32, TreeError> {
    if let Some(record) = Record::read(state)? {
        let Some(head) = &from.head else { return Ok(0) };
        let taken = record.taken.map(|taken| taken.commit);
        let not = record.offer.head.into_iter().chain(taken).map(|commit| format!("^{commit}"));
        let arguments = ["rev-list".to_owned(), "--count".to_owned(), head.clone()];
        let git = private_git(from, state);
        return Ok(git.line(arguments.into_iter().chain(not)).await?.parse().unwrap_or_default());
    }
    match Repository::discover(&source.source).await? {
        Discovered::Repository(repository) => count_new(&repository, from.head.as_deref()).await,
        _ => Ok(0),
    }
}
