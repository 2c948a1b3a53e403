//! A tree as a git worktree with a branch of its own.

use std::fs;
use std::path::Path;

use dwell_core::EnvironmentName;

use super::create::{bring_along, growing_place};
use super::notes::Notes;
use super::populate::populate;
use super::private_directory;
use super::snapshot::Snapshot;
use super::{CreateTree, Scratch, Start, Tree, TreeError, TreeKind, base, directory};
use crate::git::{Git, Repository};
use crate::process::ProcessError;

/// Makes the worktree in the growing place and moves it to its name.
pub(crate) async fn create(
    order: &CreateTree<'_>,
    repository: &Repository,
    growing: &Path,
) -> Result<Tree, TreeError> {
    let mut notes = Notes::default();
    let base_commit = match &order.start {
        Start::Revision(revision) => match repository.git().commit(revision).await? {
            Some(commit) => Some(commit),
            None => {
                let path = order.source.to_owned();
                return Err(TreeError::NoRevision { path, revision: revision.clone() });
            }
        },
        _ => repository.head.clone(),
    };
    let git = repository.git();
    let name = choose_branch(&git, order.environment, base_commit.as_deref(), &mut notes).await?;
    if let Some(parent) = growing.parent() {
        private_directory(parent)?;
    }
    let as_source = order.start == Start::Source && !repository.bare;
    let checkout = !as_source;
    match add(&git, growing, &name, base_commit.as_deref(), checkout).await {
        Ok(()) => {}
        // Git before 2.42 cannot make a worktree without a commit.
        Err(ProcessError::Failed { .. }) if base_commit.is_none() => {
            return directory::create(order, growing).await;
        }
        Err(error) => return Err(error.into()),
    }
    let made = fill(order, repository, growing, as_source, notes).await;
    let settled = match made {
        Ok(notes) => settle(&git, growing, order.tree).await.map(|()| notes),
        Err(error) => Err(error),
    };
    let notes = match settled {
        Ok(notes) => notes,
        Err(error) => {
            discard(&git, growing, order.tree, &name, base_commit.as_deref()).await;
            return Err(error);
        }
    };
    Ok(Tree {
        kind: TreeKind::Worktree,
        source: repository.root.clone(),
        root: order.tree.to_owned(),
        // Without a prefix, `join` would leave a slash at the end.
        project_dir: order.tree.join(&repository.prefix).components().collect(),
        branch: Some(name),
        base_commit,
        notes: notes.into_vec(),
    })
}

/// Registers the worktree.
async fn add(
    git: &Git,
    place: &Path,
    branch: &str,
    base: Option<&str>,
    checkout: bool,
) -> Result<(), ProcessError> {
    let mut program = git.program([
        "-c",
        "checkout.workers=0",
        "worktree",
        "add",
        "--quiet",
        if base.is_some() { "-B" } else { "-b" },
        branch,
    ]);
    program = match base {
        Some(_) => {
            program.arg("--no-track").arg(if checkout { "--checkout" } else { "--no-checkout" })
        }
        None => program.arg("--orphan"),
    };
    program = program.arg("--").arg(place);
    if let Some(base) = base {
        program = program.arg(base);
    }
    program.run().await.map(|_| ())
}

/// Fills the worktree with the source's files and remembers what it started from.
async fn fill(
    order: &CreateTree<'_>,
    repository: &Repository,
    growing: &Path,
    as_source: bool,
    mut notes: Notes,
) -> Result<Notes, TreeError> {
    let git_dir = Git::at(growing).path(["rev-parse", "--absolute-git-dir"]).await?;
    let mut touched = None;
    if as_source {
        if let Some(what) = repository.busy_with() {
            notes.add(format!(
                "the source is in the middle of {what}; the tree has its files, not that state"
            ));
        }
        let own = [order.tree.to_owned(), order.state.to_owned()];
        let filled = populate(repository, growing, &git_dir, &own, notes).await?;
        (notes, touched) = (filled.notes, filled.touched);
    }
    let project = growing.join(&repository.prefix);
    fs::create_dir_all(&project).map_err(|e| TreeError::io(&project, e))?;
    if as_source {
        notes = bring_along(order.copy_patterns, order.source, &project, notes).await?;
    }
    let scratch = Scratch::new(order.state)?;
    let made = Repository { root: growing.to_owned(), git_dir, ..repository.clone() };
    let start = match touched {
        Some(touched) => Snapshot::take_known(&made, order.state, &scratch, &touched).await?,
        None => Snapshot::take(&made, order.state, &scratch).await?,
    };
    base::write(&made, order.state, &start.tree).await?;
    Ok(notes)
}

/// Moves the grown worktree to its name and tells git.
pub(crate) async fn settle(git: &Git, growing: &Path, tree: &Path) -> Result<(), TreeError> {
    fs::rename(growing, tree).map_err(|e| TreeError::io(tree, e))?;
    git.program(["worktree", "repair", "--"]).arg(tree).run().await?;
    Ok(())
}

/// Takes back an unfinished worktree. Its branch holds nothing but the base.
pub(crate) async fn discard(
    git: &Git,
    growing: &Path,
    tree: &Path,
    branch: &str,
    base: Option<&str>,
) {
    let _ = fs::remove_dir_all(growing);
    let _ = fs::remove_dir_all(tree);
    unregister(git, growing).await;
    unregister(git, tree).await;
    if let Some(base) = base {
        let reference = format!("refs/heads/{branch}");
        let _ = git.run(["update-ref", "-d", &reference, base]).await;
    }
}

/// Ends the registration of a worktree whose directory is gone, also one that was growing.
pub(crate) async fn unregister(git: &Git, tree: &Path) {
    for place in [tree.to_owned(), growing_place(tree)] {
        let remove = ["worktree", "remove", "--force", "--force", "--"];
        let _ = git.program(remove).arg(place).run().await;
    }
}

/// The branch for a new tree: `dwell/<environment>`, or with a number where that one exists and
/// is in use or holds commits that the base does not have.
pub(crate) async fn choose_branch(
    git: &Git,
    environment: &EnvironmentName,
    base: Option<&str>,
    notes: &mut Notes,
) -> Result<String, TreeError> {
    // A branch called `dwell` leaves no room for `dwell/...`.
    let blocked = git.commit("refs/heads/dwell").await?.is_some();
    let stem = format!("dwell{}{environment}", if blocked { '-' } else { '/' });
    let used = branches_in_use(git).await?;
    let mut name = stem.clone();
    for number in 2.. {
        let reference = format!("refs/heads/{name}");
        let Some(commit) = git.commit(&reference).await? else {
            if !used.contains(&reference) {
                break;
            }
            name = format!("{stem}-{number}");
            continue;
        };
        let contained = match base {
            Some(base) => git.test(["merge-base", "--is-ancestor", &commit, base]).await?,
            None => false,
        };
        if contained && !used.contains(&reference) {
            break;
        }
        let why = if contained { "is checked out elsewhere" } else { "has commits of its own" };
        let next = format!("{stem}-{number}");
        notes.add(format!("branch {name} {why} and was left alone; the new one is {next}"));
        name = next;
    }
    Ok(name)
}

/// Branches that some worktree has checked out.
pub(crate) async fn branches_in_use(git: &Git) -> Result<Vec<String>, TreeError> {
    let text = git.run(["worktree", "list", "--porcelain"]).await?.stdout;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_prefix("branch ")).map(str::to_owned).collect())
}
