//! Work comes back: the side of the user's repository. It becomes a branch; what the user has
//! checked out is never touched.

use std::path::{Path, PathBuf};

use dwell_core::EnvironmentName;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncRead;

use super::error::TravelError;
use super::give::{MARK, Work};
use super::quarantine::{Quarantine, sweep};
use super::source::object;
use super::wire::{Haves, Incoming};
use crate::git::{Discovered, Git, ObjectFormat, ObjectName, Repository};
use crate::tree::TreeError;
use crate::tree::snapshot::differing;

/// How many of the user's commits are told, the newest first.
const MOST_HAVES: &str = "--count=500";

/// An order for work to come back.
#[derive(Debug, Clone, Copy)]
pub struct TakeWork<'a> {
    /// The user's directory, in any of the repository's work trees.
    pub source: &'a Path,
    /// The environment, which names the branch.
    pub environment: &'a EnvironmentName,
    /// Move the branch also where that gives up commits which are only there.
    pub force: bool,
}

/// Work that came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenWork {
    /// The branch that holds it; `None` where there was nothing to bring.
    pub branch: Option<String>,
    /// Commits that the repository did not have, the one with uncommitted work among them.
    pub commits: u32,
    /// Files that differ from the branch as it was, or from the commit that is checked out where
    /// it is new.
    pub files: Vec<PathBuf>,
    /// How many files were not committed in the environment.
    pub uncommitted: u32,
    /// What the environment sent, to be confirmed with [`given`](super::given).
    pub work: Work,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The repository of the user's directory.
pub(crate) async fn repository(source: &Path) -> Result<Repository, TravelError> {
    match Repository::discover(source).await? {
        Discovered::Repository(repository) => Ok(*repository),
        Discovered::Refused(advice) => {
            Err(TreeError::Refused { path: source.to_owned(), advice }.into())
        }
        Discovered::None => Err(TravelError::NoRepository { path: source.to_owned() }),
    }
}

/// What the user's repository has already, for an environment that sends its work.
///
/// # Errors
/// When the directory is in no repository, or git fails.
pub async fn source_haves(source: &Path) -> Result<Haves, TravelError> {
    let repository = repository(source).await?;
    let newest = "--sort=-committerdate";
    let format = "--format=%(objectname)";
    let list = ["for-each-ref", MOST_HAVES, newest, format, "refs/heads", "refs/remotes"];
    let text = repository.git().line(list).await?;
    let listed = text.lines().chain(repository.head.as_deref());
    let mut commits: Vec<ObjectName> = listed.map(object).collect::<Result<_, _>>()?;
    commits.sort();
    commits.dedup();
    Ok(Haves { commits, ..Haves::default() })
}

/// Receives what [`give`](super::give) sends into a branch. It only moves forward; where it was
/// moved to work that was not committed, the newer state of that work takes its place.
///
/// # Errors
/// [`TravelError::Diverged`] when the branch has other commits and `force` is not given,
/// [`TravelError::CheckedOut`] when it is checked out anywhere, and as for
/// [`Store::receive`](super::Store::receive). Nothing has changed then.
pub async fn take<R: AsyncRead + Unpin + Send>(
    order: TakeWork<'_>,
    from: R,
) -> Result<TakenWork, TravelError> {
    let repository = repository(order.source).await?;
    sweep(&repository.common_dir);
    let mut incoming = Incoming::new(from);
    let work: Work = incoming.head().await?;
    let has = if repository.hash_length == 32 { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
    if has != work.format {
        let path = repository.root.clone();
        return Err(TravelError::Format { path, has, sent: work.format });
    }
    let notes = work.notes.clone();
    let uncommitted = work.uncommitted;
    let Some(tip) = work.tip.clone() else {
        let (branch, files) = (None, Vec::new());
        return Ok(TakenWork { branch, commits: 0, files, uncommitted, work, notes });
    };
    let quarantine = Quarantine::new(&repository)?;
    incoming.part().await?;
    quarantine.take(&mut incoming).await?;
    incoming.skip().await.map_err(TravelError::Cut)?;
    quarantine.check(&[tip.as_str()]).await?;
    let git = quarantine.git();
    let branch = branch_of(&git, order.environment).await?;
    let reference = format!("refs/heads/{branch}");
    let old = git.commit(&reference).await?;
    if old.as_deref() != Some(tip.as_str()) {
        refuse_checked_out(&git, &branch, &reference).await?;
    }
    if let Some(old) = old.as_deref().filter(|_| !order.force) {
        refuse_diverged(&git, &branch, old, &tip).await?;
    }
    let new = ["rev-list", "--count", tip.as_str(), "--not", "--all"];
    let commits = git.line(new).await?.parse().unwrap_or_default();
    let before = old.clone().or_else(|| repository.head.clone());
    let files = match &before {
        Some(before) => differing(&git, before, tip.as_str()).await?,
        None => git.paths(["ls-tree", "-r", "-z", "--name-only", tip.as_str()]).await?,
    };
    quarantine.admit()?;
    let expected = old.unwrap_or_default();
    let update = ["update-ref", "--create-reflog", "-m", "dwell: pull", &reference];
    let git = Git::at(&repository.common_dir);
    git.run(update.into_iter().chain([tip.as_str(), expected.as_str()])).await?;
    Ok(TakenWork { branch: Some(branch), commits, files, uncommitted, work, notes })
}

/// The branch's name; one called `dwell` leaves no room for `dwell/...`.
pub(crate) async fn branch_of(
    git: &Git,
    environment: &EnvironmentName,
) -> Result<String, TravelError> {
    let blocked = git.commit("refs/heads/dwell").await?.is_some();
    Ok(format!("dwell{}{environment}", if blocked { '-' } else { '/' }))
}

async fn refuse_checked_out(git: &Git, branch: &str, reference: &str) -> Result<(), TravelError> {
    let listed = git.run(["worktree", "list", "--porcelain", "-z"]).await?.stdout;
    let text = String::from_utf8_lossy(&listed).into_owned();
    let mut place = "";
    for line in text.split('\0') {
        if let Some(path) = line.strip_prefix("worktree ") {
            place = path;
        }
        if line.strip_prefix("branch ") == Some(reference) {
            return Err(TravelError::CheckedOut { branch: branch.to_owned(), path: place.into() });
        }
    }
    Ok(())
}

/// Refuses to leave commits behind, except for a commit of work that was not committed.
async fn refuse_diverged(
    git: &Git,
    branch: &str,
    old: &str,
    tip: &ObjectName,
) -> Result<(), TravelError> {
    let is_ancestor = ["merge-base", "--is-ancestor"];
    if git.test(is_ancestor.into_iter().chain([old, tip.as_str()])).await? {
        return Ok(());
    }
    let message = git.line(["show", "--no-patch", "--format=%B", old, "--"]).await?;
    if message.lines().any(|line| line.starts_with(MARK)) {
        match git.commit(&format!("{old}^")).await? {
            None => return Ok(()),
            Some(below) => {
                if git.test(is_ancestor.into_iter().chain([&below, tip.as_str()])).await? {
                    return Ok(());
                }
            }
        }
    }
    Err(TravelError::Diverged { branch: branch.to_owned() })
}
